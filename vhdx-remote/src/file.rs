//! Reads an object as a file.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use vhdx::{FileOffset, ReadAt, ReadHint, ReadRange, join_ranges};

use crate::cache::{BLOCK, Cache};
use crate::fetch::{Object, Pinned};
use crate::requests::Requests;
use crate::runtime;

/// The bytes that are fetched when a file is opened. They contain all headers ([MS-VHDX] 2.2).
const FIRST: u64 = 2 * BLOCK;
/// The longest request. An answer is in memory before it is used.
const REQUEST: u64 = 1 << 20;
/// The most threads that read, or open files, at the same time.
pub(crate) const THREADS: usize = 16;
/// The largest gap that is fetched rather than skipped. Checkpoint chains need longer gaps rarely.
const GAP: u64 = 128 << 10;

/// An object that is open for reading. A clone is the same open object.
#[derive(Clone)]
pub struct RemoteFile(Arc<Inner>);

struct Inner {
    name: PathBuf,
    /// The number of this file in the cache.
    number: u64,
    pinned: Pinned,
    cache: Arc<Cache>,
    ahead: Mutex<Ahead>,
}

/// The last fetch of blocks, to fetch more at once if the next one follows it.
#[derive(Default)]
struct Ahead {
    end: u64,
    blocks: u64,
}

impl std::fmt::Debug for RemoteFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteFile").field("name", &self.0.name).finish_non_exhaustive()
    }
}

impl RemoteFile {
    /// Opens an object: fetches its first bytes, and pins it to its present state.
    pub(crate) fn open(name: PathBuf, object: Object, cache: Arc<Cache>) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let (pinned, bytes) = runtime::wait(object.open(FIRST))?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let file = Self(Arc::new(Inner { name, number, pinned, cache, ahead: Mutex::default() }));
        file.keep(0, &bytes);
        Ok(file)
    }

    /// Returns the name: the URL without a query.
    pub fn name(&self) -> &Path {
        &self.0.name
    }

    fn len(&self) -> u64 {
        self.0.pinned.pin.size()
    }

    fn ensure_inside(&self, offset: FileOffset, len: usize) -> io::Result<Range<u64>> {
        let end = offset.checked_add(len as u64).map(FileOffset::get);
        match end.filter(|end| *end <= self.len()) {
            Some(end) => Ok(offset.get()..end),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Caches the whole blocks in `bytes`, which begin at the start of a block.
    fn keep(&self, first: u64, bytes: &[u8]) {
        for (number, block) in (first..).zip(bytes.chunks(usize::try_from(BLOCK).unwrap_or(usize::MAX))) {
            self.0.cache.put((self.0.number, number), block);
        }
    }

    /// Returns a block. If it is not cached, it is fetched, with those after it if the file is read in order.
    fn block(&self, number: u64) -> io::Result<Arc<[u8]>> {
        if let Some(block) = self.0.cache.get((self.0.number, number)) {
            return Ok(block);
        }
        let count = {
            let mut ahead = self.0.ahead.lock().unwrap_or_else(PoisonError::into_inner);
            let goes_on = ahead.end == number && ahead.blocks > 0;
            let blocks = if goes_on { ahead.blocks.saturating_mul(2).min(REQUEST / BLOCK) } else { 1 };
            *ahead = Ahead { end: number.saturating_add(blocks), blocks };
            blocks
        };
        let start = number.saturating_mul(BLOCK);
        let end = start.saturating_add(count.saturating_mul(BLOCK)).min(self.len());
        let pinned = self.0.pinned.clone();
        let bytes = runtime::wait(async move { pinned.fetch(start..end).await })?;
        self.keep(number, &bytes);
        Ok(bytes.get(..bytes.len().min(BLOCK as usize)).unwrap_or_default().into())
    }

    fn read_blocks(&self, mut buf: &mut [u8], range: Range<u64>) -> io::Result<()> {
        let mut at = range.start;
        while !buf.is_empty() {
            let block = self.block(at / BLOCK)?;
            let within = usize::try_from(at % BLOCK).unwrap_or(usize::MAX);
            let rest = block.get(within..).filter(|rest| !rest.is_empty());
            let rest = rest.ok_or(io::ErrorKind::UnexpectedEof)?;
            let len = rest.len().min(buf.len());
            let (filled, next) = buf.split_at_mut(len);
            filled.copy_from_slice(&rest[..len]);
            (buf, at) = (next, at.saturating_add(len as u64));
        }
        Ok(())
    }
}

/// A part of the file that one request fetches, and the ranges that need bytes of it.
struct Span {
    bytes: Range<u64>,
    ranges: Range<usize>,
}

/// Returns the requests for sorted ranges. Groups that are longer than a request are cut.
fn spans(ranges: &[ReadRange<'_>], groups: impl Iterator<Item = Range<usize>>) -> Vec<Span> {
    let mut spans = Vec::new();
    for group in groups {
        let Some(of_group) = ranges.get(group.clone()) else { continue };
        let ends = of_group.iter().map(|range| range.offset.get().saturating_add(range.buf.len() as u64));
        let (start, end) = (of_group.first().map_or(0, |range| range.offset.get()), ends.max().unwrap_or(0));
        let mut at = start;
        while at < end {
            let stop = at.saturating_add(REQUEST).min(end);
            spans.push(Span { bytes: at..stop, ranges: group.clone() });
            at = stop;
        }
    }
    spans
}

/// Copies the bytes of a span into the buffers that need them.
fn copy(bytes: &[u8], start: u64, ranges: &mut [ReadRange<'_>]) {
    for range in ranges {
        let (from, to) = (range.offset.get(), range.offset.get().saturating_add(range.buf.len() as u64));
        let (first, last) = (from.max(start), to.min(start.saturating_add(bytes.len() as u64)));
        let place = |at: u64, zero: u64| usize::try_from(at.saturating_sub(zero)).unwrap_or(usize::MAX);
        if first < last
            && let Some(buf) = range.buf.get_mut(place(first, from)..place(last, from))
            && let Some(bytes) = bytes.get(place(first, start)..place(last, start))
        {
            buf.copy_from_slice(bytes);
        }
    }
}

impl ReadAt for RemoteFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len())
    }

    /// Reads metadata through the cache. Longer reads are bulk data, which would only fill it.
    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        let range = self.ensure_inside(offset, buf.len())?;
        match buf.len() as u64 > BLOCK {
            true => self.read_many(&mut [ReadRange { offset, buf }]),
            false => self.read_blocks(buf, range),
        }
    }

    /// Fetches many ranges at the same time, without the cache. After an error, no request of this call goes on.
    fn read_many(&self, ranges: &mut [ReadRange<'_>]) -> io::Result<()> {
        for range in &*ranges {
            self.ensure_inside(range.offset, range.buf.len())?;
        }
        let groups = join_ranges(ranges, &self.hint());
        let spans = spans(ranges, groups);
        // A single range is read to find out whether it can be read: not what became of another file.
        let mut requests = Requests::new(&self.0.pinned, ranges.len() > 1);
        let mut waiting = spans.iter().enumerate();
        loop {
            while requests.has_room()
                && let Some((number, span)) = waiting.next()
            {
                requests.begin(number, span.bytes.clone())?;
            }
            let Some((number, bytes)) = requests.next()? else { return Ok(()) };
            if let Some(Span { bytes: place, ranges: group }) = spans.get(number)
                && let Some(ranges) = ranges.get_mut(group.clone())
            {
                copy(&bytes, place.start, ranges);
            }
        }
    }

    fn hint(&self) -> ReadHint {
        ReadHint { gap: GAP, request: REQUEST, parallelism: THREADS }
    }
}
