//! The blocks of a file system, as they are after its journal has been replayed.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::number::{Checked, part, to_usize};
use super::overlay::{LoggedBlock, Overlay};
use crate::error::{Error, Result};
use crate::files::guarded::Budget;
use crate::window::Window;

/// Metadata is read in units of this many bytes. Every block is in one unit.
const UNIT: u64 = 64 << 10;
/// How many units are kept in memory.
const UNITS: usize = 128;

/// The first four bytes of the journal's own blocks.
pub(super) const JOURNAL_MAGIC: u32 = 0xC03B_3998;

/// The blocks of a file system.
pub(super) struct Volume<'a> {
    window: Window<'a>,
    /// A power of two, at most [`UNIT`].
    block_size: u64,
    block_count: u64,
    overlay: Overlay,
    units: Mutex<Units>,
    /// Counts reads and steps.
    budget: Option<Arc<Budget>>,
}

/// Units of metadata that were read, the oldest first.
#[derive(Default)]
struct Units {
    bytes: HashMap<u64, Arc<Vec<u8>>>,
    order: VecDeque<u64>,
}

impl<'a> Volume<'a> {
    /// `block_size` and `block_count` come from a valid superblock.
    pub(super) fn new(window: Window<'a>, block_size: u64, block_count: u64, overlay: Overlay) -> Self {
        Self { window, block_size, block_count, overlay, units: Mutex::default(), budget: None }
    }

    /// Returns the volume with another number of blocks, which comes from a valid superblock.
    pub(super) fn with_block_count(mut self, block_count: u64) -> Self {
        self.block_count = block_count;
        self
    }

    /// Returns the volume with a limit for its reads and steps.
    pub(super) fn with_budget(mut self, budget: Option<Arc<Budget>>) -> Self {
        self.budget = budget;
        self
    }

    /// Counts a read, or a step through the map of a file.
    ///
    /// # Errors
    /// [`Error::Abandoned`] if there were too many.
    pub(super) fn spend(&self) -> Result<()> {
        self.budget.as_ref().map_or(Ok(()), |budget| budget.spend())
    }

    /// Returns how many blocks the file system has, without those past the end of the window.
    pub(super) fn block_count(&self) -> u64 {
        self.block_count
    }

    pub(super) fn block_size(&self) -> u64 {
        self.block_size
    }

    /// Checks that blocks are within the file system. Block 0 belongs to no file.
    ///
    /// # Errors
    /// [`Error::Damaged`], with the name of the structure that refers to them.
    pub(super) fn ensure_blocks(&self, first: u64, len: u64, what: &dyn Fn() -> String) -> Result<()> {
        let end = first.checked_add(len);
        if first == 0 || end.is_none_or(|end| end > self.block_count) {
            let why = format!("it refers to block {first} (+{len}) of {}", self.block_count);
            return Err(Error::damaged(what(), why));
        }
        Ok(())
    }

    /// Returns a block of metadata.
    pub(super) fn block(&self, block: u64) -> Result<Vec<u8>> {
        self.metadata(block.times(self.block_size)?, to_usize(self.block_size)?)
    }

    /// Returns a part of a block of metadata.
    pub(super) fn metadata(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let unit = self.unit(offset / UNIT)?;
        let bytes = part(&unit, to_usize(offset % UNIT)?, len).map_err(|_| self.past_end(offset))?;
        Ok(bytes.to_vec())
    }

    /// Fills `buf` with the content of adjacent blocks from a position on. That is one read, and one more for each of
    /// the blocks that are in the journal.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.spend()?;
        if self.window.read_into(offset, buf)? < buf.len() {
            return Err(self.past_end(offset));
        }
        self.add_logged(offset, buf)
    }

    fn unit(&self, unit: u64) -> Result<Arc<Vec<u8>>> {
        if let Some(bytes) = self.units().bytes.get(&unit) {
            return Ok(Arc::clone(bytes));
        }
        self.spend()?;
        let offset = unit.times(UNIT)?;
        let mut bytes = self.window.read(offset, to_usize(UNIT)?)?;
        self.add_logged(offset, &mut bytes)?;
        let bytes = Arc::new(bytes);
        let mut units = self.units();
        if units.bytes.insert(unit, Arc::clone(&bytes)).is_none() {
            units.order.push_back(unit);
        }
        if units.order.len() > UNITS
            && let Some(oldest) = units.order.pop_front()
        {
            units.bytes.remove(&oldest);
        }
        Ok(bytes)
    }

    /// A panic cannot leave the units in an invalid state, so it does not matter.
    fn units(&self) -> std::sync::MutexGuard<'_, Units> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces what the journal has of the bytes from `offset` on.
    fn add_logged(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset.plus(u64::try_from(buf.len()).map_err(|_| self.past_end(offset))?)?;
        let blocks = offset.per(self.block_size)?..end.div_ceil(self.block_size);
        for (block, logged) in self.overlay.blocks(blocks) {
            let bytes = self.logged(logged)?;
            let start = block.times(self.block_size)?;
            let from = to_usize(offset.saturating_sub(start))?; // the buffer may begin within the block
            let at = to_usize(start.saturating_sub(offset))?; // or before it
            let source = part(&bytes, from, bytes.len().minus(from)?)?;
            let target = buf.get_mut(at..).ok_or_else(|| self.past_end(offset))?;
            for (target, source) in target.iter_mut().zip(source) {
                *target = *source;
            }
        }
        Ok(())
    }

    /// Returns the content of a block in the journal, as it is in its own place after a replay.
    fn logged(&self, logged: LoggedBlock) -> Result<Vec<u8>> {
        self.spend()?;
        let mut bytes = vec![0; to_usize(self.block_size)?];
        let offset = logged.block.times(self.block_size)?;
        if self.window.read_into(offset, &mut bytes)? < bytes.len() {
            return Err(self.past_end(offset));
        }
        if let Some(first) = bytes.get_mut(..4).filter(|_| logged.is_escaped) {
            first.copy_from_slice(&JOURNAL_MAGIC.to_be_bytes());
        }
        Ok(bytes)
    }

    fn past_end(&self, offset: u64) -> Error {
        let why = format!("the block at byte {offset} is past the end of the partition or disk");
        Error::damaged("the ext file system", why)
    }
}

#[cfg(test)]
mod tests {
    use vhdx::RawDisk;

    use super::*;

    /// Passes on a volume whose block `n` consists of bytes `n`. Blocks 3 and 90 are in the journal at 50 and 51.
    fn with_journal(f: impl FnOnce(&Volume<'_>)) {
        let disk = RawDisk::open_with((0..100).flat_map(|block| [block; 1024]).collect::<Vec<u8>>(), "test")
            .unwrap();
        let mut overlay = Overlay::default();
        overlay.add(3, LoggedBlock { block: 50, is_escaped: false });
        overlay.add(90, LoggedBlock { block: 51, is_escaped: true });
        f(&Volume::new(Window::whole(&disk), 1024, 100, overlay));
    }

    #[test]
    fn blocks_in_the_journal_replace_others_also_in_part() {
        with_journal(|volume| {
            for (offset, len) in
                [(0, 8192), (3000, 2000), (3072, 1024), (3500, 100), (4000, 200), (4096, 100)]
            {
                let mut bytes = vec![0; len];
                volume.read(offset as u64, &mut bytes).unwrap();
                let right =
                    |at: usize| if (offset + at) / 1024 == 3 { 50 } else { ((offset + at) / 1024) as u8 };
                assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == right(at)), "{offset} {len}");
            }
            assert_eq!(volume.block(3).unwrap(), [50; 1024]);
            assert_eq!(volume.metadata(90 * 1024, 6).unwrap(), [0xC0, 0x3B, 0x39, 0x98, 51, 51]);
        });
    }

    #[test]
    fn reads_past_the_end_of_the_window_are_errors() {
        with_journal(|volume| {
            assert!(volume.block(99).is_ok());
            assert!(volume.block(100).is_err());
            assert!(volume.read(100 * 1024 - 5, &mut [0; 6]).is_err());
            assert!(volume.read(u64::MAX, &mut [0; 6]).is_err());
        });
    }

    #[test]
    fn every_read_is_counted() {
        with_journal(|volume| volume.read(0, &mut [0; 6]).unwrap());
        let disk = RawDisk::open_with(vec![7; 1 << 20], "test").unwrap();
        let budget = Budget::new();
        let volume = Volume::new(Window::whole(&disk), 1024, 1024, Overlay::default());
        let volume = volume.with_budget(Some(Arc::clone(&budget)));
        volume.block(1).unwrap();
        while budget.spend().is_ok() {}
        assert!(volume.block(1).is_ok(), "it is in memory");
        assert!(matches!(volume.block(100), Err(Error::Abandoned(_))));
        assert!(matches!(volume.read(0, &mut [0; 6]), Err(Error::Abandoned(_))));
    }

    #[test]
    fn memory_for_metadata_is_bounded() {
        let disk = RawDisk::open_with(vec![7; 200 << 16], "test").unwrap();
        let volume = Volume::new(Window::whole(&disk), 1 << 16, 200, Overlay::default());
        for block in (0..200).chain(0..200) {
            assert_eq!(volume.metadata(block << 16, 1).unwrap(), [7]);
        }
        assert_eq!(volume.units().bytes.len(), UNITS);
        assert_eq!(volume.units().order.len(), UNITS);
    }
}
