//! Reads the log as a ring buffer.

use crate::error::{Bounded, Result};
use crate::storage::{ReadAt, read_into};
use crate::units::{FileOffset, KIB};

/// The unit of the log in bytes: entries begin and end on multiples of it ([MS-VHDX] 2.3.1).
pub(super) const SECTOR: u64 = 4 * KIB;
/// One sector of the log.
pub(super) type Sector = [u8; 4096];

pub(super) struct Ring<'a> {
    storage: &'a dyn ReadAt,
    offset: FileOffset,
    len: u64,
}

/// Returns the position `by` bytes after `at` in a ring of `len` bytes, wrapped around. Neither may exceed `len`.
///
/// # Errors
/// [`Error::Internal`](crate::Error::Internal) on overflow. A log has at most 4 GiB.
pub(super) fn advance(at: u64, by: u64, len: u64) -> Result<u64> {
    let sum = at.plus(by)?;
    if sum < len { Ok(sum) } else { sum.minus(len) }
}

impl<'a> Ring<'a> {
    pub(super) fn new(storage: &'a dyn ReadAt, offset: FileOffset, len: u64) -> Self {
        Self { storage, offset, len }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Returns the position `by` bytes after `at`, wrapped around. Neither may exceed the length.
    ///
    /// # Errors
    /// As [`advance`].
    pub(super) fn advance(&self, at: u64, by: u64) -> Result<u64> {
        advance(at, by, self.len)
    }

    /// Returns the offset of a position in the file.
    ///
    /// The log of a damaged file may lie at the end of 64 bits. Then nothing can be read there.
    pub(super) fn file_offset(&self, at: u64) -> FileOffset {
        self.offset.saturating_add(at)
    }

    /// Returns whether any byte of the ring lies in `start..end`.
    pub(super) fn overlaps(&self, start: FileOffset, end: FileOffset) -> bool {
        start < self.file_offset(self.len) && self.offset < end
    }

    /// Reads the sector at a position that is a multiple of [`SECTOR`]. Such a sector never wraps around.
    pub(super) fn sector(&self, at: u64) -> Result<Box<Sector>> {
        let mut sector = Box::new([0; 4096]);
        read_into(self.storage, sector.as_mut_slice(), self.file_offset(at))?;
        Ok(sector)
    }
}
