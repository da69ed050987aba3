//! Stages changes of BAT entries and sector bitmaps, and writes the data of blocks directly.
//!
//! Staged changes reach the file with the next commit. Direct writes go only to places to which nothing points yet, or
//! over data of the guest.

use std::ops::Range;

use super::VhdxMut;
use crate::error::{Bounded, Error, Guaranteed, Result, in_memory};
use crate::file::Vhdx;
use crate::format::bat_entry::{BatEntry, PayloadBlockState, SectorBitmapBlockState};
use crate::format::log_entry::SECTOR_SIZE;
use crate::storage::{put, read_into};
use crate::units::{BatIndex, BlockIndex, ChunkIndex, DiskOffset, FileOffset, MIB};

/// The state of a payload block, and the place that it has or reserves in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PayloadBlock {
    pub(crate) state: PayloadBlockState,
    pub(crate) place: FileOffset,
}

const IN_BLOCK: &str = "a sector has a bit in its own block";

/// The bits of one block's sectors; bit 0 is that of the block's first sector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SectorBits(Vec<u8>);

impl SectorBits {
    /// Returns the bits as they are stored ([MS-VHDX] 2.5.1.2).
    ///
    /// Each byte has 8 sectors. The first sector is bit 0 of byte 0.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Sets the bits of sectors of the block.
    ///
    /// # Errors
    /// [`Error::Internal`] if the block has no such sector.
    pub(crate) fn set(&mut self, sectors: Range<u64>) -> Result<()> {
        for sector in sectors {
            let byte = in_memory(sector / 8)?;
            *self.0.get_mut(byte).guaranteed(IN_BLOCK)? |= 1 << (sector % 8);
        }
        Ok(())
    }

    /// Returns whether the bits of all these sectors of the block are set.
    ///
    /// # Errors
    /// [`Error::Internal`] if the block has no such sector.
    pub(crate) fn are_set(&self, sectors: Range<u64>) -> Result<bool> {
        for sector in sectors {
            let byte = self.0.get(in_memory(sector / 8)?).guaranteed(IN_BLOCK)?;
            if byte & (1 << (sector % 8)) == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl VhdxMut {
    /// Reads a payload block from the BAT entry that will be in force after the next commit.
    pub(crate) fn payload_block(&self, block: BlockIndex) -> Result<PayloadBlock> {
        let entry = self.vhdx.payload_entry(block)?;
        Ok(PayloadBlock { state: self.vhdx.use_payload(block, entry)?, place: entry.file_offset() })
    }

    /// Stages another state and place of a payload block.
    pub(crate) fn stage_payload(
        &mut self,
        block: BlockIndex,
        state: PayloadBlockState,
        place: FileOffset,
    ) -> Result<()> {
        self.stage_entry(self.vhdx.geometry.payload_bat_index(block), BatEntry::payload(state, place))
    }

    /// Stages the entry of a chunk's new sector bitmap block.
    ///
    /// The block must be all zeros in the file already.
    pub(crate) fn stage_bitmap(&mut self, chunk: ChunkIndex, place: FileOffset) -> Result<()> {
        let entry = BatEntry::new(SectorBitmapBlockState::Present.bits(), place);
        self.stage_entry(self.vhdx.geometry.bitmap_bat_index(chunk), entry)
    }

    pub(super) fn stage_entry(&mut self, index: BatIndex, entry: BatEntry) -> Result<()> {
        self.staged.stage(&entry.to_le_bytes(), self.vhdx.bat_entry_place(index))
    }

    /// Returns whether a chunk has a sector bitmap block.
    pub(crate) fn has_bitmap(&self, chunk: ChunkIndex) -> Result<bool> {
        let entry = self.vhdx.bat_entry(self.vhdx.geometry.bitmap_bat_index(chunk))?;
        Ok(entry.bitmap_state() == Some(SectorBitmapBlockState::Present))
    }

    /// Reads the bits of a block. Its chunk must have a sector bitmap block.
    pub(crate) fn sector_bits(&self, block: BlockIndex) -> Result<SectorBits> {
        let mut bits = self.clear_bits()?;
        read_into(&*self.staged, &mut bits.0, self.place_of_bits(block)?)?;
        Ok(bits)
    }

    /// Returns the bits of a block in which no sector is present.
    pub(crate) fn clear_bits(&self) -> Result<SectorBits> {
        let bytes = self.sectors_per_block() / 8;
        Ok(SectorBits(vec![0; in_memory(bytes)?]))
    }

    pub(crate) fn stage_bits(&mut self, block: BlockIndex, bits: &SectorBits) -> Result<()> {
        self.staged.stage(&bits.0, self.place_of_bits(block)?)
    }

    fn place_of_bits(&self, block: BlockIndex) -> Result<FileOffset> {
        let geometry = self.vhdx.geometry;
        let start = geometry.block_start(block);
        let chunk = geometry.chunk_of(block);
        let entry = self.vhdx.bat_entry(geometry.bitmap_bat_index(chunk))?;
        let bitmap = self.vhdx.use_bitmap(chunk, entry)?;
        bitmap.plus(geometry.bitmap_bits(start..start)?.start / 8)
    }

    /// Returns the sectors of a range inside one block, counted from the start of the block.
    pub(crate) fn sectors(&self, range: &Range<DiskOffset>) -> Result<Range<u64>> {
        let geometry = self.vhdx.geometry;
        let first = geometry.offset_in_block(range.start) / geometry.sector_size();
        Ok(first..first.plus(range.end.minus(range.start)? / geometry.sector_size())?)
    }

    fn sectors_per_block(&self) -> u64 {
        self.vhdx.geometry.block_size() / self.vhdx.geometry.sector_size()
    }

    /// Returns how many pages a change of one block stages at most.
    ///
    /// These are the pages of its bits, its entry, and its sector bitmap block's entry.
    pub(crate) fn pages_of_block(&self) -> Result<usize> {
        let bytes = in_memory(self.sectors_per_block() / 8)?;
        Ok(bytes.div_ceil(SECTOR_SIZE) + 2)
    }

    /// Marks a place of `len` bytes that becomes free with the next commit.
    pub(crate) fn free_with_commit(&mut self, place: FileOffset, len: u64) {
        self.freed.push((place, len));
    }

    /// Allocates and stages a sector bitmap block for the chunk of a block, if it has none.
    pub(super) fn need_bitmap(&mut self, block: BlockIndex) -> Result<()> {
        let chunk = self.vhdx.geometry.chunk_of(block);
        if self.has_bitmap(chunk)? {
            return Ok(());
        }
        let place = self.allocate_zeros(MIB)?;
        self.stage_bitmap(chunk, place)
    }

    /// Allocates a place of `len` bytes that reads as zeros.
    pub(super) fn allocate_zeros(&mut self, len: u64) -> Result<FileOffset> {
        let place = self.space.allocate(len)?;
        self.extend_to(place.offset.plus(len)?.get())?;
        if !place.is_fresh {
            self.put_zeros(place.offset, len)?;
        }
        Ok(place.offset)
    }

    /// Writes zeros directly: to a place to which nothing points yet, or over data of the guest.
    pub(crate) fn put_zeros(&self, place: FileOffset, len: u64) -> Result<()> {
        self.staged.storage().zero_range(place, len).map_err(|e| Error::io("write", place, e))
    }

    /// Makes a place to which nothing points read as zeros.
    ///
    /// The place takes no space if the host supports holes.
    pub(crate) fn put_hole(&self, place: FileOffset, len: u64) -> Result<()> {
        self.staged.storage().punch_hole(place, len).map_err(|e| Error::io("write", place, e))
    }

    /// Writes bytes directly: to a place to which nothing points yet, or over data of the guest.
    pub(crate) fn put(&self, bytes: &[u8], place: FileOffset) -> Result<()> {
        put(self.staged.storage(), bytes, place)
    }

    /// Copies bytes of another file directly, like [`put`](Self::put).
    pub(crate) fn put_from(
        &self,
        source: &Vhdx,
        from: FileOffset,
        place: FileOffset,
        len: u64,
    ) -> Result<()> {
        let copied = self.staged.storage().copy_from(source.storage(), from, place, len);
        copied.map_err(|e| Error::io("copy", place, e))
    }

    /// Announces a commit, so that the host can begin to write out earlier writes.
    pub(crate) fn begin_sync(&self) -> Result<()> {
        self.staged.storage().begin_sync().map_err(|e| Error::io("sync", None, e))
    }
}

#[cfg(test)]
mod tests;
