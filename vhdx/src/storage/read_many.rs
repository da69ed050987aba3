//! Reads of several ranges in one call.

use std::ops::Range;

use crate::units::{FileOffset, KIB, MIB};

/// A range of a storage, and the buffer for its bytes.
#[derive(Debug)]
pub struct ReadRange<'a> {
    /// The offset of the first byte.
    pub offset: FileOffset,
    /// Receives the bytes. Its length is that of the range.
    pub buf: &'a mut [u8],
}

/// How a storage is read fastest. The default suits local files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadHint {
    /// The largest gap between two ranges, in bytes, that is better read over than skipped.
    pub gap: u64,
    /// The length in bytes from which a longer request is not faster than several.
    pub request: u64,
    /// How many requests the storage answers at the same time.
    pub parallelism: usize,
}

impl ReadHint {
    /// Returns whether the storage answers more requests at the same time than a local file, such as one on a server.
    pub(crate) fn is_answering_many(&self) -> bool {
        self.parallelism > Self::default().parallelism
    }

    /// Returns a hint for reading several storages at the same time.
    pub(crate) fn of_all(storages: impl Iterator<Item = Self>) -> Self {
        // Without a storage nothing is read.
        storages.reduce(Self::with).unwrap_or_default()
    }

    /// Returns a hint for reading two storages at the same time.
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            gap: self.gap.max(other.gap),
            request: self.request.max(other.request),
            parallelism: self.parallelism.max(other.parallelism),
        }
    }
}

impl Default for ReadHint {
    fn default() -> Self {
        Self { gap: 8 * KIB, request: MIB, parallelism: 4 }
    }
}

/// Sorts ranges by offset, and returns groups of them that are worth one request each.
///
/// A group is a range of indices of `ranges` after sorting. Its ranges do not overlap, the gaps between them are at most
/// [`ReadHint::gap`], and they span at most [`ReadHint::request`] bytes unless it is a single range.
///
/// # Examples
/// ```
/// use vhdx::{FileOffset, ReadHint, ReadRange, join_ranges};
///
/// let mut buffers = [[0; 512], [0; 512], [0; 512]];
/// let offsets = [1 << 20, 4096, 0].map(FileOffset::new);
/// let mut ranges: Vec<_> =
///     offsets.into_iter().zip(&mut buffers).map(|(offset, buf)| ReadRange { offset, buf }).collect();
/// let groups: Vec<_> = join_ranges(&mut ranges, &ReadHint::default()).collect();
/// assert_eq!(groups, [0..2, 2..3]);
/// ```
pub fn join_ranges(
    ranges: &mut [ReadRange<'_>],
    hint: &ReadHint,
) -> impl Iterator<Item = Range<usize>> + use<> {
    ranges.sort_unstable_by_key(|range| range.offset);
    join_sorted(ranges.iter().map(|range| (range.offset, range.buf.len() as u64)), hint).into_iter()
}

/// As [`join_ranges`], for the first bytes and lengths of ranges that are sorted.
pub(super) fn join_sorted(
    ranges: impl Iterator<Item = (FileOffset, u64)>,
    hint: &ReadHint,
) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut group_start = FileOffset::new(0);
    let mut before: Option<FileOffset> = None;
    for (number, (start, len)) in ranges.enumerate() {
        let gap = before.and_then(|end| start.get().checked_sub(end.get()));
        // No storage holds bytes past the largest offset, so such a range is left on its own and fails.
        let end = start.checked_add(len);
        let span = end.map(|end| end.get() - group_start.get());
        match groups.last_mut() {
            Some(group)
                if gap.is_some_and(|gap| gap <= hint.gap)
                    && span.is_some_and(|span| span <= hint.request) =>
            {
                group.end = number + 1;
            }
            _ => {
                groups.push(number..number + 1);
                group_start = start;
            }
        }
        before = end;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(list: &[(u64, usize)]) -> Vec<Range<usize>> {
        let hint = ReadHint { gap: 10, request: 100, parallelism: 1 };
        let mut buffers: Vec<Vec<u8>> = list.iter().map(|&(_, len)| vec![0; len]).collect();
        let ranges = list.iter().zip(&mut buffers);
        let mut ranges: Vec<_> =
            ranges.map(|(&(offset, _), buf)| ReadRange { offset: FileOffset::new(offset), buf }).collect();
        join_ranges(&mut ranges, &hint).collect()
    }

    #[test]
    fn near_ranges_form_a_group() {
        assert_eq!(groups(&[]), []);
        assert_eq!(groups(&[(0, 5), (5, 5), (20, 5), (36, 5)]), [0..3, 3..4]);
        assert_eq!(groups(&[(21, 5), (0, 5), (5, 5)]), [0..2, 2..3]);
    }

    #[test]
    fn a_group_is_no_longer_than_a_request() {
        assert_eq!(groups(&[(0, 60), (60, 40), (100, 1)]), [0..2, 2..3]);
        assert_eq!(groups(&[(0, 500), (500, 1)]), [0..1, 1..2]);
    }

    #[test]
    fn ranges_that_overlap_or_pass_the_largest_offset_are_on_their_own() {
        assert_eq!(groups(&[(0, 5), (4, 5)]), [0..1, 1..2]);
        assert_eq!(groups(&[(u64::MAX - 4, 3), (u64::MAX - 1, 5)]), [0..1, 1..2]);
    }
}
