//! Finds the layers of completed merges that no disk needs any more.
//!
//! A layer is left over if the merge is complete and no disk that is read through the layer was changed since or has
//! children of its own. Two kinds of children do not count:
//!
//! - A child that is left over itself.
//! - A child that was relinked to the target. It is read through the target, but only if the target is among the disks.
//!   Otherwise it still needs the layer.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use uuid::Uuid;

use crate::disk::MAX_CHAIN_LENGTH;
use crate::disk::mark::{Linkages, RequiredMark, TargetChild};
use crate::format::merge_guid::MergeId;

/// The disks among which left-over layers are searched for.
pub(crate) trait Disks {
    /// Identifies a disk.
    type Id: Copy + Eq + Hash;

    /// Returns the DataWriteGuid and the linkages of a disk.
    fn facts(&self, disk: Self::Id) -> (Uuid, Linkages);

    /// Returns the disks that name this one in one of their linkages.
    fn children(&self, disk: Self::Id) -> Vec<Self::Id>;

    /// Returns whether one of the disks has this DataWriteGuid.
    fn has(&self, data_write_guid: Uuid) -> bool;
}

/// Finds the left-over layers among disks, and caches the result for each layer.
pub(crate) struct LeftOvers<D: Disks> {
    disks: D,
    /// Whether each target's child is left over.
    ///
    /// The value is `false` until it is determined, so that a cycle ends.
    known: HashMap<D::Id, bool>,
    /// The number of nested calls of [`contains`](Self::contains).
    depth: usize,
}

impl<D: Disks> LeftOvers<D> {
    /// Creates an empty cache for these disks.
    pub(crate) fn new(disks: D) -> Self {
        Self { disks, known: HashMap::new(), depth: 0 }
    }

    /// Returns a left-over layer and the disks that are read through it; `None` for others.
    ///
    /// The layer is the last. Each disk comes before its parent. Children that are themselves left over from another
    /// merge are not included.
    pub(crate) fn with_descendants(&mut self, target_child: D::Id) -> Option<Vec<D::Id>> {
        let merge = self.disks.facts(target_child).1.merge()?.merge;
        if !self.contains(target_child) {
            return None;
        }
        Some(self.read_through(target_child, merge).into_iter().rev().map(|(disk, _)| disk).collect())
    }

    /// Returns whether a disk is the target's child of a completed merge and is left over.
    ///
    /// Layers that are nested deeper than a chain can be are never left over.
    pub(crate) fn contains(&mut self, target_child: D::Id) -> bool {
        let (guid, linkages) = self.disks.facts(target_child);
        let Some(TargetChild { merge, is_complete: true }) = linkages.merge() else { return false };
        if let Some(&known) = self.known.get(&target_child) {
            return known;
        }
        if self.depth >= MAX_CHAIN_LENGTH {
            return false;
        }
        self.known.insert(target_child, false);
        self.depth += 1;
        let found = self.read_through(target_child, merge);
        self.depth -= 1;
        let is_left_over = match merge.required_mark() {
            Some(checksum) => self.all_lead_to_merged_disk(&found, merge, RequiredMark::Checksum(checksum)),
            None => merge.is_of(guid) && found.len() == 1,
        };
        self.known.insert(target_child, is_left_over);
        is_left_over
    }

    /// Returns the layer and all disks that are read through it, except left-over ones.
    ///
    /// Each has the position of its parent in this list.
    fn read_through(&mut self, target_child: D::Id, merge: MergeId) -> Vec<(D::Id, usize)> {
        let target = merge.complete_guid();
        let target_is_here = self.disks.has(target);
        let mut found = vec![(target_child, 0)];
        let mut seen = HashSet::from([target_child]);
        let mut next = 0;
        while let Some(&(disk, _)) = found.get(next) {
            for child in self.disks.children(disk) {
                let is_relinked = target_is_here && self.disks.facts(child).1.first == Some(target);
                if !is_relinked && seen.insert(child) && !self.contains(child) {
                    found.push((child, next));
                }
            }
            next += 1;
        }
        found
    }

    /// Returns whether the list has only the unchanged merged disk and its ancestors.
    ///
    /// The first disk, the target's child, is not checked. The layers between it and the merged disk are not used on
    /// their own.
    fn all_lead_to_merged_disk(
        &self,
        found: &[(D::Id, usize)],
        merge: MergeId,
        required: RequiredMark,
    ) -> bool {
        let is_unchanged_merged_disk = |disk: D::Id| {
            let (guid, linkages) = self.disks.facts(disk);
            merge.is_of(guid) && linkages.carried_mark().is_some_and(|mark| required.is(mark))
        };
        let mut leads_to_merged_disk = vec![false; found.len()];
        for (at, &(disk, parent)) in found.iter().enumerate().skip(1).rev() {
            if !leads_to_merged_disk[at] && !is_unchanged_merged_disk(disk) {
                return false;
            }
            leads_to_merged_disk[parent] = true;
        }
        true
    }
}

#[cfg(test)]
mod tests;
