//! Which MiBs of a file are taken, and by whom where that is contested.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::units::{BatIndex, MIB};

/// The part of a file that is looked at, in MiB: 128 TiB, twice the largest disk, which takes 16 MiB of memory.
const COVERED: u64 = 128 << 20;
/// How many contested MiBs are looked at.
const CONTESTED: usize = 10_000;

/// One bit for each MiB of a file. All places are numbers of MiBs.
pub(super) struct Occupancy {
    taken: Vec<u64>,
    covered: u64,
    contested: BTreeSet<u64>,
    exceeded: bool,
}

impl Occupancy {
    /// Nothing is taken. What lies past the end of the file needs no bits: it is wrong in any case.
    pub(super) fn new(file_len: u64) -> Self {
        let covered = file_len.div_ceil(MIB).min(COVERED);
        let words = usize::try_from(covered.div_ceil(64)).unwrap_or(0);
        Self { taken: vec![0; words], covered, contested: BTreeSet::new(), exceeded: false }
    }

    pub(super) fn mark(&mut self, place: Range<u64>) {
        self.exceeded |= place.end > COVERED && self.covered == COVERED;
        for mib in place.start..place.end.min(self.covered) {
            let Some(word) = usize::try_from(mib / 64).ok().and_then(|at| self.taken.get_mut(at)) else {
                return;
            };
            let bit = 1 << (mib % 64);
            if *word & bit != 0 && self.contested.len() < CONTESTED {
                self.contested.insert(mib);
            }
            *word |= bit;
        }
    }

    /// Whether something lies where nothing was looked at.
    pub(super) fn is_exceeded(&self) -> bool {
        self.exceeded
    }

    /// The MiBs that were taken more than once, if any were.
    pub(super) fn into_contested(self) -> Option<Owners> {
        let owners: BTreeMap<_, _> = self.contested.into_iter().map(|mib| (mib, None)).collect();
        (!owners.is_empty()).then_some(Owners(owners))
    }
}

/// Who was the first to take each contested MiB.
pub(super) struct Owners(BTreeMap<u64, Option<BatIndex>>);

impl Owners {
    /// Claims a place; gives back who else has claimed parts of it before, each once.
    pub(super) fn claim(&mut self, claimant: BatIndex, place: Range<u64>) -> BTreeSet<BatIndex> {
        let mut others = BTreeSet::new();
        for (_, owner) in self.0.range_mut(place) {
            others.insert(*owner.get_or_insert(claimant));
        }
        others.remove(&claimant);
        others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(file_mib: u64, places: &[Range<u64>]) -> Vec<(u64, u64)> {
        let mut occupancy = Occupancy::new(file_mib * MIB);
        places.iter().for_each(|place| occupancy.mark(place.clone()));
        let Some(mut owners) = occupancy.into_contested() else { return Vec::new() };
        let mut found = Vec::new();
        for (index, place) in places.iter().enumerate() {
            let index = index as u64;
            let others = owners.claim(BatIndex::new(index), place.clone());
            found.extend(others.into_iter().map(|other| (index, other.get())));
        }
        found
    }

    #[test]
    fn every_later_claimant_is_named_with_every_earlier_owner() {
        assert_eq!(claims(100, &[4..8, 8..12, 60..70, 3..4]), []);
        assert_eq!(claims(100, &[4..8, 8..12, 7..9]), [(2, 0), (2, 1)]);
        assert_eq!(claims(100, &[4..8, 4..8, 4..8]), [(1, 0), (2, 0)]);
        assert_eq!(claims(100, &[62..66, 63..64, 65..66]), [(1, 0), (2, 0)]);
    }

    #[test]
    fn what_lies_past_the_end_needs_no_memory() {
        assert_eq!(claims(10, &[u64::MAX - 5..u64::MAX, u64::MAX - 5..u64::MAX, 9..300, 9..10]), [(3, 2)]);
        assert!(Occupancy::new(u64::MAX).taken.len() as u64 * 64 <= COVERED);
    }

    #[test]
    fn it_is_told_when_blocks_lie_too_far_out() {
        let mut occupancy = Occupancy::new(u64::MAX);
        occupancy.mark(0..COVERED);
        assert!(!occupancy.is_exceeded());
        occupancy.mark(COVERED..COVERED + 1);
        assert!(occupancy.is_exceeded());
    }
}
