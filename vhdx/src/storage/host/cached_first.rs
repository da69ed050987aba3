//! Reads several ranges of a file on Linux.
//!
//! What the page cache has is read at once. The kernel is told about all other ranges before the first of them is read,
//! so the device works on many requests at the same time. `docs/performance.md` compares this with threads and io_uring.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::storage::{ReadHint, ReadRange, join_ranges};

/// The most ranges of one call. The kernel accepts 1024 buffers, and every gap takes one more.
const MOST_RANGES: usize = 256;

/// Fills the buffers of several ranges.
pub(in crate::storage) fn read_many(file: &File, ranges: &mut [ReadRange<'_>]) -> io::Result<()> {
    let groups: Vec<Range<usize>> = join_ranges(ranges, &ReadHint::default()).flat_map(cut).collect();
    let mut scratch = Vec::new();
    let mut missing = Vec::new();
    let mut flags = ReadWriteFlags::NOWAIT;
    for group in groups {
        match read_group(file, &mut ranges[group.clone()], &mut scratch, flags) {
            Ok(true) => continue,
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => flags = ReadWriteFlags::empty(),
            // Errors are reported by the second attempt.
            Ok(false) | Err(_) => {}
        }
        missing.push(group);
    }
    for group in &missing {
        let (first, last) = (&ranges[group.start], &ranges[group.end - 1]);
        let len = last.offset.get() - first.offset.get() + last.buf.len() as u64;
        // This is a hint, so its failure does not matter.
        let _ = fadvise(file, first.offset.get(), NonZeroU64::new(len), Advice::WillNeed);
    }
    for group in missing {
        let ranges = &mut ranges[group];
        if !matches!(read_group(file, ranges, &mut scratch, ReadWriteFlags::empty()), Ok(true)) {
            // The call was interrupted, or a range cannot be read.
            ranges.iter_mut().try_for_each(|range| file.read_exact_at(range.buf, range.offset.get()))?;
        }
    }
    Ok(())
}

fn cut(group: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = group.end;
    group.step_by(MOST_RANGES).map(move |start| start..end.min(start + MOST_RANGES))
}

/// Reads sorted ranges without overlaps with one call, and the gaps between them into `scratch`.
///
/// Returns whether all of them were read.
fn read_group(
    file: &File,
    ranges: &mut [ReadRange<'_>],
    scratch: &mut Vec<u8>,
    flags: ReadWriteFlags,
) -> Result<bool, Errno> {
    let Some(start) = ranges.first().map(|first| first.offset.get()) else { return Ok(true) };
    let gap = |before: u64, range: &ReadRange<'_>| range.offset.get() - before;
    let (mut gaps, mut at) = (0, start);
    for range in ranges.iter() {
        gaps += gap(at, range);
        at = range.offset.get() + range.buf.len() as u64;
    }
    let len = at - start;
    // The sum of gaps that `join_ranges` has bounded by the length of a request.
    scratch.resize(gaps as usize, 0);
    let (mut buffers, mut rest, mut at) =
        (Vec::with_capacity(2 * ranges.len()), scratch.as_mut_slice(), start);
    for range in ranges {
        let (skipped, later) = rest.split_at_mut(gap(at, range) as usize);
        rest = later;
        if !skipped.is_empty() {
            buffers.push(IoSliceMut::new(skipped));
        }
        at = range.offset.get() + range.buf.len() as u64;
        buffers.push(IoSliceMut::new(range.buf));
    }
    Ok(preadv2(file, &mut buffers, start, flags)? as u64 == len)
}
