//! Checks the link from a child to an open file.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::found_by::FoundBy;
use super::mark::Linkages;
use crate::error::ChainFault;
use crate::file::Vhdx;
use crate::format::parent_locator::ParentLocator;
use crate::storage::FileIdentity;

/// A file of a chain and its name in messages.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) name: PathBuf,
    pub(super) vhdx: Vhdx,
    /// How the file was found; `None` if the caller opened it.
    pub(super) found_by: Option<FoundBy>,
}

/// The facts about an open file that are needed to check links to later files.
#[derive(Debug)]
pub(super) struct Seen {
    name: PathBuf,
    identity: Option<FileIdentity>,
    /// The mark that the file carries.
    mark: Option<Uuid>,
}

impl Seen {
    /// Creates an entry without a file, for a mark that a descendant of the files carries.
    pub(super) fn of_mark(mark: Uuid) -> Self {
        Self { name: PathBuf::new(), identity: None, mark: Some(mark) }
    }
}

impl Layer {
    pub(super) fn seen(&self) -> Seen {
        let mark = Linkages::of(&self.vhdx).carried_mark();
        Seen { name: self.name.clone(), identity: self.vhdx.identity(), mark }
    }

    /// Returns whether this is one of the files. Names are compared if a file has no identity.
    pub(super) fn is_among(&self, seen: &[Seen]) -> bool {
        seen.iter().any(|other| match (self.vhdx.identity(), other.identity) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => self.name == other.name,
        })
    }
}

/// Returns why the link from `child` to `parent` is not valid; `None` if it is valid.
///
/// The rule for GUIDs is [MS-VHDX] 2.6.2.6.3. `seen` has the files of the chain from the leaf to the child.
pub(super) fn check_link(name: &Path, child: &Vhdx, parent: &Layer, seen: &[Seen]) -> Option<ChainFault> {
    let expected = child.parent_locator().map_or_else(Vec::new, ParentLocator::linkages);
    let found = parent.vhdx.data_write_guid();
    let is_expected = expected.contains(&found);
    let (child_size, parent_size) = (child.logical_sector_size(), parent.vhdx.logical_sector_size());
    let left = Linkages::of(child);
    let guid = child.data_write_guid();
    let (child, parent) = (name.to_owned(), parent.name.clone());
    let is_mark_missing = left
        .required_mark()
        .is_some_and(|required| !seen.iter().any(|file| file.mark.is_some_and(|mark| required.is(mark))));
    let is_complete = left.merge().is_some_and(|layer| layer.is_complete && layer.merge.guid() != found);
    // The merged disk of one level opens without a mark. Once it was written to, it has another GUID and is a disk like
    // any other.
    let is_merged_disk = left.merge().is_some_and(|layer| layer.is_complete && layer.merge.is_of(guid));
    let is_layer_of_merge = left.required_mark().is_some() || is_merged_disk;
    if is_mark_missing || !is_expected && is_layer_of_merge {
        return Some(ChainFault::LayerOfMerge { child, parent, is_complete });
    }
    if !is_expected {
        return Some(ChainFault::Mismatch { child, parent, expected, found, damaged: Vec::new() });
    }
    (child_size != parent_size).then_some(ChainFault::SectorSize { child, parent, child_size, parent_size })
}
