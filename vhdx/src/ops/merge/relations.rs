//! Finds the disks outside a merge that depend on its files.
//!
//! Children of the merged disk are relinked. Layers that other merges have left over are reported. Any other disk
//! blocks the merge.

use uuid::Uuid;

use super::state::FileState;
use super::unfinished;
use crate::disk::Chain;
use crate::disk::mark::{self, Linkages, TargetChild};
use crate::error::{ChainFault, Guaranteed, Result};
use crate::family::{FileFacts, Relatives};
use crate::file::Vhdx;

/// The children of the merged disk, and the layers that earlier merges have left over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Children {
    /// The children that are to be relinked.
    pub(super) to_relink: Vec<FileState>,
    /// The children that an earlier run has relinked.
    ///
    /// They prove that the target holds all of the merged disk.
    pub(super) relinked: Vec<FileState>,
    /// Layers left over from completed merges. They do not open once the target changes.
    pub(super) left_over: Vec<FileState>,
    /// Whether the files of the merge themselves say that the target holds all of the merged disk.
    pub(super) is_complete: bool,
}

/// Finds the children of the first of `layers`, which is merged into the last one.
///
/// The layers between are merged, too.
///
/// # Errors
/// [`OtherChildren`](crate::ChainErrorKind::OtherChildren) if a disk outside the merge depends on one of the
/// other layers, or is a child of the first one and has a mark.
pub(super) fn find_children(layers: &[Vhdx], relatives: &Relatives) -> Result<Children> {
    let states: Vec<FileState> =
        layers.iter().enumerate().map(|(i, vhdx)| FileState::of_layer(i, vhdx)).collect();
    let (Some(merged), Some(target)) = (states.first(), states.last()) else {
        return Ok(Children::default());
    };
    let is_complete = is_complete(layers);
    // A complete target does not change, so its other children do not matter.
    let last = if is_complete { states.len() - 1 } else { states.len() };
    let lower = states.get(1..last).guaranteed("the target is not the merged disk")?;

    let mut children = Children { is_complete, ..Children::default() };
    let (mut dependents, mut unfinished) = (Vec::new(), Vec::new());
    let mut left_overs = relatives.left_overs();
    for disk in relatives.disks.iter().filter(|disk| !states.iter().any(|state| state.is_file_of(disk))) {
        let is_child = disk.is_child_of(merged.data_write_guid);
        let is_marked_child = is_child && disk.has_mark();
        let needs = || lower.iter().find(|state| disk.is_child_of(state.data_write_guid));
        if was_relinked(disk, merged, target) {
            children.relinked.push(FileState::of_relative(disk));
        } else if (is_child || needs().is_some()) && left_overs.contains(disk) {
            children.left_over.push(FileState::of_relative(disk));
        } else if let Some(parent) = needs().or(is_marked_child.then_some(merged)) {
            dependents.push((disk.path.clone(), parent.path.clone()));
            unfinished.extend(unfinished::find(disk, parent, &states, relatives));
        } else if is_child {
            children.to_relink.push(FileState::of_relative(disk));
        }
    }
    if dependents.is_empty() {
        return Ok(children);
    }
    let (child, target) = (merged.path.clone(), target.path.clone());
    Err(ChainFault::OtherChildren { child, target, dependents, unfinished }.into())
}

/// Returns what the target's child says of a merge of the first layer into the last one.
///
/// `None` if the layer belongs to no such merge.
fn merge_of(layers: &[Vhdx]) -> Option<TargetChild> {
    let [merged, .., _] = layers else { return None };
    let linkages = Linkages::of(layers.get(layers.len().checked_sub(2)?)?);
    let is_of_merged = match linkages.required_mark() {
        Some(required) => Linkages::of(merged).carried_mark().is_some_and(|mark| required.is(mark)),
        None => layers.len() == 2,
    };
    linkages.merge().filter(|_| is_of_merged)
}

/// Whether the files say that the merge is complete, and the merged disk is unchanged since.
///
/// The target's child and the target must say so. The target is the last one of `layers`.
fn is_complete(layers: &[Vhdx]) -> bool {
    let [merged, .., target] = layers else { return false };
    merge_of(layers).is_some_and(|target_child| {
        target_child.is_complete_in(target.data_write_guid())
            && target_child.merge.is_of(merged.data_write_guid())
    })
}

/// Returns the layer into which an earlier run has merged the leaf, if the files say so.
///
/// An incomplete merge counts, too. A complete one counts only if the leaf was not changed since.
#[cfg_attr(not(feature = "raw-format"), allow(unreachable_pub))]
pub fn earlier_target(chain: &Chain) -> Option<usize> {
    let is_begun = |layers: &[Vhdx]| {
        let has_incomplete_guid = |guid| layers.last().is_some_and(|target| target.data_write_guid() == guid);
        merge_of(layers).is_some_and(|target_child| {
            !target_child.is_complete || has_incomplete_guid(target_child.merge.guid())
        })
    };
    let is_merge = |layers: &[Vhdx]| is_complete(layers) || is_begun(layers);
    (1..chain.layers().len()).find(|&target| chain.layers().get(..=target).is_some_and(is_merge))
}

/// Checks that no merge into one of the merged layers is incomplete.
///
/// # Errors
/// [`HalfMerged`](crate::ChainErrorKind::HalfMerged).
pub(super) fn ensure_none_half_merged(merged: &[Vhdx], relatives: &Relatives) -> Result<()> {
    merged.iter().enumerate().try_for_each(|(i, layer)| match mark::is_half_merged(layer) {
        true => Err(unfinished::half_merged(&FileState::of_layer(i, layer), relatives).into()),
        false => Ok(()),
    })
}

/// Checks that no layer that stays in the chain requires a mark that a merged layer carries.
///
/// `chain` is leaf first. The layers before `target` are merged, the others stay.
///
/// # Errors
/// [`LayerOfMerge`](crate::ChainErrorKind::LayerOfMerge).
pub(super) fn ensure_whole(chain: &[Vhdx], target: usize) -> Result<()> {
    let (merged, staying) = chain.split_at(target.min(chain.len()));
    for (layer, parent) in staying.iter().zip(staying.iter().skip(1)) {
        let linkages = Linkages::of(layer);
        let Some(required) = linkages.required_mark() else { continue };
        let carries = |vhdx: &Vhdx| Linkages::of(vhdx).carried_mark().is_some_and(|mark| required.is(mark));
        if merged.iter().any(carries) {
            let is_complete = linkages.merge().is_some_and(|layer| layer.is_complete);
            return Err(ChainFault::LayerOfMerge {
                child: layer.shown_path(),
                parent: parent.shown_path(),
                is_complete,
            }
            .into());
        }
    }
    Ok(())
}

/// Returns the first disk that has one of these parents and is none of the `known` files.
pub(super) fn find_newcomer<'a>(
    relatives: &'a Relatives,
    parents: &[Uuid],
    known: &[FileState],
) -> Option<&'a FileFacts> {
    let is_known = |disk: &FileFacts| known.iter().any(|state| state.is_file_of(disk));
    let is_child = |disk: &FileFacts| parents.iter().any(|&guid| disk.is_child_of(guid));
    relatives.disks.iter().find(|disk| is_child(disk) && !is_known(disk))
}

/// Whether a disk names the target first and the merged disk second, as a relinked child.
fn was_relinked(disk: &FileFacts, merged: &FileState, target: &FileState) -> bool {
    let linkages = [target.data_write_guid, merged.data_write_guid];
    !linkages.iter().any(Uuid::is_nil) && [disk.linkage, disk.linkage2] == linkages.map(Some)
}

#[cfg(test)]
mod tests;
