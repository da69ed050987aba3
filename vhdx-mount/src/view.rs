//! A range of a disk that is shown as a file.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use vhdx::{Disk, DiskOffset, ReadHint};

use crate::runs::Runs;

/// The unit of `st_blocks`.
const BLOCK: u64 = 512;
/// The most runs that are walked to count the allocated blocks of a file. Files with more are counted in part.
const MAX_COUNTED: usize = 1 << 18;

/// A range of a disk. Offsets are in bytes from its start.
pub(crate) struct View {
    disk: Arc<dyn Disk>,
    /// Within the disk.
    range: Range<u64>,
    /// Whether the files of the disk answer many requests at the same time, as a server does.
    is_remote: bool,
    /// The number of allocated blocks, once it was asked for.
    blocks: OnceLock<u64>,
}

impl View {
    /// Returns a view of a range, which must be within the disk.
    pub(crate) fn new(disk: Arc<dyn Disk>, range: Range<u64>) -> Self {
        let is_remote = disk.hint().parallelism > ReadHint::default().parallelism;
        Self { disk, range, is_remote, blocks: OnceLock::new() }
    }

    /// Returns the size in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    /// Returns how many bytes a read of `size` bytes from `offset` on returns: fewer at the end, none after it.
    pub(crate) fn readable(&self, offset: u64, size: u32) -> usize {
        let left = self.len().saturating_sub(offset);
        let len = left.min(u64::from(size));
        usize::try_from(len).unwrap_or(usize::MAX) // never more than `size`
    }

    /// Fills `buf` from `offset` on.
    ///
    /// # Errors
    /// Those of [`Disk::read_exact_at`], also if the buffer reaches past the end.
    pub(crate) fn read(&self, buf: &mut [u8], offset: u64) -> vhdx::Result<()> {
        let start = DiskOffset::new(self.range.start.saturating_add(offset));
        if !self.is_remote {
            // A chain remembers the places of its bytes for these reads. That takes a fifth less time than to find them
            // again, which a read of all extents at once would need.
            return self.disk.read_exact_at(buf, start);
        }
        let end = start.saturating_add(buf.len() as u64);
        let extents = self.disk.extents(start..end).collect::<vhdx::Result<Vec<_>>>()?;
        self.disk.read_extents(&extents, buf)
    }

    /// Returns the first byte with data from `offset` on, as `SEEK_DATA` does; `None` if there is none.
    pub(crate) fn next_data(&self, offset: u64) -> Option<u64> {
        self.next_run(offset, false)
    }

    /// Returns the first byte of a hole from `offset` on, as `SEEK_HOLE` does. The end of the file counts as a hole.
    ///
    /// Returns `None` if `offset` is not within the file.
    pub(crate) fn next_hole(&self, offset: u64) -> Option<u64> {
        (offset < self.len()).then(|| self.next_run(offset, true).unwrap_or(self.len()))
    }

    fn next_run(&self, offset: u64, is_hole: bool) -> Option<u64> {
        let start = self.range.start.checked_add(offset).filter(|start| *start < self.range.end)?;
        let found = Runs::new(&*self.disk, start..self.range.end).find(|run| run.is_hole == is_hole)?;
        found.range.start.checked_sub(self.range.start)
    }

    /// Returns the number of allocated blocks of 512 bytes, for `st_blocks`.
    ///
    /// Programs look for holes only if fewer blocks are allocated than the size needs. If no block is allocated, some
    /// of them read nothing at all. So a file with a hole has fewer blocks, and one with data at least one.
    pub(crate) fn blocks(&self) -> u64 {
        *self.blocks.get_or_init(|| self.count_blocks())
    }

    fn count_blocks(&self) -> u64 {
        let (mut holes, mut has_data, mut counted) = (0_u64, false, self.range.start);
        for run in Runs::new(&*self.disk, self.range.clone()).take(MAX_COUNTED) {
            let len = run.range.end.saturating_sub(run.range.start);
            holes = holes.saturating_add(if run.is_hole { len } else { 0 });
            has_data |= !run.is_hole;
            counted = run.range.end;
        }
        let all = self.len().div_ceil(BLOCK);
        let is_partly_counted = counted < self.range.end;
        let blocks = self.len().saturating_sub(holes).div_ceil(BLOCK);
        match (holes > 0 || is_partly_counted, has_data || is_partly_counted) {
            (false, _) => all,
            (true, true) => blocks.min(all.saturating_sub(1)).max(1),
            (true, false) => 0,
        }
    }
}
