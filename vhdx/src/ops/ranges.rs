//! Finds the ranges of a disk that hold data, in ascending order, and cuts them into pieces that fit a buffer.

use std::iter::Peekable;
use std::ops::Range;

use crate::disk::Disk;
use crate::error::{Bounded, Error, Guaranteed, Result, Times};
use crate::file::Source;
use crate::progress::Progress;
use crate::units::{DiskOffset, MIB};

/// The greatest length of a window, in bytes.
///
/// Every window but the first of a run starts at a multiple of it.
pub(super) const WINDOW: usize = MIB as usize;
/// Data closer together than this, in bytes, is read at once, because a read costs more than a few zeros.
const GAP: u64 = 64 << 10;

/// Returns the range of all bytes of a disk.
pub(super) fn whole(disk: &dyn Disk) -> Range<DiskOffset> {
    DiskOffset::new(0)..DiskOffset::new(disk.virtual_size())
}

/// Returns the ranges of `within` that hold data. What lies between them reads as zeros.
pub(super) fn data<'a>(
    disk: &'a dyn Disk,
    within: Range<DiskOffset>,
) -> impl Iterator<Item = Result<Range<DiskOffset>>> + 'a {
    disk.extents(within).filter_map(|extent| match extent {
        Ok(extent) if extent.len == 0 => None,
        Ok(extent) => match extent.source {
            Source::Data { .. } => Some(extent.start.plus(extent.len).map(|end| extent.start..end)),
            Source::Zero { .. } | Source::Unallocated => None,
        },
        Err(error) => Some(Err(error)),
    })
}

/// Returns how many bytes the ranges hold.
pub(super) fn total(
    ranges: impl Iterator<Item = Result<Range<DiskOffset>>>,
    progress: &dyn Progress,
) -> Result<u64> {
    let mut total = 0u64;
    for range in ranges {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let range = range?;
        total = total.plus(range.end.minus(range.start)?)?;
    }
    Ok(total)
}

/// Returns the ranges that lie in either of two lists. Touching ranges are joined.
pub(super) fn union<A, B>(a: A, b: B) -> impl Iterator<Item = Result<Range<DiskOffset>>>
where
    A: Iterator<Item = Result<Range<DiskOffset>>>,
    B: Iterator<Item = Result<Range<DiskOffset>>>,
{
    let (mut a, mut b) = (a.peekable(), b.peekable());
    std::iter::from_fn(move || {
        let mut joined = match (a.peek(), b.peek()) {
            (Some(Err(_)), _) | (Some(_), None) => a.next()?,
            (_, Some(Err(_))) | (None, Some(_)) => b.next()?,
            (Some(Ok(x)), Some(Ok(y))) => {
                if x.start <= y.start {
                    a.next()?
                } else {
                    b.next()?
                }
            }
            (None, None) => return None,
        };
        if let Ok(joined) = &mut joined {
            while absorb(joined, &mut a) || absorb(joined, &mut b) {}
        }
        Some(joined)
    })
}

fn absorb<I>(joined: &mut Range<DiskOffset>, ranges: &mut Peekable<I>) -> bool
where
    I: Iterator<Item = Result<Range<DiskOffset>>>,
{
    let touches = |next: &Result<Range<DiskOffset>>| next.as_ref().is_ok_and(|next| next.start <= joined.end);
    match ranges.next_if(touches) {
        Some(Ok(next)) => {
            joined.end = joined.end.max(next.end);
            true
        }
        _ => false,
    }
}

/// A piece of the disk to be read at once, at most [`WINDOW`] bytes long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: DiskOffset,
    pub(super) len: usize,
    /// The bytes that are data, without small gaps between data.
    ///
    /// Over all windows the sum is exact.
    pub(super) data: u64,
}

fn with_len(range: Range<DiskOffset>) -> Result<(Range<DiskOffset>, u64)> {
    let len = range.end.minus(range.start)?;
    Ok((range, len))
}

/// Joins ranges across small gaps and cuts them into windows.
pub(super) struct Windows<I: Iterator<Item = Result<Range<DiskOffset>>>> {
    ranges: Peekable<I>,
    /// The rest of a run of ranges, and how many of its bytes are data.
    rest: Option<(Range<DiskOffset>, u64)>,
}

impl<I: Iterator<Item = Result<Range<DiskOffset>>>> Windows<I> {
    /// Joins ranges to `range`, of which `data` bytes are data, and cuts off the first window.
    fn cut(&mut self, mut range: Range<DiskOffset>, mut data: u64) -> Result<Window> {
        let boundary = DiskOffset::new((range.start.get() / WINDOW as u64 + 1).times(WINDOW as u64)?);
        while range.end < boundary {
            let limit = range.end.plus(GAP)?;
            let near = |next: &Result<Range<DiskOffset>>| next.as_ref().is_ok_and(|next| next.start <= limit);
            let Some(Ok(next)) = self.ranges.next_if(near) else { break };
            data = data.plus(next.end.minus(next.start)?)?;
            range.end = range.end.max(next.end);
        }
        let end = range.end.min(boundary);
        let len = end.minus(range.start)?;
        let here = data.min(len);
        if end < range.end {
            self.rest = Some((end..range.end, data - here));
        }
        let len = usize::try_from(len).ok().filter(|len| *len <= WINDOW);
        let len = len.guaranteed("a window ends at the boundary")?;
        Ok(Window { start: range.start, len, data: here })
    }
}

pub(super) fn windows<I: Iterator<Item = Result<Range<DiskOffset>>>>(ranges: I) -> Windows<I> {
    Windows { ranges: ranges.peekable(), rest: None }
}

impl<I: Iterator<Item = Result<Range<DiskOffset>>>> Iterator for Windows<I> {
    type Item = Result<Window>;

    fn next(&mut self) -> Option<Self::Item> {
        let (range, data) = match self.rest.take() {
            Some(rest) => rest,
            None => match self.ranges.next()?.and_then(with_len) {
                Ok(found) => found,
                Err(error) => return Some(Err(error)),
            },
        };
        Some(self.cut(range, data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::NoProgress;

    fn ranges(list: &[(u64, u64)]) -> impl Iterator<Item = Result<Range<DiskOffset>>> + '_ {
        list.iter().map(|&(start, end)| Ok(DiskOffset::new(start)..DiskOffset::new(end)))
    }

    fn plain(ranges: impl Iterator<Item = Result<Range<DiskOffset>>>) -> Vec<(u64, u64)> {
        ranges.map(|range| range.map(|range| (range.start.get(), range.end.get())).unwrap()).collect()
    }

    fn cut(list: &[(u64, u64)]) -> Vec<(u64, usize, u64)> {
        let windows = windows(ranges(list)).map(|window| window.unwrap());
        windows.map(|window| (window.start.get(), window.len, window.data)).collect()
    }

    #[test]
    fn a_union_covers_both_lists_once() {
        let union = |a: &[_], b: &[_]| plain(super::union(ranges(a), ranges(b)));
        assert_eq!(union(&[], &[]), []);
        assert_eq!(union(&[(0, 5)], &[]), [(0, 5)]);
        assert_eq!(union(&[(0, 5), (10, 20)], &[(5, 7), (8, 9), (12, 30)]), [(0, 7), (8, 9), (10, 30)]);
        assert_eq!(union(&[(0, 100)], &[(1, 2), (3, 4), (100, 101), (103, 104)]), [(0, 101), (103, 104)]);
    }

    #[test]
    fn windows_join_small_gaps_and_end_at_boundaries() {
        assert_eq!(cut(&[(0, 512), (1024, 1536)]), [(0, 1536, 1024)]);
        assert_eq!(cut(&[(0, 512), (GAP + 513, GAP + 1024)]), [(0, 512, 512), (GAP + 513, 511, 511)]);
        let long = [(512, 2 * MIB + 512)];
        assert_eq!(cut(&long), [(512, WINDOW - 512, MIB - 512), (MIB, WINDOW, MIB), (2 * MIB, 512, 512)]);
    }

    #[test]
    fn the_data_of_all_windows_is_the_data_of_all_ranges() {
        let list: Vec<_> = (0..10_000).map(|n| (n * 1000, n * 1000 + n % 999 + 1)).collect();
        let total = super::total(ranges(&list), &NoProgress).unwrap();
        assert_eq!(cut(&list).iter().map(|window| window.2).sum::<u64>(), total);
        assert!(cut(&list).iter().all(|window| window.1 <= WINDOW && window.2 <= window.1 as u64));
    }

    #[test]
    fn an_error_between_ranges_is_returned() {
        let broken = || ranges(&[(0, 1)]).chain([Err(Error::Cancelled)]);
        assert!(windows(broken()).any(|window| window.is_err()));
        assert!(union(broken(), ranges(&[(0, 9)])).any(|range| range.is_err()));
        assert!(union(ranges(&[(0, 9)]), broken()).any(|range| range.is_err()));
    }
}
