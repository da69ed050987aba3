//! Finds merges that may be incomplete: half-merged targets, and disks that block another merge.

use super::FileState;
use crate::disk::mark;
use crate::error::Result;
use crate::error::{ChainFault, UnfinishedMerge};
use crate::family::{FileFacts, Relatives};
use crate::file::Vhdx;

/// Returns an error if a merge into the leaf is incomplete, or may be.
///
/// Either the leaf itself says so, or one of `relatives`, left by a merge of an earlier version, does.
///
/// # Errors
/// [`HalfMerged`](crate::ChainErrorKind::HalfMerged).
pub fn ensure_not_half_merged(leaf: &Vhdx, relatives: &Relatives) -> Result<()> {
    let state = FileState::of_layer(0, leaf);
    if mark::is_half_merged(leaf) {
        return Err(half_merged(&state, relatives).into());
    }
    let unfinished = possible_merges_into(&state, relatives);
    match unfinished.is_empty() {
        true => Ok(()),
        false => Err(ChainFault::HalfMerged { disk: state.path, unfinished, is_certain: false }.into()),
    }
}

/// Returns the merges of earlier versions into a disk, which may be incomplete.
fn possible_merges_into(state: &FileState, relatives: &Relatives) -> Vec<UnfinishedMerge> {
    merges_into(state, relatives, |disk| disk.linkages().merge().is_none())
}

/// Returns the error for a disk into which a merge is incomplete.
pub(super) fn half_merged(state: &FileState, relatives: &Relatives) -> ChainFault {
    let unfinished = merges_into(state, relatives, |disk| disk.linkages().merge().is_some());
    match unfinished.is_empty() {
        true => ChainFault::half_merged(&state.path),
        false => ChainFault::HalfMerged { disk: state.path.clone(), unfinished, is_certain: true },
    }
}

/// Returns the merges into a disk that have left one of its children.
///
/// `is_meant` selects the children.
fn merges_into(
    state: &FileState,
    relatives: &Relatives,
    is_meant: impl Fn(&FileFacts) -> bool,
) -> Vec<UnfinishedMerge> {
    let children = relatives.children_of(state.data_write_guid).filter(|child| !state.is_file_of(child));
    let found = children
        .filter(|child| is_meant(child))
        .filter_map(|child| find(child, state, std::slice::from_ref(state), relatives));
    // In the other merges, the disk is not the target.
    found.filter(|merge| merge.target.as_ref() == Some(&state.path)).collect()
}

/// Returns the other merge that has left `disk`, a child of `parent`.
///
/// `layers` are those of the merge that the disk blocks. A copy of one of them belongs to no other merge.
pub(super) fn find(
    disk: &FileFacts,
    parent: &FileState,
    layers: &[FileState],
    relatives: &Relatives,
) -> Option<UnfinishedMerge> {
    if layers.iter().any(|layer| layer.data_write_guid == disk.data_write_guid) {
        return None;
    }
    let carrier =
        || relatives.disks.iter().find(|other| other.carries_mark_for(disk)).map(|found| &found.path);
    let (merged, target) = if let Some(target_child) = disk.linkages().merge() {
        if target_child.is_complete_in(parent.data_write_guid) {
            return None; // used since that merge: a child like any other
        }
        let is_one_level = target_child.merge.required_mark().is_none();
        (if is_one_level { Some(&disk.path) } else { carrier() }, Some(&parent.path))
    } else if disk.requires_mark() {
        (carrier(), Some(&parent.path))
    } else if disk.has_mark() {
        (Some(&disk.path), None)
    } else if !is_named_second(disk, parent) {
        return None;
    } else if let Some(target) = relinked_to(disk, parent, relatives) {
        (Some(&parent.path), Some(&target.path))
    } else if disk.linkages().is_relinked() {
        // Its merge is complete, and the target was not found: a child like any other.
        return None;
    } else {
        // In a merge of an earlier version, the target's child has these linkages while its parent changes. Without a
        // mark, the merge has one level, or the mark is not written yet.
        let descendants = relatives.descendants_of(disk.data_write_guid);
        let marked = descendants.into_iter().find(|other| other.linkages().carried_mark().is_some());
        (Some(&marked.unwrap_or(disk).path), Some(&parent.path))
    };
    Some(UnfinishedMerge { layer: disk.path.clone(), merged: merged.cloned(), target: target.cloned() })
}

fn is_named_second(disk: &FileFacts, parent: &FileState) -> bool {
    let is_other = |linkage: uuid::Uuid| !linkage.is_nil() && linkage != parent.data_write_guid;
    disk.linkage2 == Some(parent.data_write_guid) && disk.linkage.is_some_and(is_other)
}

/// Returns the disk that `disk` names by its first linkage, if `parent` descends from it.
///
/// `disk` names `parent` by its second linkage. A child that was relinked when its parent was merged has such linkages.
fn relinked_to<'a>(disk: &FileFacts, parent: &FileState, relatives: &'a Relatives) -> Option<&'a FileFacts> {
    let linkage = disk.linkage?;
    let target = relatives.disks.iter().find(|other| other.data_write_guid == linkage)?;
    let descendants = relatives.descendants_of(linkage);
    descendants.iter().any(|other| other.data_write_guid == parent.data_write_guid).then_some(target)
}
