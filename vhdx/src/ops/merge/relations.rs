//! Who else has a file of the merge for its parent: children of the merged disk are relinked, any other is in the way.

use uuid::Uuid;

use super::state::FileState;
use super::unfinished;
use crate::disk::Chain;
use crate::disk::mark::{self, Linkages, LowestLayer};
use crate::error::ChainError;
use crate::error::Result;
use crate::family::{Relative, Relatives};
use crate::file::Vhdx;

/// The children of the merged disk, and what earlier merges have left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Children {
    /// Those that are to be relinked.
    pub(super) to_relink: Vec<FileState>,
    /// Those that an earlier run has relinked: they prove that the target holds all of the merged disk.
    pub(super) relinked: Vec<FileState>,
    /// Layers of completed merges that nothing needs any more. They do not open once the target changes.
    pub(super) left_over: Vec<FileState>,
    /// Whether the files of the merge themselves say that the target holds all of the merged disk.
    pub(super) is_complete: bool,
}

/// The children of the first of `layers`, which is merged with those below it into the last one.
///
/// # Errors
/// [`ChainError::OtherChildren`] when a disk outside the merge has one of the other layers for its parent.
pub(super) fn find_children(layers: &[Vhdx], relatives: &Relatives) -> Result<Children> {
    let states: Vec<FileState> =
        layers.iter().enumerate().map(|(i, vhdx)| FileState::of_layer(i, vhdx)).collect();
    let (Some(merged), Some(target)) = (states.first(), states.last()) else {
        return Ok(Children::default());
    };
    let is_complete = is_complete(layers);
    // A target that holds everything does not change, so its other children do not matter.
    let last = if is_complete { states.len() - 1 } else { states.len() };
    let lower = states.get(1..last).unwrap_or_default();

    let mut children = Children { is_complete, ..Children::default() };
    let (mut in_the_way, mut unfinished) = (Vec::new(), Vec::new());
    let mut left_overs = relatives.left_overs();
    for disk in relatives.disks.iter().filter(|disk| !states.iter().any(|state| is_file(state, disk))) {
        let is_child = disk.is_child_of(merged.data_write_guid);
        let is_marked_child = is_child && has_mark(disk);
        let needs = || lower.iter().find(|state| disk.is_child_of(state.data_write_guid));
        if was_relinked(disk, merged, target) {
            children.relinked.push(FileState::of_relative(disk));
        } else if (is_child || needs().is_some()) && left_overs.contains(disk) {
            children.left_over.push(FileState::of_relative(disk));
        } else if let Some(parent) = needs().or(is_marked_child.then_some(merged)) {
            in_the_way.push((disk.path.clone(), parent.path.clone()));
            unfinished.extend(unfinished::find(disk, parent, &states, relatives));
        } else if is_child {
            children.to_relink.push(FileState::of_relative(disk));
        }
    }
    if in_the_way.is_empty() {
        return Ok(children);
    }
    let (child, target) = (merged.path.clone(), target.path.clone());
    Err(ChainError::OtherChildren { child, target, in_the_way, unfinished }.into())
}

/// What the lowest merged layer says of a merge of the first of `layers` into the last one; `None` if it is the lowest layer
/// of no such merge.
fn merge_of(layers: &[Vhdx]) -> Option<LowestLayer> {
    let [merged, .., _] = layers else { return None };
    let linkages = Linkages::of(layers.get(layers.len().checked_sub(2)?)?);
    let is_of_merged = match linkages.required_mark() {
        Some(required) => Linkages::of(merged).carried_mark().is_some_and(|mark| required.is(mark)),
        None => layers.len() == 2,
    };
    linkages.merge().filter(|_| is_of_merged)
}

/// Whether the lowest of the merged layers and the target, the last one, say that the merge of the first one is complete, and
/// the first one was not changed since.
fn is_complete(layers: &[Vhdx]) -> bool {
    let [merged, .., target] = layers else { return false };
    merge_of(layers).is_some_and(|lowest| {
        lowest.is_complete_in(target.data_write_guid()) && lowest.merge.is_of(merged.data_write_guid())
    })
}

/// The layer into which an earlier run has merged the leaf of a chain, completely or in part, if the files say so. A complete
/// merge counts only if the leaf was not changed since.
pub fn earlier_target(chain: &Chain) -> Option<usize> {
    let is_begun = |layers: &[Vhdx]| merge_of(layers).is_some_and(|lowest| !lowest.is_complete);
    let is_merge = |layers: &[Vhdx]| is_complete(layers) || is_begun(layers);
    (1..chain.layers().len()).find(|&target| chain.layers().get(..=target).is_some_and(is_merge))
}

/// Refuses to merge a disk, or a layer, into which a merge is incomplete.
///
/// # Errors
/// [`ChainError::HalfMerged`].
pub(super) fn ensure_none_half_merged(merged: &[Vhdx], relatives: &Relatives) -> Result<()> {
    merged.iter().enumerate().try_for_each(|(i, layer)| match mark::is_half_merged(layer) {
        true => Err(unfinished::half_merged(&FileState::of_layer(i, layer), relatives).into()),
        false => Ok(()),
    })
}

/// Whether a merge has left a mark in the disk, which relinking would take away.
pub(super) fn has_mark(disk: &Relative) -> bool {
    disk.linkages().required_mark().is_some() || disk.linkages().carried_mark().is_some()
}

/// Refuses to take those layers out of a chain, leaf first, that lie above `target`, if one of them bears a mark that a
/// layer asks for that stays.
///
/// # Errors
/// [`ChainError::Superseded`].
pub(super) fn ensure_whole(chain: &[Vhdx], target: usize) -> Result<()> {
    let (merged, staying) = chain.split_at(target.min(chain.len()));
    for (layer, parent) in staying.iter().zip(staying.iter().skip(1)) {
        let linkages = Linkages::of(layer);
        let Some(required) = linkages.required_mark() else { continue };
        let carries = |vhdx: &Vhdx| Linkages::of(vhdx).carried_mark().is_some_and(|mark| required.is(mark));
        if merged.iter().any(carries) {
            let path = |vhdx: &Vhdx| vhdx.path().unwrap_or("a file without a name".as_ref()).to_owned();
            let is_complete = linkages.merge().is_some_and(|layer| layer.is_complete);
            return Err(
                ChainError::Superseded { child: path(layer), parent: path(parent), is_complete }.into()
            );
        }
    }
    Ok(())
}

/// The first disk that has one of these for its parent, and is none of the files that are `known`.
pub(super) fn find_newcomer<'a>(
    relatives: &'a Relatives,
    parents: &[Uuid],
    known: &[FileState],
) -> Option<&'a Relative> {
    let is_known = |disk: &Relative| known.iter().any(|state| is_file(state, disk));
    let is_child = |disk: &Relative| parents.iter().any(|&guid| disk.is_child_of(guid));
    relatives.disks.iter().find(|disk| is_child(disk) && !is_known(disk))
}

/// Whether a disk is this file, whatever it is called. Where files have no identities, paths must do.
pub(super) fn is_file(state: &FileState, disk: &Relative) -> bool {
    match (state.identity, disk.identity) {
        (Some(mine), Some(theirs)) => mine == theirs,
        _ => state.path == disk.path,
    }
}

/// Whether the disk names the target, and with its second linkage the disk that was its parent before.
fn was_relinked(disk: &Relative, merged: &FileState, target: &FileState) -> bool {
    let linkages = [target.data_write_guid, merged.data_write_guid];
    !linkages.iter().any(Uuid::is_nil) && [disk.linkage, disk.linkage2] == linkages.map(Some)
}

#[cfg(test)]
mod tests;
