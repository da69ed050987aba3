//! Records which MiBs of a file are taken, and finds the blocks that overlap.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::units::{BatIndex, MIB};

/// The length in MiB of the part of a file that is covered: 128 TiB, twice the largest disk.
const COVERED: u64 = 128 << 20;
/// The largest number of contested MiBs, those taken more than once, that are recorded.
const CONTESTED: usize = 10_000;
/// The number of words in a page, which has the bits of 32 GiB.
///
/// All pages together take 16 MiB of memory.
const WORDS: usize = 512;
const PAGE: u64 = WORDS as u64 * 64;

/// One bit for each MiB of a file, in pages that are allocated when they are used.
///
/// All places are in MiB.
pub(super) struct Occupancy {
    pages: Vec<Option<Box<[u64; WORDS]>>>,
    file_end: u64,
    contested: BTreeSet<u64>,
    exceeded: bool,
}

impl Occupancy {
    /// Creates the record of a file of `file_len` bytes in which nothing is taken.
    pub(super) fn new(file_len: u64) -> Self {
        let file_end = file_len.div_ceil(MIB);
        Self { pages: Vec::new(), file_end, contested: BTreeSet::new(), exceeded: false }
    }

    pub(super) fn mark(&mut self, place: Range<u64>) {
        self.exceeded |= place.end > COVERED && place.start < self.file_end;
        for mib in place.start..place.end.min(COVERED) {
            if !self.take(mib) && self.contested.len() < CONTESTED {
                self.contested.insert(mib);
            }
        }
    }

    /// Takes a MiB before [`COVERED`], and returns whether it was free.
    fn take(&mut self, mib: u64) -> bool {
        // Below 2^27, so the conversions keep the value on every machine.
        debug_assert!(mib < COVERED);
        let number = (mib / PAGE) as usize;
        if self.pages.len() <= number {
            self.pages.resize_with(number + 1, || None);
        }
        let page = self.pages[number].get_or_insert_with(|| Box::new([0; WORDS]));
        let word = &mut page[(mib % PAGE / 64) as usize];
        let bit = 1 << (mib % 64);
        let was_free = *word & bit == 0;
        *word |= bit;
        was_free
    }

    /// Returns whether a place inside the file reaches past the covered part.
    ///
    /// Overlap is not detected there.
    ///
    /// A place that begins past the end of the file does not count: it holds no data.
    pub(super) fn is_exceeded(&self) -> bool {
        self.exceeded
    }

    /// Returns whether a MiB was taken more than once.
    pub(super) fn is_contested(&self) -> bool {
        !self.contested.is_empty()
    }

    /// Returns the MiBs that were taken more than once, if there are any.
    pub(super) fn into_contested(self) -> Option<Owners> {
        let owners: BTreeMap<_, _> = self.contested.into_iter().map(|mib| (mib, None)).collect();
        (!owners.is_empty()).then_some(Owners(owners))
    }
}

/// The first owner of each contested MiB, as a BAT entry.
pub(super) struct Owners(BTreeMap<u64, Option<BatIndex>>);

impl Owners {
    /// Claims a place, and returns the first owners of its contested MiBs.
    ///
    /// Each owner is returned once, the claimant never.
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
    fn each_later_claimant_is_reported_with_the_first_owners() {
        assert_eq!(claims(100, &[4..8, 8..12, 60..70, 3..4]), []);
        assert_eq!(claims(100, &[4..8, 8..12, 7..9]), [(2, 0), (2, 1)]);
        assert_eq!(claims(100, &[4..8, 4..8, 4..8]), [(1, 0), (2, 0)]);
        assert_eq!(claims(100, &[62..66, 63..64, 65..66]), [(1, 0), (2, 0)]);
    }

    #[test]
    fn places_past_the_end_take_little_memory() {
        assert_eq!(claims(10, &[9..300, 9..10, 400..402, 401..403, 402..404]), [(1, 0), (3, 2), (4, 3)]);
        let pages = |places: &[Range<u64>]| {
            let mut occupancy = Occupancy::new(10 * MIB);
            places.iter().for_each(|place| occupancy.mark(place.clone()));
            assert!(occupancy.contested.is_empty() && !occupancy.is_exceeded());
            (occupancy.pages.len(), occupancy.pages.iter().flatten().count())
        };
        assert_eq!(pages(&[4..5, COVERED - 1..COVERED]), (4096, 2));
        assert_eq!(pages(&[COVERED..COVERED + 9, COVERED..COVERED + 1, u64::MAX - 5..u64::MAX]), (0, 0));
        assert_eq!(pages(&[0..9, 9..COVERED]), (4096, 4096));
    }

    #[test]
    fn a_block_past_the_covered_part_is_reported() {
        let mut occupancy = Occupancy::new(u64::MAX);
        occupancy.mark(0..COVERED);
        assert!(!occupancy.is_exceeded());
        occupancy.mark(COVERED..COVERED + 1);
        assert!(occupancy.is_exceeded());
    }
}
