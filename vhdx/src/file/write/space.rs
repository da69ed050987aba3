//! Tracks the free space of a file in units of 1 MiB.
//!
//! Every region and every block consists of whole MiBs.

use std::ops::Range;

use crate::error::{Bounded, Error, Result, Times};
use crate::file::Vhdx;
use crate::file::headers;
use crate::file::validate_bat::ensure_writable;
use crate::units::{FileOffset, MIB};

/// The longest file that is written to, in MiB: 128 TiB.
///
/// Past that, overlap is not detected. The bits of such a file take 16 MiB of memory.
const LONGEST: u64 = 128 << 20;

/// The free space of a file. Everything past the end of the file is free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    /// One bit for each MiB, set if it is taken. MiBs past the last word are free.
    taken: Vec<u64>,
    /// No free run of `searched_for` MiB or more begins before this MiB.
    searched_to: u64,
    searched_for: u64,
    /// The MiBs from here on were never part of the file.
    fresh: u64,
}

/// A part of a file that was free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// A multiple of 1 MiB.
    pub(crate) offset: FileOffset,
    /// Whether the file never reached this place, so that it reads as zeros after the file is extended.
    pub(crate) is_fresh: bool,
}

impl Space {
    /// Returns the space of a file that can be written to in one session.
    ///
    /// Checks the whole BAT.
    ///
    /// # Errors
    /// [`Error::Corrupt`] and [`Error::Unsupported`] for the first broken rule that is not tolerated, [`Error::Io`].
    pub(crate) fn from_validated_bat(vhdx: &Vhdx) -> Result<Self> {
        Self::validated(vhdx, headers::SESSION)
    }

    /// Returns the space of a file that can be written to in all sessions of a merge.
    ///
    /// # Errors
    /// As [`from_validated_bat`](Self::from_validated_bat).
    pub(crate) fn of_mergeable(vhdx: &Vhdx) -> Result<Self> {
        Self::validated(vhdx, headers::MERGE)
    }

    fn validated(vhdx: &Vhdx, updates: u64) -> Result<Self> {
        let mut space = Self {
            taken: Vec::new(),
            searched_to: 0,
            searched_for: u64::MAX,
            fresh: vhdx.layout.file_len.max(vhdx.file_len()).div_ceil(MIB),
        };
        space.mark(0..1);
        let (log, log_len) = vhdx.layout.log;
        space.take(log, log_len);
        for region in &vhdx.layout.regions {
            space.take(region.offset, region.length);
        }
        ensure_writable(vhdx, updates, |place| space.mark(place))?;
        Ok(space)
    }

    /// Takes the lowest free place of `len` bytes.
    ///
    /// # Errors
    /// [`Error::Io`] if the file would become longer than 128 TiB.
    pub(crate) fn allocate(&mut self, len: u64) -> Result<Place> {
        let mibs = len.div_ceil(MIB).max(1);
        if mibs < self.searched_for {
            (self.searched_to, self.searched_for) = (0, mibs);
        }
        let first = self.find(mibs);
        let end = first.plus(mibs)?;
        if end > LONGEST {
            return Err(Error::io("extend", None, std::io::ErrorKind::FileTooLarge.into()));
        }
        if mibs == self.searched_for {
            self.searched_to = end;
        }
        let is_fresh = first >= self.fresh;
        self.mark(first..end);
        Ok(Place { offset: FileOffset::new(first.times(MIB)?), is_fresh })
    }

    /// Returns whether no MiB of a place is taken.
    pub(crate) fn is_free(&self, offset: FileOffset, len: u64) -> bool {
        let is_taken =
            |mib: u64| self.taken.get(index(mib)).is_some_and(|word| word & (1 << (mib % 64)) != 0);
        !mibs(offset, len).any(is_taken)
    }

    /// Returns whether everything that this space has taken is taken in `other`, too.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        let others = other.taken.iter().copied().chain(std::iter::repeat(0));
        self.taken.iter().zip(others).all(|(&here, there)| here & !there == 0)
    }

    /// Makes a place free again.
    pub(crate) fn release(&mut self, offset: FileOffset, len: u64) {
        for mib in mibs(offset, len) {
            if let Some(word) = self.taken.get_mut(index(mib)) {
                *word &= !(1 << (mib % 64));
            }
        }
        (self.searched_to, self.searched_for) = (0, u64::MAX);
    }

    /// Takes a place that was chosen elsewhere.
    pub(crate) fn take(&mut self, offset: FileOffset, len: u64) {
        self.mark(mibs(offset, len));
    }

    /// Returns the end of the taken space: one past the last taken byte.
    pub(crate) fn end(&self) -> FileOffset {
        let last = self.taken.iter().rposition(|&word| word != 0);
        let mibs = last.map_or(0, |at| at as u64 * 64 + u64::from(64 - self.taken[at].leading_zeros()));
        FileOffset::new(mibs * MIB)
    }

    fn mark(&mut self, mibs: Range<u64>) {
        let end = mibs.end.min(LONGEST);
        if end > mibs.start && self.taken.len() <= index(end - 1) {
            self.taken.resize(index(end - 1) + 1, 0);
        }
        for mib in mibs.start..end {
            self.taken[index(mib)] |= 1 << (mib % 64);
        }
        self.fresh = self.fresh.max(end);
    }

    /// Returns the first MiB of the lowest free run that is long enough.
    fn find(&self, mibs: u64) -> u64 {
        let mut first = self.searched_to;
        let mut at = first;
        while at - first < mibs {
            let word = self.taken.get(index(at)).copied();
            match word {
                None => return first,
                Some(u64::MAX) => {
                    at = (at / 64 + 1) * 64;
                    first = at;
                }
                Some(word) if word & (1 << (at % 64)) != 0 => {
                    at += 1;
                    first = at;
                }
                Some(_) => at += 1,
            }
        }
        first
    }
}

/// Returns the MiBs of a place before [`LONGEST`].
///
/// A region that is unknown and not required may lie at any offset.
fn mibs(offset: FileOffset, len: u64) -> Range<u64> {
    let start = offset.get() / MIB;
    start..offset.saturating_add(len).get().div_ceil(MIB).min(LONGEST).max(start)
}

/// Returns the index of the word that has the bit of a MiB. There is no such word for [`LONGEST`].
fn index(mib: u64) -> usize {
    // So the index fits the addresses of every machine.
    debug_assert!(mib <= LONGEST);
    (mib / 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The space of a file in which the first `head` MiBs and the ranges `taken` are taken.
    fn space(head: u64, taken: &[Range<u64>], file_mib: u64) -> Space {
        let mut space = Space { taken: Vec::new(), searched_to: 0, searched_for: u64::MAX, fresh: file_mib };
        space.mark(0..head);
        taken.iter().for_each(|range| space.mark(range.clone()));
        space
    }

    fn allocate(space: &mut Space, mibs: u64) -> (u64, bool) {
        let place = space.allocate(mibs * MIB).unwrap();
        (place.offset.get() / MIB, place.is_fresh)
    }

    #[test]
    fn the_lowest_run_that_is_long_enough_is_taken() {
        let mut space = space(4, &[5..7, 9..130], 131);
        assert_eq!(allocate(&mut space, 2), (7, false));
        assert_eq!(allocate(&mut space, 1), (4, false));
        assert_eq!(allocate(&mut space, 1), (130, false));
        assert_eq!(allocate(&mut space, 32), (131, true));
        assert_eq!(space.end().get(), 163 * MIB);
        space.release(FileOffset::new(5 * MIB), 2 * MIB);
        assert_eq!(allocate(&mut space, 3), (163, true));
        assert_eq!(allocate(&mut space, 2), (5, false));
    }

    #[test]
    fn space_that_was_used_once_is_not_fresh() {
        let mut space = space(4, &[], 4);
        assert_eq!(allocate(&mut space, 2), (4, true));
        space.release(FileOffset::new(4 * MIB), 2 * MIB);
        assert_eq!(space.end().get(), 4 * MIB);
        assert_eq!(allocate(&mut space, 1), (4, false));
        assert_eq!(allocate(&mut space, 2), (5, false));
    }

    #[test]
    fn every_allocation_is_free_and_disjoint() {
        let mut space = space(3, &[64..65, 100..200], 250);
        let mut seen = vec![false; 1000];
        for mibs in [1, 2, 3, 32, 1, 60, 2, 16, 1, 7] {
            let (first, _) = allocate(&mut space, mibs);
            for mib in first..first + mibs {
                assert!(!(0..3).contains(&mib) && mib != 64 && !(100..200).contains(&mib));
                assert!(!std::mem::replace(&mut seen[mib as usize], true), "{mib} was given twice");
            }
        }
    }

    #[test]
    fn allocation_past_the_longest_file_fails() {
        let mut space = space(0, &[], 0);
        space.take(FileOffset::new(0), LONGEST * MIB);
        assert!(space.allocate(MIB).is_err());
    }
}
