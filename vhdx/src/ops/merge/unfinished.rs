//! Telling what is left of merges that may need it still: disks in the way of another merge, and half merged targets.

use super::FileState;
use super::relations::{bears_or_asks_for_mark, is_file};
use crate::chain::{ChainError, Relative, Relatives, UnfinishedMerge};
use crate::error::Result;
use crate::file::Vhdx;

/// Refuses to take a file for a complete disk, if one of these disks says that a merge into it was begun: whether that is
/// complete too, nothing tells as long as what was merged is there.
///
/// # Errors
/// [`ChainError::HalfMerged`].
pub fn refuse_half_merged(leaf: &Vhdx, relatives: &Relatives) -> Result<()> {
    let state = FileState::of_layer(0, leaf);
    let children = relatives.children_of(state.data_write_guid).filter(|child| !is_file(&state, child));
    let found = children.filter_map(|child| find(child, &state, std::slice::from_ref(&state), relatives));
    // Others go out from the leaf, not into it.
    let is_into = |merge: &UnfinishedMerge| merge.target.as_ref() == Some(&state.path);
    let unfinished: Vec<UnfinishedMerge> = found.filter(is_into).collect();
    match unfinished.is_empty() {
        true => Ok(()),
        false => Err(ChainError::HalfMerged { disk: state.path, unfinished }.into()),
    }
}

/// The other merge that has left a disk, a child of `parent`; `layers` are those of the merge that it is in the way of, and
/// a copy of one of them is left of no other.
pub(super) fn find(
    disk: &Relative,
    parent: &FileState,
    layers: &[FileState],
    relatives: &Relatives,
) -> Option<UnfinishedMerge> {
    if layers.iter().any(|layer| layer.data_write_guid == disk.data_write_guid) {
        return None;
    }
    let bearer = || relatives.disks.iter().find(|other| other.mark_borne() == disk.mark_asked_for());
    let (merged, target) = if disk.mark_asked_for().is_some() {
        (bearer().map(|merged| &merged.path), Some(&parent.path))
    } else if bears_or_asks_for_mark(disk) {
        (Some(&disk.path), None)
    } else if !is_named_second(disk, parent) {
        return None;
    } else if let Some(target) = relinked_to(disk, parent, relatives) {
        (Some(&parent.path), Some(&target.path))
    } else {
        // The lowest layer names its parent so while that changes. Without a mark the merge has one level, or is about
        // to write the mark.
        let above = relatives.standing_on(disk.data_write_guid);
        let marked = above.into_iter().find(|other| other.mark_borne().is_some());
        (Some(&marked.unwrap_or(disk).path), Some(&parent.path))
    };
    Some(UnfinishedMerge { layer: disk.path.clone(), merged: merged.cloned(), target: target.cloned() })
}

fn is_named_second(disk: &Relative, parent: &FileState) -> bool {
    let is_other = |linkage: uuid::Uuid| !linkage.is_nil() && linkage != parent.data_write_guid;
    disk.linkage2 == Some(parent.data_write_guid) && disk.linkage.is_some_and(is_other)
}

/// The disk on which this one stands by its first linkage, if the parent that its second one names does so, too: as a
/// child that was relinked when its parent was merged.
fn relinked_to<'a>(disk: &Relative, parent: &FileState, relatives: &'a Relatives) -> Option<&'a Relative> {
    let linkage = disk.linkage?;
    let target = relatives.disks.iter().find(|other| other.data_write_guid == linkage)?;
    let above = relatives.standing_on(linkage);
    above.iter().any(|other| other.data_write_guid == parent.data_write_guid).then_some(target)
}
