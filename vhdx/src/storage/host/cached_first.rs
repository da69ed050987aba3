//! Reads several ranges of a file on Linux.
//!
//! Bytes in the page cache are read first. The kernel is told about all other ranges before the first of them is read,
//! so the device works on many requests at the same time. `docs/performance.md` compares this with threads and io_uring.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::storage::read_many::join_sorted;
use crate::storage::{ReadHint, ReadRange, join_ranges};
use crate::units::{FileOffset, KIB};

/// The most ranges of one call. With the default hint, the gaps between them take at most 256 KiB of memory.
const MOST_RANGES: usize = 32;
/// The largest gap that is read over if the bytes are in the page cache: copying a longer one takes more time than
/// another call.
const CACHED_GAP: u64 = 4 * KIB;

/// What is known about the page cache of a file.
#[derive(Debug, Default)]
pub(in crate::storage) struct CacheUse {
    is_probed: AtomicBool,
    /// Whether some bytes were not in the page cache when they were needed.
    has_missed: AtomicBool,
}

impl CacheUse {
    /// Returns how the file is read fastest.
    fn hint(&self) -> ReadHint {
        match self.has_missed.load(Ordering::Relaxed) {
            true => ReadHint::default(),
            false => ReadHint { gap: CACHED_GAP, ..ReadHint::default() },
        }
    }
}

/// Tells the kernel that ranges will be read. Does nothing as long as all bytes were in the page cache.
pub(in crate::storage) fn announce(file: &File, cache_use: &CacheUse, ranges: &mut [Range<FileOffset>]) {
    // Only once: if a byte is missing, the kernel also reads some bytes after it, which may not be needed.
    if !cache_use.is_probed.swap(true, Ordering::Relaxed)
        && let Some(first) = ranges.first()
        && preadv2(file, &mut [IoSliceMut::new(&mut [0])], first.start.get(), ReadWriteFlags::NOWAIT).is_err()
    {
        cache_use.has_missed.store(true, Ordering::Relaxed);
    }
    if !cache_use.has_missed.load(Ordering::Relaxed) {
        return;
    }
    ranges.sort_unstable_by_key(|range| range.start);
    // A range that ends before its start is empty.
    let spans = ranges.iter().map(|range| (range.start, range.end.get().saturating_sub(range.start.get())));
    for group in join_sorted(spans, &ReadHint::default()) {
        if let Some([first, .., last] | [first @ last]) = ranges.get(group) {
            will_read(file, first.start.get()..last.end.get());
        }
    }
}

/// The most bytes that the kernel reads after one call: its usual readahead.
const LONGEST_ADVICE: u64 = 128 << 10;

/// Begins to read a range into the page cache.
fn will_read(file: &File, range: Range<u64>) {
    let mut start = range.start;
    // A length of zero would mean the rest of the file.
    while let Some(rest) = range.end.checked_sub(start).and_then(NonZeroU64::new) {
        let len = rest.get().min(LONGEST_ADVICE);
        // This is a hint, so its failure does not matter.
        let _ = fadvise(file, start, NonZeroU64::new(len), Advice::WillNeed);
        start += len; // up to the end
    }
}

/// Fills the buffers of several ranges.
pub(in crate::storage) fn read_many(
    file: &File,
    cache_use: &CacheUse,
    ranges: &mut [ReadRange<'_>],
) -> io::Result<()> {
    // No file has bytes past the largest offset. From here on, no sum overflows.
    let ends_past_all = |range: &ReadRange<'_>| range.offset.checked_add(range.buf.len() as u64).is_none();
    if ranges.iter().any(ends_past_all) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let groups: Vec<Range<usize>> = join_ranges(ranges, &cache_use.hint()).flat_map(cut).collect();
    let mut scratch = Vec::new();
    let mut missing = Vec::new();
    let mut tells_what_is_cached = true;
    for group in groups {
        if tells_what_is_cached {
            match read_group(file, &mut ranges[group.clone()], &mut scratch, ReadWriteFlags::NOWAIT) {
                Ok(true) => continue,
                // Network file systems do not support this flag.
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => tells_what_is_cached = false,
                // Errors are reported by the second attempt.
                Ok(false) | Err(_) => {}
            }
        }
        missing.push(group);
    }
    for group in &missing {
        let (first, last) = (&ranges[group.start], &ranges[group.end - 1]);
        will_read(file, first.offset.get()..last.offset.get() + last.buf.len() as u64);
        cache_use.has_missed.store(true, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = 3 << 20;

    fn file() -> (File, Vec<u8>) {
        let bytes: Vec<u8> = (0..LEN).map(|at| (at % 251) as u8 ^ (at >> 12) as u8).collect();
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        file.sync_all().unwrap();
        (file, bytes)
    }

    /// Drops every second MiB of the file from the page cache.
    fn evict(file: &File) {
        for mib in [0, 2] {
            fadvise(file, mib << 20, NonZeroU64::new(1 << 20), Advice::DontNeed).unwrap();
        }
    }

    fn read(file: &File, list: &[(usize, usize)]) -> io::Result<Vec<Vec<u8>>> {
        let mut buffers: Vec<Vec<u8>> = list.iter().map(|&(_, len)| vec![0xaa; len]).collect();
        let ranges = list.iter().zip(&mut buffers);
        let mut ranges: Vec<_> = ranges
            .map(|(&(offset, _), buf)| ReadRange { offset: FileOffset::new(offset as u64), buf })
            .collect();
        read_many(file, &CacheUse::default(), &mut ranges)?;
        drop(ranges);
        Ok(buffers)
    }

    /// Ranges that touch, overlap, repeat, are empty, in any order, with small and large gaps.
    #[test]
    fn every_buffer_gets_the_bytes_of_its_range() {
        let (file, bytes) = file();
        let short: Vec<_> = (0..1500).map(|n| (n * 7919 % (LEN - 5000), n * 31 % 5000)).collect();
        let adjacent: Vec<_> = (0..2000).map(|n| (n * 512, 512)).collect();
        let gaps: Vec<_> = (0..300).map(|n| (n * 9000, 1000)).collect();
        let mixed = vec![(LEN - 1, 1), (0, LEN), (5, 0), (4096, 4096), (4096, 4096), (4000, 200), (LEN, 0)];
        for list in [short, adjacent, gaps, mixed, Vec::new()] {
            evict(&file);
            for (buffer, &(start, len)) in read(&file, &list).unwrap().iter().zip(&list) {
                assert!(*buffer == bytes[start..start + len], "{start} {len}");
            }
        }
    }

    #[test]
    fn small_gaps_are_read_over_until_a_byte_is_missing() {
        let cache_use = CacheUse::default();
        assert_eq!(cache_use.hint(), ReadHint { gap: 4096, ..ReadHint::default() });
        cache_use.has_missed.store(true, Ordering::Relaxed);
        assert_eq!(cache_use.hint(), ReadHint::default());
    }

    #[test]
    fn a_range_past_the_end_is_an_error() {
        let (file, _) = file();
        for list in [[(LEN - 5, 6)].as_slice(), &[(0, 10), (LEN, 1)], &[(LEN - 10, 5), (LEN - 5, 10)]] {
            evict(&file);
            let error = read(&file, list).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        let mut byte = [0];
        let mut far = [ReadRange { offset: FileOffset::new(u64::MAX), buf: &mut byte }];
        assert!(read_many(&file, &CacheUse::default(), &mut far).is_err());
    }

    /// A second attempt to read without waiting would find what the first one has begun to read.
    #[test]
    fn announced_ranges_are_read_into_the_page_cache() {
        let (file, _) = file();
        let is_cached = |offset: u64| {
            preadv2(&file, &mut [IoSliceMut::new(&mut [0])], offset, ReadWriteFlags::NOWAIT) == Ok(1)
        };
        let end = FileOffset::new(3 << 20);
        let are_read = [1, 10, 100, 1000, 5000].into_iter().any(|wait| {
            evict(&file);
            let mut ranges = [FileOffset::new((2 << 20) + 8192)..end];
            announce(&file, &CacheUse::default(), &mut ranges);
            std::thread::sleep(std::time::Duration::from_millis(wait));
            [(2 << 20) + 8192, 5 << 19, (3 << 20) - 1].into_iter().all(is_cached)
        });
        assert!(are_read);
    }
}
