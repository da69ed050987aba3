//! Cuts a disk into spans of whole blocks: those that hold data, and those that read as zeros.

use std::ops::Range;

use crate::disk::Disk;
use crate::error::{Bounded, Result, Times};
use crate::ops::ranges::{data, whole};
use crate::units::DiskOffset;

/// Whole blocks. Only the last block of the disk may be shorter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) range: Range<DiskOffset>,
    /// Whether a file holds some of it. Otherwise all of it is zero.
    pub(super) has_data: bool,
}

/// Returns the spans of a disk, in order and without gaps.
///
/// A span with data begins at a multiple of `len` and is `len` bytes long, or ends with the disk.
pub(super) fn spans(disk: &dyn Disk, len: u64) -> impl Iterator<Item = Result<Span>> + Send + use<'_> {
    let mut spans = Spans {
        data: data(disk, whole(disk)),
        found: None,
        at: DiskOffset::new(0),
        end: whole(disk).end,
        len,
    };
    std::iter::from_fn(move || spans.next().transpose())
}

struct Spans<I> {
    /// The ranges of data, in ascending order.
    data: I,
    /// The range that was found last. It may reach into several spans.
    found: Option<Range<DiskOffset>>,
    /// The end of the last span.
    at: DiskOffset,
    end: DiskOffset,
    len: u64,
}

impl<I: Iterator<Item = Result<Range<DiskOffset>>>> Spans<I> {
    fn next(&mut self) -> Result<Option<Span>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let at = self.at;
        let start = match self.next_data()? {
            Some(data) => DiskOffset::new((data.get() / self.len).times(self.len)?),
            None => self.end,
        };
        let has_data = start <= at;
        // `at` is a multiple of `len`, so a span with data never begins before it.
        self.at = if has_data { at.plus(self.len)?.min(self.end) } else { start };
        Ok(Some(Span { range: at..self.at, has_data }))
    }

    /// Returns the first byte of data after the last span.
    fn next_data(&mut self) -> Result<Option<DiskOffset>> {
        while self.found.as_ref().is_none_or(|found| found.end <= self.at) {
            match self.data.next() {
                Some(found) => self.found = Some(found?),
                None => return Ok(None),
            }
        }
        Ok(self.found.as_ref().map(|found| found.start.max(self.at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::Plain;

    fn of(len: usize, data: &[(usize, usize)]) -> Vec<(u64, u64, bool)> {
        let disk = Plain::new(len, data);
        let spans: Result<Vec<Span>> = spans(&disk, 4096).collect();
        spans.unwrap().into_iter().map(|s| (s.range.start.get(), s.range.end.get(), s.has_data)).collect()
    }

    #[test]
    fn zeros_are_one_span_and_data_are_cut_at_multiples_of_the_length() {
        assert_eq!(of(0, &[]), []);
        assert_eq!(of(100_000, &[]), [(0, 100_000, false)]);
        let both = of(20_480, &[(4095, 4097), (16_383, 16_384)]);
        let expected = [(0, 4096, true), (4096, 8192, true), (8192, 12_288, false), (12_288, 16_384, true)];
        assert_eq!(both, [expected.as_slice(), &[(16_384, 20_480, false)]].concat());
        assert_eq!(of(4608, &[(512, 4608)]), [(0, 4096, true), (4096, 4608, true)]);
        assert_eq!(of(8704, &[(8192, 8704)]), [(0, 8192, false), (8192, 8704, true)]);
    }
}
