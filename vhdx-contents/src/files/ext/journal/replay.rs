//! Walks through the log from its start, and collects the blocks of committed transactions.

use super::super::checksum::crc32_be;
use super::super::number::Checked;
use super::super::overlay::{LoggedBlock, Overlay};
use super::block::{self, BlockKind, Tag};
use super::fast_commit;
use super::file::{JournalFile, damaged};
use super::header::{Checksums, Header};
use crate::error::Result;

/// How many blocks a transaction may write, and how many it may revoke. In the longest journals that `mke2fs` makes, the
/// kernel ends a transaction earlier: 10,240,000 blocks, of which a transaction has a quarter at most.
const BLOCKS_OF_TRANSACTION: usize = 1 << 22;

/// The result of a replay.
#[derive(Debug, Default)]
pub(in crate::files::ext) struct Replayed {
    /// The blocks that it changes.
    pub(in crate::files::ext) overlay: Overlay,
    /// Whether fast commits follow, which are not replayed.
    pub(in crate::files::ext) has_fast_commits: bool,
}

/// A replay of the log.
pub(super) struct Replay<'j, 'r, 'a> {
    file: &'j JournalFile<'r, 'a>,
    header: &'j Header,
    overlay: Overlay,
    /// How many more blocks the log can have.
    left: u64,
    last_commit_time: u64,
}

/// A transaction whose commit block was not found yet.
struct Transaction {
    sequence: u32,
    blocks: Vec<(Tag, u64)>,
    revoked: Vec<u64>,
    /// The first block whose content differs from the checksum in its tag.
    wrong_content: Option<u64>,
    /// Whether the checksum of a descriptor or revocation is wrong. Then it may be the rest of an older log.
    is_suspect: bool,
    /// The CRC-32 of all blocks, for the first version of checksums.
    checksum: u32,
}

impl Transaction {
    fn new(sequence: u32) -> Self {
        let (blocks, revoked) = (Vec::new(), Vec::new());
        Self { sequence, blocks, revoked, wrong_content: None, is_suspect: false, checksum: !0 }
    }
}

impl<'j, 'r, 'a> Replay<'j, 'r, 'a> {
    pub(super) fn new(file: &'j JournalFile<'r, 'a>, header: &'j Header) -> Self {
        let left = header.end.saturating_sub(header.first); // `first` is before `end`
        Self { file, header, overlay: Overlay::default(), left, last_commit_time: 0 }
    }

    /// Walks through the log from a block on, and returns the overlay.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) if a committed transaction is damaged.
    pub(super) fn run(mut self, start: u64) -> Result<Replayed> {
        let mut at = start;
        let mut transaction = Transaction::new(self.header.sequence);
        while self.left > 0 {
            let bytes = self.file.block(at)?;
            let Some(kind) = block::kind(&bytes, transaction.sequence)? else { break };
            at = self.next(at)?;
            match kind {
                BlockKind::Descriptor => at = self.descriptor(&bytes, at, &mut transaction)?,
                BlockKind::Revocation => {
                    if block::is_tail_right(&bytes, self.header)? {
                        transaction.revoked.extend(block::revoked(&bytes, self.header)?);
                        ensure_bounded(transaction.revoked.len())?;
                    } else {
                        transaction.is_suspect = true;
                    }
                }
                BlockKind::Commit => {
                    let next = transaction.sequence.wrapping_add(1); // sequence numbers begin again after the last
                    let done = std::mem::replace(&mut transaction, Transaction::new(next));
                    if !self.commit(&bytes, done)? {
                        // This transaction and everything after it is left out.
                        return Ok(Replayed { overlay: self.overlay, has_fast_commits: false });
                    }
                }
            }
        }
        let has_fast_commits = fast_commit::exist(self.file, self.header, transaction.sequence)?;
        Ok(Replayed { overlay: self.overlay, has_fast_commits })
    }

    /// Returns the next block of the log.
    fn next(&mut self, at: u64) -> Result<u64> {
        self.left = self.left.saturating_sub(1); // then nothing is left, and the walk ends
        let next = at.plus(1)?;
        Ok(if next < self.header.end { next } else { self.header.first })
    }

    /// Adds the blocks that follow a descriptor to the transaction, and returns the block after them.
    fn descriptor(&mut self, bytes: &[u8], mut at: u64, transaction: &mut Transaction) -> Result<u64> {
        if !block::is_tail_right(bytes, self.header)? {
            transaction.is_suspect = true;
        }
        let needs_content = self.header.checksums != Checksums::None && !transaction.is_suspect;
        if self.header.checksums == Checksums::V1 {
            transaction.checksum = crc32_be(transaction.checksum, bytes);
        }
        for tag in block::tags(bytes, self.header)? {
            if self.left == 0 {
                break;
            }
            if needs_content {
                let content = self.file.block(at)?;
                if !block::is_content_right(&content, self.header, &tag, transaction.sequence) {
                    transaction.wrong_content.get_or_insert(tag.block);
                }
                if self.header.checksums == Checksums::V1 {
                    transaction.checksum = crc32_be(transaction.checksum, &content);
                }
            }
            transaction.blocks.push((tag, at));
            ensure_bounded(transaction.blocks.len())?;
            at = self.next(at)?;
        }
        Ok(at)
    }

    /// Adds a transaction to the overlay. Returns `false` if the log ends before it.
    fn commit(&mut self, bytes: &[u8], transaction: Transaction) -> Result<bool> {
        let time = block::commit_time(bytes)?;
        let sequence = transaction.sequence;
        let is_right = block::is_commit_right(bytes, self.header, transaction.checksum)?;
        if transaction.is_suspect || !is_right {
            // Blocks of an older log look like this, too, but are older.
            if time < self.last_commit_time || !transaction.is_suspect && self.header.has_async_commit {
                return Ok(false);
            }
            return Err(damaged(format!("a checksum of transaction {sequence} is wrong")));
        }
        if let Some(block) = transaction.wrong_content {
            return Err(damaged(format!("the checksum of block {block} in transaction {sequence} is wrong")));
        }
        self.last_commit_time = time;
        for (tag, at) in transaction.blocks {
            let logged = LoggedBlock { block: self.file.place(at)?, is_escaped: tag.is_escaped };
            self.overlay.add(tag.block, logged);
        }
        // A block that the same transaction wrote before it was revoked is revoked, too.
        for block in transaction.revoked {
            self.overlay.revoke(block);
        }
        Ok(true)
    }
}

/// Checks how many blocks a transaction has collected.
fn ensure_bounded(blocks: usize) -> Result<()> {
    if blocks > BLOCKS_OF_TRANSACTION {
        return Err(damaged(format!("a transaction has more than {BLOCKS_OF_TRANSACTION} blocks")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_bounded() {
        assert!(ensure_bounded(10_240_000 / 4).is_ok());
        assert!(ensure_bounded(BLOCKS_OF_TRANSACTION + 1).is_err());
    }
}
