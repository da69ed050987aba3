//! A window of raw entries of the block allocation table.

use std::ops::Range;

use super::Vhdx;
use super::bat::ENTRY_SIZE;
use crate::error::Result;
use crate::format::bat_entry::{self, BatEntry};
use crate::format::bytes::is_zero;
use crate::units::BatIndex;

/// The entries that were read last.
#[derive(Debug, Default)]
pub(crate) struct BatWindow {
    first: BatIndex,
    bytes: Vec<u8>,
}

impl BatWindow {
    /// Reads `count` entries from `first` on.
    ///
    /// # Errors
    /// As [`Vhdx::bat_entries`].
    pub(crate) fn read(&mut self, vhdx: &Vhdx, first: BatIndex, count: u64) -> Result<()> {
        self.first = first;
        let read = vhdx.read_bat_bytes(first, count, &mut self.bytes);
        if read.is_err() {
            self.bytes.clear();
        }
        read
    }

    /// Returns an entry, if the window holds it.
    pub(crate) fn get(&self, index: BatIndex) -> Option<BatEntry> {
        let (entry, _) = self.bytes.get(self.place(index)?..)?.split_first_chunk()?;
        Some(BatEntry::from_le_bytes(*entry))
    }

    /// Counts the zero entries at the start of `range`, as far as the window reaches.
    pub(super) fn zeros(&self, range: Range<BatIndex>) -> u64 {
        const STRIDE: usize = 16 * bat_entry::SIZE;
        // An entry outside of the window may be any, so none is counted.
        let (Some(start), Some(end)) = (self.place(range.start), self.place(range.end)) else { return 0 };
        let Some(bytes) = self.bytes.get(start..end.min(self.bytes.len())) else { return 0 };
        let strides = bytes.chunks_exact(STRIDE).take_while(|stride| is_zero(stride)).count() * STRIDE;
        let (_, rest) = bytes.split_at(strides);
        let more = rest.chunks_exact(bat_entry::SIZE).take_while(|entry| is_zero(entry)).count();
        (strides / bat_entry::SIZE + more) as u64
    }

    /// Returns the position that an entry has, or would have, in `bytes`.
    fn place(&self, index: BatIndex) -> Option<usize> {
        let place = index.get().checked_sub(self.first.get())?.checked_mul(ENTRY_SIZE)?;
        usize::try_from(place).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(index: usize) -> BatIndex {
        BatIndex::new(100 + index as u64)
    }

    fn window(raw: &[u64]) -> BatWindow {
        BatWindow { first: index(0), bytes: raw.iter().flat_map(|raw| raw.to_le_bytes()).collect() }
    }

    #[test]
    fn zeros_end_with_an_entry_the_range_or_the_window() {
        for len in [1, 15, 16, 17, 40] {
            let none = window(&vec![0; len]);
            for at in 0..len {
                let mut raw = vec![0; len];
                raw[at] = 1 << (at % 64);
                let one = window(&raw);
                for (from, to) in (0..len).flat_map(|from| (from..len + 3).map(move |to| (from, to))) {
                    let range = index(from)..index(to);
                    assert_eq!(none.zeros(range.clone()), (to.min(len) - from) as u64);
                    let end = if (from..to).contains(&at) { at } else { to.min(len) };
                    assert_eq!(one.zeros(range), (end - from) as u64, "{at} of {len}, {from}..{to}");
                }
            }
        }
    }

    #[test]
    fn entries_outside_the_window_are_absent_and_do_not_count_as_zeros() {
        let window = window(&[7, 0]);
        let raw = |at| window.get(BatIndex::new(at)).map(BatEntry::raw);
        assert_eq!([99, 100, 101, 102].map(raw), [None, Some(7), Some(0), None]);
        assert_eq!(window.zeros(BatIndex::new(99)..BatIndex::new(102)), 0);
        assert_eq!(window.zeros(BatIndex::new(102)..BatIndex::new(110)), 0);
        assert_eq!(window.zeros(BatIndex::new(101)..BatIndex::new(101)), 0);
    }
}
