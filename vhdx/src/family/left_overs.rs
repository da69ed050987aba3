//! Layers of completed merges that no disk needs any more.
//!
//! A layer is left over if the target holds everything, and no disk that is read through the layer was changed since or has
//! children of its own. Children that are themselves left over do not count. Nor does a child that was relinked: it names
//! the target first, and is read through it, but only if the target is there.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use uuid::Uuid;

use crate::disk::MAX_CHAIN_LENGTH;
use crate::disk::mark::{Linkages, LowestLayer, RequiredMark};
use crate::format::merge_guid::IncompleteMerge;

/// The disks among which left-over layers are looked for.
pub(crate) trait Disks {
    /// Tells the disks apart.
    type Id: Copy + Eq + Hash;

    /// The disk's DataWriteGuid and linkages.
    fn facts(&self, disk: Self::Id) -> (Uuid, Linkages);

    /// The disks that name this one as their parent, in one of their linkages.
    fn children(&self, disk: Self::Id) -> Vec<Self::Id>;

    /// Whether one of the disks has this DataWriteGuid.
    fn has(&self, data_write_guid: Uuid) -> bool;
}

/// Finds the left-over layers among disks. What is found out about a layer is kept.
pub(crate) struct LeftOvers<D: Disks> {
    disks: D,
    /// What is known of each lowest layer. `false` while it is being found out, so that a cycle ends.
    known: HashMap<D::Id, bool>,
    depth: usize,
}

impl<D: Disks> LeftOvers<D> {
    pub(crate) fn new(disks: D) -> Self {
        Self { disks, known: HashMap::new(), depth: 0 }
    }

    /// The disks that are read through a layer, and last the layer itself, if it is left over. Each comes before its parent.
    /// Children that are left over by themselves are not among them.
    pub(crate) fn with_descendants(&mut self, lowest: D::Id) -> Option<Vec<D::Id>> {
        let merge = self.disks.facts(lowest).1.merge()?.merge;
        if !self.contains(lowest) {
            return None;
        }
        Some(self.read_through(lowest, merge).into_iter().rev().map(|(disk, _)| disk).collect())
    }

    /// Whether a disk is the lowest layer of a completed merge, and left over. Layers that are nested deeper than a chain may
    /// be are not.
    pub(crate) fn contains(&mut self, lowest: D::Id) -> bool {
        let (guid, linkages) = self.disks.facts(lowest);
        let Some(LowestLayer { merge, is_complete: true }) = linkages.merge() else { return false };
        if let Some(&known) = self.known.get(&lowest) {
            return known;
        }
        if self.depth >= MAX_CHAIN_LENGTH {
            return false;
        }
        self.known.insert(lowest, false);
        self.depth += 1;
        let found = self.read_through(lowest, merge);
        self.depth -= 1;
        let is_left_over = match merge.required_mark() {
            Some(checksum) => self.all_lead_to_merged_disk(&found, merge, RequiredMark::Checksum(checksum)),
            None => merge.is_of(guid) && found.len() == 1,
        };
        self.known.insert(lowest, is_left_over);
        is_left_over
    }

    /// The layer and each disk that is read through it and not left over, with the position of its parent in this list.
    fn read_through(&mut self, lowest: D::Id, merge: IncompleteMerge) -> Vec<(D::Id, usize)> {
        let target = merge.complete_guid();
        let target_is_here = self.disks.has(target);
        let mut found = vec![(lowest, 0)];
        let mut seen = HashSet::from([lowest]);
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

    /// Whether each disk of the list is the unchanged merged disk, or other disks are read through it that are. What lies
    /// between the lowest layer and the merged disk is not read by itself.
    fn all_lead_to_merged_disk(
        &self,
        found: &[(D::Id, usize)],
        merge: IncompleteMerge,
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
