//! Telling that a merge has been done before.

use std::path::PathBuf;

use uuid::Uuid;

use super::relations::is_file;
use super::state::FileState;
use crate::chain::{InspectedLayer, Link, Relative, Relatives};
use crate::format::parent_locator::ParentLocator;

/// A disk that was merged before: its lowest layer names no parent any more, as a merge leaves it once all children
/// are relinked. There is nothing left to do, but to delete the layers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AlreadyMerged {
    /// The layers that were merged, leaf first.
    pub layers: Vec<FileState>,
    /// The children of the leaf that were relinked: each names its parent of today, which was found, and the leaf.
    pub relinked: Vec<PathBuf>,
    /// The disks that still have one of the layers for their parent, each with that layer.
    pub in_use: Vec<(PathBuf, PathBuf)>,
}

impl AlreadyMerged {
    /// Whether the layers can be deleted: a relinked child proves that they were merged, and no disk needs them.
    pub fn may_delete(&self) -> bool {
        !self.relinked.is_empty() && self.in_use.is_empty()
    }
}

/// Whether the files from a disk down to where its chain breaks, as [`inspect_chain`](crate::inspect_chain) gives
/// them, were merged into a parent before.
pub fn already_merged(layers: &[InspectedLayer], relatives: &Relatives) -> Option<AlreadyMerged> {
    let (lowest, upper) = layers.split_last()?;
    let is_whole = upper.iter().all(|layer| matches!(layer.link, Link::Ok));
    if !is_whole || !names_no_parent(lowest.vhdx.parent_locator()?) {
        return None;
    }
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
            relinked.push(disk.path.clone());
        } else {
            in_use.push((disk.path.clone(), parent.path.clone()));
        }
    }
    Some(AlreadyMerged { layers: states, relinked, in_use })
}

/// Whether both linkages are zero; the second one may be missing. One that cannot be read is no such thing.
fn names_no_parent(locator: &ParentLocator) -> bool {
    use crate::format::parent_locator::PARENT_LINKAGE2;

    let second = locator.get(PARENT_LINKAGE2).is_none() || locator.parent_linkage2() == Some(Uuid::nil());
    second && locator.parent_linkage() == Some(Uuid::nil())
}

#[cfg(test)]
mod tests;
