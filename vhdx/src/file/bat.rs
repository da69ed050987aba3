//! Reads the block allocation table in bulk, and validates its entries on use ([MS-VHDX] 2.5).

use std::collections::BTreeMap;

use super::Vhdx;
use crate::error::{Bounded, Error, InvalidArgument, Result};
use crate::format::bat_entry::{BatEntry, PayloadBlockState, SectorBitmapBlockState};
use crate::rules::Rule;
use crate::storage::read_into;
use crate::units::{BatIndex, BlockIndex, ChunkIndex, DiskOffset, FileOffset, MIB};
use crate::violation::{Structure, Violation, Violations};

/// The size of an entry in bytes.
pub(super) const ENTRY_SIZE: u64 = 8;
/// The number of entries that are read at once: 64 KiB.
pub(super) const WINDOW: u64 = 8192;

impl Vhdx {
    /// Reads entries like [`bat_entries`](Self::bat_entries), into a buffer that can be reused.
    pub(super) fn read_bat(&self, first: BatIndex, count: u64, entries: &mut Vec<BatEntry>) -> Result<()> {
        let mut bytes = Vec::new();
        self.read_bat_bytes(first, count, &mut bytes)?;
        entries.clear();
        entries.extend(bytes.as_chunks().0.iter().copied().map(BatEntry::from_le_bytes));
        Ok(())
    }

    /// Reads the bytes of entries, like [`read_bat`](Self::read_bat).
    pub(super) fn read_bat_bytes(&self, first: BatIndex, count: u64, buf: &mut Vec<u8>) -> Result<()> {
        let all = self.geometry.bat_entry_count();
        let end = first.checked_add(count).filter(|end| end.get() <= all);
        let bytes = end.and_then(|_| usize::try_from(count.checked_mul(ENTRY_SIZE)?).ok());
        let Some(bytes) = bytes else {
            // The caller may ask for any entry. A block so far past the end may be named by the last offset.
            let start = DiskOffset::new(first.get().saturating_mul(self.block_size()));
            let virtual_size = self.virtual_size();
            return Err(InvalidArgument::PastEndOfDisk { start, len: count, virtual_size }.into());
        };
        buf.resize(bytes, 0);
        read_into(&*self.storage, buf, self.bat_entry_place(first)).map_err(|e| self.in_file(e))
    }

    pub(super) fn bat_entry(&self, index: BatIndex) -> Result<BatEntry> {
        let entries = self.bat_entries(index, 1)?;
        entries.first().copied().ok_or_else(|| {
            let place = self.bat_entry_place(index);
            self.in_file(Violation::new(Structure::BatEntry(index), place, Rule::Truncated).into())
        })
    }

    /// Returns the offset of an entry in the file.
    ///
    /// The region of the BAT lies inside the file, so this is exact for every entry in the region. Any other entry has
    /// an offset past the region, which may be the last offset.
    pub(crate) fn bat_entry_place(&self, index: BatIndex) -> FileOffset {
        self.regions.bat.offset.saturating_add(index.get().saturating_mul(ENTRY_SIZE))
    }

    /// Counts the payload blocks in each state. Reads the whole BAT.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Corrupt`] for an entry that breaks a rule about single entries. Rules about the
    /// places of blocks are not checked.
    pub fn block_counts(&self) -> Result<BTreeMap<PayloadBlockState, u64>> {
        let mut counts = BTreeMap::new();
        let mut entries = Vec::new();
        let mut block = BlockIndex::new(0);
        while block.get() < self.geometry.block_count() {
            let first = self.geometry.payload_bat_index(block);
            // A read ends before the sector bitmap entry at the end of the chunk.
            let in_chunk = self.geometry.chunk_ratio() - block.get() % self.geometry.chunk_ratio();
            let left = self.geometry.block_count() - block.get();
            let count = left.min(in_chunk).min(WINDOW);
            self.read_bat(first, count, &mut entries)?;
            for entry in &entries {
                let index = self.geometry.payload_bat_index(block);
                let at = self.bat_entry_place(index);
                let mut violations = Violations::new();
                let state = entry.validate_payload(index, at, self.geometry.has_parent(), &mut violations);
                let state = self.first_fatal(&violations, index, state)?;
                *counts.entry(state).or_default() += 1;
                block = block.plus(1)?;
            }
        }
        Ok(counts)
    }

    /// Validates the entry of a payload block and its place, and returns the block's state.
    ///
    /// Adds every violation to `violations`, and returns `None` if the block cannot be used.
    pub(crate) fn validate_payload(
        &self,
        block: BlockIndex,
        entry: BatEntry,
        violations: &mut Violations,
    ) -> Option<PayloadBlockState> {
        let index = self.geometry.payload_bat_index(block);
        let at = self.bat_entry_place(index);
        let state = entry.validate_payload(index, at, self.geometry.has_parent(), violations)?;
        if !state.is_present() {
            self.validate_place_without_data(index, entry, violations);
            return Some(state);
        }
        let needed = self.geometry.block_len(block);
        let structure = Structure::BatEntry(index);
        let place = entry.file_offset();
        let fits = self.layout.validate_place(structure, at, place, needed, self.block_size(), violations);
        fits.then_some(state)
    }

    /// Validates the entry of a sector bitmap block and returns the block's place.
    ///
    /// Returns `None` if the entry cannot be used, and `Some(None)` if the block is not present or there is no parent.
    pub(crate) fn validate_bitmap(
        &self,
        chunk: ChunkIndex,
        entry: BatEntry,
        violations: &mut Violations,
    ) -> Option<Option<FileOffset>> {
        let index = self.geometry.bitmap_bat_index(chunk);
        let at = self.bat_entry_place(index);
        let state = entry.validate_bitmap(index, at, self.geometry.has_parent(), violations)?;
        if state == SectorBitmapBlockState::NotPresent || !self.geometry.has_parent() {
            return Some(None);
        }
        let place = entry.file_offset();
        let fits = self.layout.validate_place(Structure::BatEntry(index), at, place, MIB, MIB, violations);
        fits.then_some(Some(place))
    }

    /// Validates a block that is about to be used, and returns its state.
    ///
    /// # Errors
    /// The first violation that is not tolerated.
    pub(super) fn use_payload(&self, block: BlockIndex, entry: BatEntry) -> Result<PayloadBlockState> {
        let mut violations = Violations::new();
        let state = self.validate_payload(block, entry, &mut violations);
        self.first_fatal(&violations, self.geometry.payload_bat_index(block), state)
    }

    /// Validates a sector bitmap block that a partially present block needs, and returns its place.
    ///
    /// # Errors
    /// The first violation that is not tolerated, also if the sector bitmap block is not present.
    pub(super) fn use_bitmap(&self, chunk: ChunkIndex, entry: BatEntry) -> Result<FileOffset> {
        let index = self.geometry.bitmap_bat_index(chunk);
        let mut violations = Violations::new();
        let place = self.validate_bitmap(chunk, entry, &mut violations);
        if place == Some(None) {
            let at = self.bat_entry_place(index);
            violations.report(Violation::new(Structure::BatEntry(index), at, Rule::BatBitmapMissing));
        }
        self.first_fatal(&violations, index, place.flatten())
    }

    fn first_fatal<T>(&self, violations: &Violations, index: BatIndex, value: Option<T>) -> Result<T> {
        let at = self.bat_entry_place(index);
        let broken = || Error::from(Violation::new(Structure::BatEntry(index), at, Rule::BatStateReserved));
        violations
            .ensure_none_fatal()
            .map_err(Into::into)
            .and_then(|()| value.ok_or_else(broken))
            .map_err(|e| self.in_file(e))
    }
}
