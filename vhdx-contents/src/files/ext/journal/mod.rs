//! The journal (jbd2): its committed transactions become an overlay. Its numbers are big-endian.

mod block;
mod fast_commit;
mod file;
mod header;
mod replay;

use file::JournalFile;
use header::Header;
use replay::Replay;
pub(super) use replay::Replayed;

use super::reader::Reader;
use crate::error::{Error, Result};

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
    file.ensure_distinct()?;
    Replay::new(&file, &header).run(start)
}
