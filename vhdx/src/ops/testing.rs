//! A disk for tests: bytes in memory, and which of them are held as data.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::chain::Disk;
use crate::error::{InvalidArgument, Result};
use crate::file::{Extent, Source};
use crate::progress::Progress;
use crate::storage::FileIdentity;
use crate::units::{DiskOffset, FileOffset};

/// Reads as `bytes`; only `data` are said to be data, and everything else must be zero.
pub(super) struct Plain {
    pub(super) bytes: Vec<u8>,
    pub(super) data: Vec<Range<usize>>,
}

impl Plain {
    /// A disk of `len` zeros with `data` filled with bytes that differ from place to place and are never zero.
    pub(super) fn new(len: usize, data: &[Range<usize>]) -> Self {
        let mut bytes = vec![0; len];
        for range in data {
            for at in range.clone() {
                bytes[at] = (at % 251) as u8 + 1;
            }
        }
        Self { bytes, data: data.to_vec() }
    }
}

impl Disk for Plain {
    fn virtual_size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn logical_sector_size(&self) -> u32 {
        512
    }

    fn extents(&self, range: Range<DiskOffset>) -> Box<dyn Iterator<Item = Result<Extent>> + '_> {
        let extent = |start: usize, end: usize, source| Extent {
            start: DiskOffset::new(start as u64),
            len: (end - start) as u64,
            source,
        };
        let mut extents = Vec::new();
        let mut at = 0;
        for data in &self.data {
            extents.push(extent(at, data.start, Source::Unallocated));
            let offset = FileOffset::new(data.start as u64);
            extents.push(extent(data.start, data.end, Source::Data { layer: 0, offset }));
            at = data.end;
        }
        extents.push(extent(at, self.bytes.len(), Source::Zero { layer: 0 }));
        Box::new(extents.into_iter().filter_map(move |extent| extent.clip(&range)).map(Ok))
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: DiskOffset) -> Result<()> {
        let start = offset.get() as usize;
        let (len, virtual_size) = (buf.len() as u64, self.virtual_size());
        let past_end = InvalidArgument::PastEndOfDisk { start: offset, len, virtual_size };
        buf.copy_from_slice(self.bytes.get(start..start + buf.len()).ok_or(past_end)?);
        Ok(())
    }

    fn identities(&self) -> Vec<FileIdentity> {
        Vec::new()
    }
}

/// Counts what is reported, and cancels once `limit` bytes are done.
pub(super) struct Meter {
    pub(super) total: AtomicU64,
    pub(super) done: AtomicU64,
    limit: u64,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self::cancelling_at(u64::MAX)
    }

    pub(super) fn cancelling_at(limit: u64) -> Self {
        Self { total: AtomicU64::new(0), done: AtomicU64::new(0), limit }
    }

    /// Everything that was announced, which must be what was done.
    pub(super) fn total(&self) -> u64 {
        let (total, done) = (self.total.load(Ordering::SeqCst), self.done.load(Ordering::SeqCst));
        assert_eq!(total, done);
        total
    }
}

impl Progress for Meter {
    fn start(&self, total: u64) {
        assert_eq!(self.total.swap(total, Ordering::SeqCst), 0, "started twice");
    }

    fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::SeqCst);
    }

    fn is_cancelled(&self) -> bool {
        self.done.load(Ordering::SeqCst) >= self.limit
    }
}
