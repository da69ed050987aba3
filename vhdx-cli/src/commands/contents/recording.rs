//! Records which bytes of a disk are read, and tells whether a child has changed some of them.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use vhdx::{Chain, Disk, DiskOffset, Extent, FileIdentity, Result, Source, Vhdx};

/// Ranges with a smaller gap between them are joined: looking up one range takes a read of the child.
const MAX_GAP: u64 = 1 << 20;

/// A disk that records its reads.
pub(super) struct Recording<'a> {
    chain: &'a Chain,
    reads: Mutex<Vec<Range<u64>>>,
}

impl<'a> Recording<'a> {
    pub(super) fn of(chain: &'a Chain) -> Self {
        Self { chain, reads: Mutex::default() }
    }

    /// Returns the ranges that were read, sorted.
    pub(super) fn ranges(self) -> Vec<Range<u64>> {
        let mut reads = self.reads.into_inner().unwrap_or_else(PoisonError::into_inner);
        reads.sort_unstable_by_key(|range| range.start);
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for read in reads {
            match ranges.last_mut() {
                Some(last) if read.start <= last.end.saturating_add(MAX_GAP) => {
                    last.end = last.end.max(read.end)
                }
                _ => ranges.push(read),
            }
        }
        ranges
    }
}

/// Whether a child leaves all these bytes as they are in its parent. An error means that it is not known.
pub(super) fn has_none_of(child: &Vhdx, ranges: &[Range<u64>]) -> Result<bool> {
    for range in ranges {
        for extent in child.extents(DiskOffset::new(range.start)..DiskOffset::new(range.end)) {
            if !matches!(extent?.source, Source::Unallocated) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

impl Disk for Recording<'_> {
    fn virtual_size(&self) -> u64 {
        self.chain.virtual_size()
    }

    fn logical_sector_size(&self) -> u32 {
        self.chain.logical_sector_size()
    }

    fn extents(&self, range: Range<DiskOffset>) -> Box<dyn Iterator<Item = Result<Extent>> + Send + '_> {
        Box::new(self.chain.extents(range))
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: DiskOffset) -> Result<()> {
        let range = offset.get()..offset.get().saturating_add(buf.len() as u64);
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).push(range);
        self.chain.read_exact_at(buf, offset)
    }

    fn validate_placement(&self) -> Result<()> {
        self.chain.validate_placement()
    }

    fn ensure_unchanged(&self) -> Result<()> {
        self.chain.ensure_unchanged()
    }

    fn identities(&self) -> Vec<FileIdentity> {
        self.chain.identities()
    }
}
