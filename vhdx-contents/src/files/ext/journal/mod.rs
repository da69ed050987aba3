//! The journal (jbd2): its committed transactions become an overlay. Its numbers are big-endian.

mod block;
mod fast_commit;
mod header;
mod replay;

use header::Header;
use replay::Replay;

use super::number::Checked;
use super::overlay::Overlay;
use super::reader::Reader;
use crate::error::{Error, Result};

/// The result of a replay.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// The blocks that it changes.
    pub(super) overlay: Overlay,
    /// Whether fast commits follow, which are not replayed.
    pub(super) has_fast_commits: bool,
}

/// Replays the journal if the file system was not unmounted.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Disk`], and [`Error::Unsupported`] for a journal on another device or unknown features.
pub(super) fn replay(reader: &Reader<'_>) -> Result<Replayed> {
    let superblock = &reader.superblock;
    // Without this flag, the kernel empties the journal and does not replay it.
    if !superblock.features.needs_recovery() {
        return Ok(Replayed::default());
    }
    if !superblock.features.has_journal() {
        return Err(Error::damaged(
            "the ext superblock",
            "it needs a replay of the journal, but has no journal",
        ));
    }
    if superblock.journal_inode == 0 {
        if superblock.journal_device == 0 {
            return Err(Error::damaged("the ext superblock", "it does not say where the journal is"));
        }
        return Err(Error::Unsupported(
            "the ext file system was not unmounted, and its journal is on another disk, so its content is unknown"
                .into(),
        ));
    }
    let file = JournalFile { reader, inode: reader.inode(superblock.journal_inode)? };
    let header = Header::new(&file.block(0)?, superblock.block_size, file.block_count()?)?;
    let Some(start) = header.start else {
        return Ok(Replayed::default());
    };
    Replay::new(&file, &header).run(start)
}

/// The file that contains the journal.
struct JournalFile<'r, 'a> {
    reader: &'r Reader<'a>,
    inode: super::inode::Inode,
}

impl JournalFile<'_, '_> {
    /// Returns how many blocks the file has.
    fn block_count(&self) -> Result<u64> {
        self.inode.size.per(self.reader.superblock.block_size)
    }

    /// Returns the block of the file system that has a block of the journal.
    fn place(&self, index: u64) -> Result<u64> {
        let place = self.reader.block_of(&self.inode, index)?;
        place.ok_or_else(|| damaged(format!("its block {index} is a hole")))
    }

    /// Returns a block of the journal.
    fn block(&self, index: u64) -> Result<Vec<u8>> {
        self.reader.volume.block(self.place(index)?)
    }
}

fn damaged(why: impl Into<String>) -> Error {
    Error::damaged("the journal of the ext file system", why)
}
