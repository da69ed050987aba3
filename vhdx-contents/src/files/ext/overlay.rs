//! The blocks that a journal has for other places of the file system.

use std::collections::BTreeMap;
use std::ops::Range;

/// Blocks to read from the journal instead of their own places. Contains places only, no content.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    blocks: BTreeMap<u64, LoggedBlock>,
}

/// The place of a block in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LoggedBlock {
    /// The block of the file system that the journal uses for it.
    pub(super) block: u64,
    /// Whether its first four bytes were replaced, because they are the signature of the journal's own blocks.
    pub(super) is_escaped: bool,
}

impl Overlay {
    /// Adds a block. An earlier version of it is forgotten.
    pub(super) fn add(&mut self, block: u64, logged: LoggedBlock) {
        self.blocks.insert(block, logged);
    }

    /// Forgets all versions of a block.
    pub(super) fn revoke(&mut self, block: u64) {
        self.blocks.remove(&block);
    }

    /// Returns the blocks in a range with their places in the journal.
    pub(super) fn blocks(&self, range: Range<u64>) -> impl Iterator<Item = (u64, LoggedBlock)> {
        self.blocks.range(range).map(|(block, logged)| (*block, *logged))
    }
}
