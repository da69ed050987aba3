//! What a merge writes into parent locators and headers, so that the state of the merge can be read from the files.
//!
//! - The **target** has a DataWriteGuid of its own kind while the merge into it is incomplete, and another one once it is
//!   complete ([`merge_guid`](crate::format::merge_guid)).
//! - The **lowest merged layer** names the target by the first of these GUIDs in its `parent_linkage`. Its
//!   `parent_linkage2` is the target's GUID from before the merge until the content is complete, then the second one.
//! - The **merged disk** carries a mark in its `parent_linkage2`, if several levels are merged. The layers between it and
//!   the target hold older versions of data that the target has: they are read only below a disk with that mark.
//!
//! Earlier versions of this library wrote the mark itself into the lowest layer's `parent_linkage`. Such layers are read
//! as before; whether their merge is complete cannot be told from them.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use uuid::Uuid;

use crate::file::Vhdx;
use crate::format::merge_guid::{self, IncompleteMerge};
use crate::format::parent_locator::{MARK, ParentLocator, is_mark};

/// A new mark.
pub(crate) fn random() -> Uuid {
    Uuid::from_u128(MARK | (Uuid::new_v4().as_u128() & (u128::MAX >> 32)))
}

/// The mark that a layer requires: it is read only below a disk that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequiredMark {
    /// The mark itself.
    Exact(Uuid),
    /// The checksum of the mark.
    Checksum(u32),
}

impl RequiredMark {
    /// Whether this is the mark.
    pub(crate) fn is(self, mark: Uuid) -> bool {
        match self {
            RequiredMark::Exact(required) => required == mark,
            RequiredMark::Checksum(required) => is_mark(mark) && required == merge_guid::checksum(mark),
        }
    }
}

/// What the linkages of a layer say of merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Linkages {
    /// The `parent_linkage`.
    pub(crate) first: Option<Uuid>,
    /// The `parent_linkage2`.
    pub(crate) second: Option<Uuid>,
}

impl Linkages {
    /// Those of a file; none if it has no parent.
    pub(crate) fn of(vhdx: &Vhdx) -> Self {
        let locator = vhdx.parent_locator();
        Self {
            first: locator.and_then(ParentLocator::parent_linkage),
            second: locator.and_then(ParentLocator::parent_linkage2),
        }
    }

    /// The merge of which this is the lowest layer. Layers of earlier versions do not say.
    pub(crate) fn merge(self) -> Option<LowestLayer> {
        let merge = IncompleteMerge::from_guid(self.first?)?;
        Some(LowestLayer { merge, is_complete: self.second == Some(merge.complete_guid()) })
    }

    /// The mark that the layer requires.
    pub(crate) fn required_mark(self) -> Option<RequiredMark> {
        match self.merge() {
            Some(layer) => layer.merge.required_mark().map(RequiredMark::Checksum),
            None => self.first.filter(|&first| is_mark(first)).map(RequiredMark::Exact),
        }
    }

    /// The mark that the file carries for layers between it and a target.
    pub(crate) fn carried_mark(self) -> Option<Uuid> {
        self.second.filter(|&second| is_mark(second))
    }
}

/// The lowest layer of a merge says how far the merge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LowestLayer {
    /// The merge.
    pub(crate) merge: IncompleteMerge,
    /// Whether the target holds all content of the merged disk. Without a crash just then, the target says so, too.
    pub(crate) is_complete: bool,
}

impl LowestLayer {
    /// Whether the merge into a target with this DataWriteGuid is complete.
    pub(crate) fn is_complete_in(self, target: Uuid) -> bool {
        self.is_complete && target == self.merge.complete_guid()
    }
}

/// Which of two GUIDs of the target is the newer one: the first while a merge is incomplete, otherwise the second.
pub(crate) fn names_newer_first(linkages: Linkages) -> bool {
    linkages.merge().is_some_and(|layer| !layer.is_complete)
}

/// Whether the file is a target, and the merge into it is incomplete.
pub(crate) fn is_half_merged(vhdx: &Vhdx) -> bool {
    IncompleteMerge::from_guid(vhdx.data_write_guid()).is_some()
}

/// Whether a layer of a completed merge is of no use any more: the target holds everything, and no disk that is read
/// through the layer was changed since or has children of its own. Children that are themselves left over do not count.
///
/// Disks are told by any value: `facts` gives a disk's DataWriteGuid and linkages, `children` the disks that name it.
pub(crate) fn is_left_over<D: Copy + Eq + Hash>(
    lowest: D,
    facts: impl Fn(D) -> (Uuid, Linkages),
    children: impl Fn(D) -> Vec<D>,
) -> bool {
    LeftOvers { facts, children, known: HashMap::new() }.contains(lowest)
}

/// Finds left-over layers among disks, each once.
struct LeftOvers<D, F, C> {
    facts: F,
    children: C,
    /// What is known of each lowest layer. `false` while it is being found out, so that a cycle ends.
    known: HashMap<D, bool>,
}

impl<D: Copy + Eq + Hash, F: Fn(D) -> (Uuid, Linkages), C: Fn(D) -> Vec<D>> LeftOvers<D, F, C> {
    fn contains(&mut self, lowest: D) -> bool {
        let (guid, linkages) = (self.facts)(lowest);
        let Some(LowestLayer { merge, is_complete: true }) = linkages.merge() else { return false };
        if let Some(&known) = self.known.get(&lowest) {
            return known;
        }
        self.known.insert(lowest, false);
        let found = self.read_through(lowest, merge);
        let is_left_over = match merge.required_mark() {
            Some(checksum) => self.all_lead_to_merged_disk(&found, merge, RequiredMark::Checksum(checksum)),
            None => merge.is_of(guid) && found.len() == 1,
        };
        self.known.insert(lowest, is_left_over);
        is_left_over
    }

    /// The layer and each disk that is read through it and not left over, with the position of its parent in this list.
    fn read_through(&mut self, lowest: D, merge: IncompleteMerge) -> Vec<(D, usize)> {
        let mut found = vec![(lowest, 0)];
        let mut seen = HashSet::from([lowest]);
        let mut next = 0;
        while let Some(&(disk, _)) = found.get(next) {
            for child in (self.children)(disk) {
                // A child that was relinked names the target first, and the merged disk second.
                let is_relinked = (self.facts)(child).1.first == Some(merge.complete_guid());
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
        found: &[(D, usize)],
        merge: IncompleteMerge,
        required: RequiredMark,
    ) -> bool {
        let is_unchanged_merged_disk = |disk: D| {
            let (guid, linkages) = (self.facts)(disk);
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
