//! The file that contains the journal.

use super::super::inode::Inode;
use super::super::number::Checked;
use super::super::reader::Reader;
use crate::error::{Error, Result};

/// The file that contains the journal.
pub(super) struct JournalFile<'r, 'a> {
    pub(super) reader: &'r Reader<'a>,
    pub(super) inode: Inode,
}

impl JournalFile<'_, '_> {
    /// Returns how many blocks the file has.
    pub(super) fn block_count(&self) -> Result<u64> {
        self.inode.size.per(self.reader.superblock.block_size)
    }

    /// Checks that the file is not longer than the file system, and that each of its blocks is in another place.
    /// Otherwise a small image could have a log that is nearly endless.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub(super) fn ensure_distinct(&self) -> Result<()> {
        let (len, most) = (self.block_count()?, self.reader.volume.block_count());
        if len > most {
            return Err(damaged(format!("its file has {len} blocks, but the file system has {most}")));
        }
        self.reader.ensure_distinct(&self.inode, len)
    }

    /// Returns the block of the file system that has a block of the journal.
    pub(super) fn place(&self, index: u64) -> Result<u64> {
        let place = self.reader.block_of(&self.inode, index)?;
        place.ok_or_else(|| damaged(format!("its block {index} is a hole")))
    }

    /// Returns a block of the journal.
    pub(super) fn block(&self, index: u64) -> Result<Vec<u8>> {
        self.reader.volume.block(self.place(index)?)
    }
}

/// Returns the error that the journal is invalid.
pub(super) fn damaged(why: impl Into<String>) -> Error {
    Error::damaged("the journal of the ext file system", why)
}
