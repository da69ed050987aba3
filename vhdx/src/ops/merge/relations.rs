//! Who else has a file of the merge for its parent: children of the merged disk are relinked, any other is in the way.

use uuid::Uuid;

use super::state::FileState;
use super::unfinished;
use crate::chain::{ChainError, Relative, Relatives, mark};
use crate::error::Result;
use crate::file::Vhdx;

/// The children of the merged disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Children {
    /// Those that are to be relinked.
    pub(super) to_relink: Vec<FileState>,
    /// Those that an earlier run has relinked: they prove that the target holds all of the merged disk.
    pub(super) relinked: Vec<FileState>,
}

/// The children of the first of `layers`, which is merged with those below it into the last one.
///
/// # Errors
/// [`ChainError::OtherChildren`] when a disk outside the merge has one of the other layers for its parent.
pub(super) fn judge(layers: &[Vhdx], relatives: &Relatives) -> Result<Children> {
    let states: Vec<FileState> =
        layers.iter().enumerate().map(|(i, vhdx)| FileState::of_layer(i, vhdx)).collect();
    let (Some(merged), Some(target)) = (states.first(), states.last()) else {
        return Ok(Children::default());
    };
    let lower = states.get(1..).unwrap_or_default();

    let mut children = Children::default();
    let (mut in_the_way, mut unfinished) = (Vec::new(), Vec::new());
    for disk in relatives.disks.iter().filter(|disk| !states.iter().any(|state| is_file(state, disk))) {
        let is_marked_child = disk.is_child_of(merged.data_write_guid) && bears_or_asks_for_mark(disk);
        let needs = || lower.iter().find(|state| disk.is_child_of(state.data_write_guid));
        if was_relinked(disk, merged, target) {
            children.relinked.push(FileState::of_relative(disk));
        } else if let Some(parent) = needs().or(is_marked_child.then_some(merged)) {
            in_the_way.push((disk.path.clone(), parent.path.clone()));
            unfinished.extend(unfinished::find(disk, parent, &states, relatives));
        } else if disk.is_child_of(merged.data_write_guid) {
            children.to_relink.push(FileState::of_relative(disk));
        }
    }
    if in_the_way.is_empty() {
        return Ok(children);
    }
    let (child, target) = (merged.path.clone(), target.path.clone());
    Err(ChainError::OtherChildren { child, target, in_the_way, unfinished }.into())
}

/// Whether another merge, which may not be complete, has left its mark in the disk: to relink it would take that away.
pub(super) fn bears_or_asks_for_mark(disk: &Relative) -> bool {
    disk.mark_asked_for().or(disk.mark_borne()).is_some()
}

/// Refuses to take those layers out of a chain, leaf first, that lie above `target`, if one of them bears a mark that a
/// layer asks for that stays.
///
/// # Errors
/// [`ChainError::Superseded`].
pub(super) fn refuse_to_part(chain: &[Vhdx], target: usize) -> Result<()> {
    let (merged, staying) = chain.split_at(target.min(chain.len()));
    for (layer, parent) in staying.iter().zip(staying.iter().skip(1)) {
        let asked_for = mark::asked_for(layer);
        if asked_for.is_some() && merged.iter().any(|vhdx| mark::borne(vhdx) == asked_for) {
            let path = |vhdx: &Vhdx| vhdx.path().unwrap_or("a file without a name".as_ref()).to_owned();
            return Err(ChainError::Superseded { child: path(layer), parent: path(parent) }.into());
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
