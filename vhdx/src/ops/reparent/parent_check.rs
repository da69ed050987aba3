//! Collects the evidence for and against a file being the parent of another ([MS-VHDX] 2.6.2.6.3).

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::disk::mark::Linkages;
use crate::disk::{
    FolderResolver, InspectedLayer, Link, MAX_CHAIN_LENGTH, inspect_chain, inspect_chain_with_marks,
};
use crate::error::{ChainErrorKind, ChainFault, Undetermined};
use crate::error::{Error, InvalidArgument, Result};
use crate::family::{FileFacts, find_relatives, folders_around};
use crate::file::Vhdx;
use crate::format::parent_locator::ParentLocator;
use crate::progress::Progress;
use crate::storage::FileIdentity;

/// A child, a candidate for its parent, and the evidence about both.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ParentCheck {
    /// The child.
    pub child: FileFacts,
    /// The candidate: a file that may be its parent.
    pub candidate: FileFacts,
    /// The DataWriteGuids of which the parent must have one.
    ///
    /// Empty if the linkage of the child is zero.
    pub expected: Vec<Uuid>,
    /// The DataWriteGuids of the candidate's ancestors.
    #[cfg_attr(feature = "serde", serde(rename = "below"))]
    pub candidate_ancestors: Vec<Uuid>,
    /// The number of links from the child to the candidate in the chain that opens now.
    ///
    /// It is 1 if the candidate already is the parent, and `None` if that chain does not lead to the candidate.
    pub level: Option<usize>,
    /// Whether that chain opens as far as its base.
    ///
    /// If it does not, the candidate may be an ancestor although `level` is `None`.
    pub chain_opens: bool,
    /// Other files with a DataWriteGuid that the child expects: its parent, or copies of it.
    ///
    /// They are only searched for if the candidate has none of these GUIDs.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub others: Vec<PathBuf>,
    /// Other children of the candidate.
    ///
    /// If the chain of the child leads through one of them now, linking the child to the candidate would skip that
    /// file: its content would be lost to the child. They are only searched for if the candidate does not fit.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub candidate_children: Vec<PathBuf>,
    /// The folders that were searched for these files.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub folders: Vec<PathBuf>,
    /// The files and folders there whose relation could not be determined.
    pub undetermined: Vec<Undetermined>,
    /// The present locator of the child.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub locator: ParentLocator,
}

impl ParentCheck {
    /// Returns whether the child was made from the candidate in its present state.
    pub fn fits(&self) -> bool {
        self.expected.contains(&self.candidate.data_write_guid)
    }

    /// Returns the first linkage of the child, if a merge of it into the candidate was begun.
    ///
    /// Such a child names the candidate by its second linkage, and no ancestor of the candidate by its first one.
    pub(super) fn linkage_before_merge(&self) -> Option<Uuid> {
        match self.expected[..] {
            [first, second]
                if second == self.candidate.data_write_guid && !self.candidate_ancestors.contains(&first) =>
            {
                Some(first)
            }
            _ => None,
        }
    }
}

/// Collects the evidence about a child and a candidate for its parent. Nothing is changed.
///
/// The chain of the candidate must open. Its ancestors, and files with an expected DataWriteGuid, are searched for in
/// the folders of both files and in `folders`.
///
/// # Errors
/// - [`InvalidArgument::NotDifferencing`] for a child without a parent.
/// - [`Cycle`](crate::ChainErrorKind::Cycle) if the candidate is the child or one of its descendants.
/// - [`TooDeep`](crate::ChainErrorKind::TooDeep) if the chain of the candidate has the greatest length already.
/// - The error that keeps the chain of the candidate from opening.
/// - As [`Vhdx::open`] for both files.
/// - [`Error::Cancelled`].
pub fn check_parent(
    child: &Path,
    candidate: &Path,
    folders: &[PathBuf],
    progress: &dyn Progress,
) -> Result<ParentCheck> {
    let vhdx = Vhdx::open(child)?;
    let Some(locator) = vhdx.parent_locator().cloned() else {
        return Err(Error::from(InvalidArgument::NotDifferencing).in_file(child));
    };
    let resolver = FolderResolver { folders: folders.to_vec(), ..FolderResolver::default() };
    let layers = layers_of_candidate(child, &vhdx, candidate, &resolver, progress)?;
    ensure_no_cycle(child, &vhdx, candidate, &layers)?;
    if layers.len() >= MAX_CHAIN_LENGTH {
        return Err(ChainFault::TooDeep { path: candidate.to_owned(), limit: MAX_CHAIN_LENGTH }.into());
    }
    let level = layers.first().and_then(|layer| layer.vhdx.identity());
    let (level, chain_opens) = place_of(level, child, &resolver);
    let candidate_ancestors = layers.iter().skip(1).map(|layer| layer.vhdx.data_write_guid()).collect();
    let candidate = sound(layers, candidate)?;
    let mut check = ParentCheck {
        child: FileFacts::of(child, &vhdx),
        candidate,
        expected: locator.linkages(),
        candidate_ancestors,
        level,
        chain_opens,
        others: Vec::new(),
        candidate_children: Vec::new(),
        folders: Vec::new(),
        undetermined: Vec::new(),
        locator,
    };
    if !check.fits() {
        check.look_for_others(folders, progress)?;
    }
    Ok(check)
}

/// Returns the chain of the candidate as it is read through the child.
///
/// Layers of a merge of several levels are only read through a disk that carries their mark: the child or one of its
/// descendants. A child that gets another linkage loses its mark, so no marks count then.
fn layers_of_candidate(
    path: &Path,
    child: &Vhdx,
    candidate: &Path,
    resolver: &FolderResolver,
    progress: &dyn Progress,
) -> Result<Vec<InspectedLayer>> {
    let layers = inspect_chain(candidate, resolver)?;
    let linkage = child.parent_locator().and_then(ParentLocator::parent_linkage);
    let keeps_linkage = layers.first().is_some_and(|first| linkage == Some(first.vhdx.data_write_guid()));
    if !keeps_linkage || !layers.iter().any(|layer| is_layer_of_merge(&layer.link)) {
        return Ok(layers);
    }
    let relatives = find_relatives(&folders_around([path, candidate], &resolver.folders), progress)?;
    let descendants = relatives.descendants_of(child.data_write_guid());
    let linkages = descendants.into_iter().map(FileFacts::linkages).chain([Linkages::of(child)]);
    let marks = linkages.filter_map(Linkages::carried_mark);
    inspect_chain_with_marks(candidate, resolver, &marks.collect::<Vec<_>>())
}

fn is_layer_of_merge(link: &Link) -> bool {
    matches!(link.error(), Some(Error::Chain(error)) if error.kind() == ChainErrorKind::LayerOfMerge)
}

/// Checks that the child is not in the chain of the candidate.
///
/// A file cannot be its own ancestor, whatever the GUIDs say.
fn ensure_no_cycle(path: &Path, child: &Vhdx, candidate: &Path, layers: &[InspectedLayer]) -> Result<()> {
    match layers.iter().any(|layer| layer.vhdx.identity() == child.identity()) {
        true => Err(ChainFault::Cycle { child: path.to_owned(), parent: candidate.to_owned() }.into()),
        false => Ok(()),
    }
}

/// Returns the facts about the first file, if all links of its chain are sound.
fn sound(layers: Vec<InspectedLayer>, path: &Path) -> Result<FileFacts> {
    let mut first = None;
    for layer in layers {
        first.get_or_insert_with(|| FileFacts::of(path, &layer.vhdx));
        match layer.link {
            Link::Base | Link::Ok => {}
            Link::Mismatch(error) | Link::Missing(error) => return Err(error),
        }
    }
    first.ok_or_else(|| InvalidArgument::NoLayers.into())
}

/// Returns the number of links from the child to a file, and whether the chain of the child opens to its base.
///
/// The number is `None` if no sound links lead to the file.
fn place_of(file: Option<FileIdentity>, child: &Path, resolver: &FolderResolver) -> (Option<usize>, bool) {
    let Ok(layers) = inspect_chain(child, resolver) else { return (None, false) };
    let links = layers.iter().take_while(|layer| matches!(layer.link, Link::Ok)).count();
    let ancestors = layers.iter().skip(1).take(links);
    let is_it = |layer: &InspectedLayer| file.is_some() && layer.vhdx.identity() == file;
    let level = (1..).zip(ancestors).find(|(_, layer)| is_it(layer)).map(|(level, _)| level);
    (level, layers.last().is_some_and(|layer| matches!(layer.link, Link::Base)))
}

impl ParentCheck {
    fn look_for_others(&mut self, folders: &[PathBuf], progress: &dyn Progress) -> Result<()> {
        let folders = folders_around([self.child.path.as_path(), &self.candidate.path], folders);
        let found = find_relatives(&folders, progress)?;
        let children = found.children_of(self.candidate.data_write_guid);
        let children = children.filter(|disk| disk.identity != self.child.identity);
        self.candidate_children = children.map(|disk| disk.path.clone()).collect();
        let others = found.disks.into_iter().filter(|disk| self.expected.contains(&disk.data_write_guid));
        self.others =
            others.filter(|disk| disk.identity != self.child.identity).map(|disk| disk.path).collect();
        self.folders = found.folders;
        self.undetermined = found.undetermined;
        Ok(())
    }
}
