//! A range of a disk, such as a partition, with positions of its own.

use std::fmt;

use vhdx::{Disk, DiskOffset};

use crate::error::Result;

/// A range of a disk. Positions in it are in bytes from its start.
#[derive(Clone, Copy)]
pub struct Window<'a> {
    disk: &'a dyn Disk,
    /// `start + len` is at most the size of the disk.
    start: u64,
    len: u64,
}

impl<'a> Window<'a> {
    /// Returns the window over a whole disk.
    pub fn whole(disk: &'a dyn Disk) -> Self {
        Self { disk, start: 0, len: disk.virtual_size() }
    }

    /// Returns a part of this window. It is shortened where this window ends.
    ///
    /// Returns `None` if nothing of the part is within this window.
    pub fn part(&self, start: u64, len: u64) -> Option<Self> {
        let left = self.len.checked_sub(start)?;
        let len = len.min(left);
        // The end of this window is within the disk, so the sum cannot overflow.
        (len > 0).then(|| Self { disk: self.disk, start: self.start.saturating_add(start), len })
    }

    /// Returns the position of the window on the disk, in bytes.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Returns the length in bytes.
    #[allow(clippy::len_without_is_empty)] // only the window over a disk of no bytes is empty
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns the logical sector size of the disk in bytes.
    pub fn sector_size(&self) -> u32 {
        self.disk.logical_sector_size()
    }

    /// Reads `len` bytes from `offset` on, or fewer where the window ends. One call is one read of the disk.
    ///
    /// # Errors
    /// [`Error::Disk`](crate::Error::Disk).
    pub fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let left = self.len.saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(left).map_or(len, |left| len.min(left))];
        self.read_into(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `buf` from `offset` on, and returns how many bytes are within the window.
    ///
    /// # Errors
    /// [`Error::Disk`](crate::Error::Disk).
    pub fn read_into(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let left = self.len.saturating_sub(offset);
        let len = usize::try_from(left).map_or(buf.len(), |left| buf.len().min(left));
        if let Some(within) = buf.get_mut(..len).filter(|within| !within.is_empty()) {
            self.disk.read_exact_at(within, DiskOffset::new(self.start.saturating_add(offset)))?;
        }
        Ok(len)
    }
}

impl fmt::Debug for Window<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window").field("start", &self.start).field("len", &self.len).finish_non_exhaustive()
    }
}
