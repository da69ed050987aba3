//! Telling that a merge has been done before.

use std::path::PathBuf;

use uuid::Uuid;

use super::deletion::Deletion;
use super::files::MergeFiles;
use super::locked::{locked_while_deleting, open_as_planned};
use super::relations::{find_newcomer, is_file};
use super::state::FileState;
use crate::disk::mark::Linkages;
use crate::disk::{InspectedLayer, Link};
use crate::error::{Error, InvalidArgument, Result};
use crate::family::{Relative, Relatives};
use crate::format::parent_locator::ParentLocator;

/// A disk that was merged before, into a target that was changed since or is gone: its lowest layer says that the merge is
/// complete; or it names no parent any more, as merges of earlier versions leave it once all children are relinked. There is
/// nothing to copy. Whether the layers [can be deleted](Self::may_delete) is another question.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AlreadyMerged {
    /// The layers that were merged, leaf first.
    pub layers: Vec<FileState>,
    /// Whether the layers themselves say that the merge is complete.
    pub is_proven: bool,
    /// The children of the leaf that were relinked: each names its parent of today, which was found, and the leaf.
    pub relinked: Vec<FileState>,
    /// The disks that still have one of the layers for their parent, each with that layer.
    pub in_use: Vec<(PathBuf, PathBuf)>,
    /// The folders where children were looked for.
    pub folders: Vec<PathBuf>,
}

impl AlreadyMerged {
    /// Whether the layers can be deleted: a relinked child, whose parent was found, proves that the target holds their data,
    /// and no disk needs them. Layers that say that the merge is complete do not prove it: the target may be lost, or replaced
    /// by an older copy.
    pub fn may_delete(&self) -> bool {
        !self.relinked.is_empty() && self.in_use.is_empty()
    }

    /// Deletes the layers, the leaf first; nothing if they [may not be](Self::may_delete).
    ///
    /// # Errors
    /// [`Error::Io`], also for a file that is in use, and [`InvalidArgument::StalePlan`] for one that has changed, both
    /// before anything is deleted.
    pub fn delete(&self, files: &dyn MergeFiles) -> Result<Deletion> {
        if !self.may_delete() {
            return Ok(Deletion::default());
        }
        let known = [self.layers.as_slice(), &self.relinked].concat();
        let locked: Vec<_> =
            known.iter().map(|state| open_as_planned(files, state)).collect::<Result<_>>()?;
        let parents: Vec<Uuid> = self.layers.iter().map(|state| state.data_write_guid).collect();
        if let Some(disk) = find_newcomer(&files.relatives(&self.folders)?, &parents, &known) {
            return Err(Error::from(InvalidArgument::StalePlan).in_file(&disk.path));
        }
        let _locked = locked_while_deleting(locked);
        Ok(Deletion::of(&self.layers, false, files))
    }
}

/// Whether the files from a disk down to where its chain breaks, as [`inspect_chain`](crate::inspect_chain) gives
/// them, were merged into a parent before.
pub fn already_merged(layers: &[InspectedLayer], relatives: &Relatives) -> Option<AlreadyMerged> {
    // What stands in the place of the parent is no layer of the merge.
    let broken = layers.iter().position(|layer| !matches!(layer.link, Link::Ok))?;
    let whole = layers.get(..=broken)?;
    let first = whole.first()?;
    let proven = whole.iter().position(|layer| is_complete(first, layer));
    let layers = layers.get(..=proven.unwrap_or(broken))?;
    let lowest = layers.last().filter(|layer| !matches!(layer.link, Link::Base))?;
    if proven.is_none() && !names_no_parent(lowest.vhdx.parent_locator()?) {
        return None;
    }
    let is_proven = proven.is_some();
    let state = |(i, layer): (usize, &InspectedLayer)| FileState {
        path: layer.name.clone(),
        ..FileState::of_layer(i, &layer.vhdx)
    };
    let states: Vec<FileState> = layers.iter().enumerate().map(state).collect();
    let outside = |disk: &&Relative| !states.iter().any(|state| is_file(state, disk));
    let others: Vec<&Relative> = relatives.disks.iter().filter(outside).collect();
    let is_there = |guid: Uuid| others.iter().any(|disk| disk.data_write_guid == guid && !guid.is_nil());

    let (mut relinked, mut in_use) = (Vec::new(), Vec::new());
    for disk in &others {
        let Some(parent) = states.iter().find(|state| disk.is_child_of(state.data_write_guid)) else {
            continue;
        };
        let leaf = states.first().map(|leaf| leaf.data_write_guid);
        if disk.linkage2 == leaf && disk.linkage.is_some_and(is_there) {
            relinked.push(FileState::of_relative(disk));
        } else {
            in_use.push((disk.path.clone(), parent.path.clone()));
        }
    }
    let folders = relatives.folders.clone();
    Some(AlreadyMerged { layers: states, is_proven, relinked, in_use, folders })
}

/// Whether the lowest layer says that the merge of the leaf is complete, and the leaf was not changed since.
fn is_complete(leaf: &InspectedLayer, lowest: &InspectedLayer) -> bool {
    let linkages = Linkages::of(&lowest.vhdx);
    let Some(layer) = linkages.merge().filter(|layer| layer.is_complete) else { return false };
    let is_of_leaf = match linkages.required_mark() {
        Some(required) => Linkages::of(&leaf.vhdx).carried_mark().is_some_and(|mark| required.is(mark)),
        None => leaf.name == lowest.name,
    };
    is_of_leaf && layer.merge.is_of(leaf.vhdx.data_write_guid())
}

/// Whether both linkages are zero; the second one may be missing. One that cannot be read is no such thing.
fn names_no_parent(locator: &ParentLocator) -> bool {
    use crate::format::parent_locator::PARENT_LINKAGE2;

    let second = locator.get(PARENT_LINKAGE2).is_none() || locator.parent_linkage2() == Some(Uuid::nil());
    second && locator.parent_linkage() == Some(Uuid::nil())
}

#[cfg(test)]
mod tests;
