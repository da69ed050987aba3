//! Computes where blocks and sectors lie and which BAT entry describes them: pure arithmetic, no I/O.
//!
//! ```text
//! disk   |- block 0 -|- block 1 -| ... |- block r -| ...          r = chunk ratio
//! BAT    [ p0 ][ p1 ] ... [ p(r-1) ][ b0 ][ p(r) ] ... [ b1 ] ...  p = payload block, b = sector bitmap block
//! ```
#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]

use std::num::NonZeroU64;
use std::ops::Range;

use crate::error::{Bounded, InvalidArgument, Result};
use crate::units::{BatIndex, BlockIndex, ChunkIndex, DiskOffset, MIB};

/// The largest virtual disk, in bytes ([MS-VHDX] 2.6.2.2).
pub const MAX_VIRTUAL_SIZE: u64 = 64 << 40;
/// The largest payload block, in bytes ([MS-VHDX] 2.6.2.1).
pub const MAX_BLOCK_SIZE: u64 = 256 << 20;
/// The number of sectors that one sector bitmap block describes, one bit each ([MS-VHDX] 2.4).
pub(crate) const SECTORS_PER_CHUNK: u64 = 1 << 23;

/// The layout of a virtual disk: where its blocks and sectors lie, and which BAT entry describes which block.
///
/// Every `Geometry` satisfies the rules of [MS-VHDX] 2.6.2, so no number of a disk overflows or is divided by zero. An
/// index past the disk gives the last number of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    block_size: NonZeroU64,
    sector_size: NonZeroU64,
    chunk_ratio: NonZeroU64,
    /// The number of BAT entries of a whole chunk.
    chunk_entries: NonZeroU64,
    virtual_size: u64,
    last_block: BlockIndex,
    bat_entry_count: u64,
    has_parent: bool,
}

/// The kind of block that a BAT entry describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatEntryKind {
    /// A payload block.
    Payload(BlockIndex),
    /// The sector bitmap block of a chunk.
    SectorBitmap(ChunkIndex),
}

impl Geometry {
    /// Returns the geometry of a disk. All sizes are in bytes; `sector_size` is the logical one.
    ///
    /// # Errors
    /// - [`InvalidArgument::BlockSize`] or [`InvalidArgument::VirtualSize`] for a size that [MS-VHDX] 2.6.2 forbids.
    /// - [`InvalidArgument::SectorSize`] for a logical sector size other than 512 and 4096.
    pub fn new(
        block_size: u64,
        sector_size: u32,
        virtual_size: u64,
        has_parent: bool,
    ) -> Result<Self, InvalidArgument> {
        let sector = u64::from(sector_size);
        if !block_size.is_power_of_two() || !(MIB..=MAX_BLOCK_SIZE).contains(&block_size) {
            return Err(InvalidArgument::BlockSize(block_size));
        }
        if sector_size != 512 && sector_size != 4096 {
            return Err(InvalidArgument::SectorSize(sector));
        }
        if virtual_size == 0 || virtual_size > MAX_VIRTUAL_SIZE || !virtual_size.is_multiple_of(sector) {
            return Err(InvalidArgument::VirtualSize(virtual_size));
        }
        let nonzero = |n| NonZeroU64::new(n).ok_or(InvalidArgument::BlockSize(block_size));
        let (block_size, sector_size) = (nonzero(block_size)?, nonzero(sector)?);
        // These numbers are in range for every valid size, so no error here is ever returned.
        let in_range = |n: Option<u64>| n.ok_or(InvalidArgument::VirtualSize(virtual_size));
        let chunk_ratio = nonzero(in_range(SECTORS_PER_CHUNK.checked_mul(sector))? / block_size)?;
        let chunk_entries = nonzero(in_range(chunk_ratio.get().checked_add(1))?)?;
        let blocks = virtual_size.div_ceil(block_size.get());
        let chunks = blocks.div_ceil(chunk_ratio.get());
        let last_block = in_range(blocks.checked_sub(1))?;
        let bat_entry_count =
            if has_parent { chunks.checked_mul(chunk_entries.get()) } else { last_block.checked_add(chunks) };
        Ok(Self {
            block_size,
            sector_size,
            chunk_ratio,
            chunk_entries,
            virtual_size,
            last_block: BlockIndex::new(last_block),
            bat_entry_count: in_range(bat_entry_count)?,
            has_parent,
        })
    }

    /// Returns the size of a payload block in bytes: a power of two from 1 MiB to 256 MiB.
    pub const fn block_size(self) -> u64 {
        self.block_size.get()
    }

    /// Returns the logical sector size in bytes: 512 or 4096.
    pub const fn sector_size(self) -> u64 {
        self.sector_size.get()
    }

    /// Returns the size of the virtual disk in bytes.
    pub const fn virtual_size(self) -> u64 {
        self.virtual_size
    }

    /// Returns whether the disk has a parent.
    pub const fn has_parent(self) -> bool {
        self.has_parent
    }

    /// Returns the number of payload blocks in one chunk ([MS-VHDX] 2.4).
    pub const fn chunk_ratio(self) -> u64 {
        self.chunk_ratio.get()
    }

    /// Returns the number of payload blocks of the disk. The last one may be partial.
    pub const fn block_count(self) -> u64 {
        self.virtual_size.div_ceil(self.block_size.get())
    }

    /// Returns the number of chunks of the disk. The last one may be partial.
    pub const fn chunk_count(self) -> u64 {
        self.block_count().div_ceil(self.chunk_ratio.get())
    }

    /// Returns the number of BAT entries ([MS-VHDX] 2.5).
    ///
    /// The last entry is that of the last payload block, or of the last sector bitmap block if the disk has a parent.
    pub const fn bat_entry_count(self) -> u64 {
        self.bat_entry_count
    }

    /// Returns the last payload block of the disk.
    pub(crate) const fn last_block(self) -> BlockIndex {
        self.last_block
    }

    /// Returns the index of the BAT entry of a payload block, or the last index for a block that no disk has.
    pub fn payload_bat_index(self, block: BlockIndex) -> BatIndex {
        BatIndex::new(block.get().saturating_add(block.get() / self.chunk_ratio))
    }

    /// Returns the index of the BAT entry of the sector bitmap block of a chunk.
    ///
    /// Returns the last index for a chunk that no disk has.
    pub const fn bitmap_bat_index(self, chunk: ChunkIndex) -> BatIndex {
        let first = chunk.get().saturating_mul(self.chunk_entries.get());
        BatIndex::new(first.saturating_add(self.chunk_ratio.get()))
    }

    /// Returns the block that a BAT entry describes.
    ///
    /// Payload blocks from [`block_count`](Self::block_count) on are padding of the last chunk.
    pub fn entry_kind(self, index: BatIndex) -> BatEntryKind {
        let (chunk, within) = (index.get() / self.chunk_entries, index.get() % self.chunk_entries);
        if within == self.chunk_ratio.get() {
            BatEntryKind::SectorBitmap(ChunkIndex::new(chunk))
        } else {
            // There is one sector bitmap entry before it for each earlier chunk. Every BAT entry that is read or
            // iterated over comes by here, so this is no `minus`: a chunk has several entries, so there are never more
            // chunks than entries.
            debug_assert!(chunk <= index.get(), "a chunk has at least one entry");
            BatEntryKind::Payload(BlockIndex::new(index.get().abs_diff(chunk)))
        }
    }

    /// Returns the block that contains a byte of the disk.
    pub fn block_of(self, at: DiskOffset) -> BlockIndex {
        BlockIndex::new(at.get() / self.block_size)
    }

    /// Returns the offset of the first byte of a block, or the last offset for a block that no disk has.
    pub const fn block_start(self, block: BlockIndex) -> DiskOffset {
        DiskOffset::new(block.get().saturating_mul(self.block_size.get()))
    }

    /// Returns the offset after the last byte of a block, or the end of the disk if that comes first.
    pub fn block_end(self, block: BlockIndex) -> DiskOffset {
        let end = self.block_start(block).saturating_add(self.block_size.get());
        end.min(DiskOffset::new(self.virtual_size))
    }

    /// Returns the length of a block on the disk in bytes: less than a block for a partial last block, and 0 for a block
    /// past the end of the disk.
    pub fn block_len(self, block: BlockIndex) -> u64 {
        // A block past the end has no bytes on the disk, so 0 is its length and not a default.
        self.virtual_size.saturating_sub(self.block_start(block).get()).min(self.block_size.get())
    }

    /// Returns the chunk that a block belongs to.
    pub fn chunk_of(self, block: BlockIndex) -> ChunkIndex {
        ChunkIndex::new(block.get() / self.chunk_ratio)
    }

    /// Returns the offset of a byte of the disk from the start of its block, in bytes.
    pub fn offset_in_block(self, at: DiskOffset) -> u64 {
        at.get() % self.block_size
    }

    /// Returns the bit numbers of the sectors in `range` within their sector bitmap block.
    ///
    /// The range must lie within one block and consist of whole sectors.
    ///
    /// # Errors
    /// [`Error::Internal`](crate::Error::Internal) if the range ends before it starts.
    pub fn bitmap_bits(self, range: Range<DiskOffset>) -> Result<Range<u64>> {
        let first = (range.start.get() / self.sector_size) % SECTORS_PER_CHUNK;
        let count = range.end.minus(range.start)? / self.sector_size;
        Ok(first..first.plus(count)?)
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::unwrap_used)]
mod tests {
    use super::*;

    fn geometry(block_mib: u64, sector: u32, size: u64, has_parent: bool) -> Geometry {
        Geometry::new(block_mib * MIB, sector, size, has_parent).unwrap()
    }

    #[test]
    fn chunk_ratios_of_the_specification() {
        for (block_mib, sector, ratio) in [
            (1, 512, 4096),
            (2, 512, 2048),
            (32, 512, 128),
            (256, 512, 16),
            (1, 4096, 32768),
            (32, 4096, 1024),
        ] {
            assert_eq!(geometry(block_mib, sector, MIB, false).chunk_ratio(), ratio);
        }
    }

    #[test]
    fn bat_entry_counts() {
        // 8 GiB in 2 MiB blocks: 4096 blocks, 2 chunks of 2048.
        assert_eq!(geometry(2, 512, 8 << 30, true).bat_entry_count(), 2 * 2049);
        assert_eq!(geometry(2, 512, 8 << 30, false).bat_entry_count(), 4096 + 1);
        assert_eq!(geometry(32, 512, 4 * MIB, false).bat_entry_count(), 1);
        assert_eq!(geometry(32, 512, 4 * MIB, true).bat_entry_count(), 129);
        let largest = geometry(1, 512, MAX_VIRTUAL_SIZE, false);
        assert_eq!(largest.block_count(), 1 << 26);
        assert_eq!(largest.bat_entry_count(), (1 << 26) + (1 << 14) - 1);
    }

    #[test]
    fn entries_and_blocks_map_to_each_other() {
        let geometry = geometry(256, 512, 40 << 30, true);
        let mut payload = 0;
        for index in (0..geometry.bat_entry_count()).map(BatIndex::new) {
            match geometry.entry_kind(index) {
                BatEntryKind::Payload(block) => {
                    assert_eq!(block.get(), payload);
                    assert_eq!(geometry.payload_bat_index(block), index);
                    payload += 1;
                }
                BatEntryKind::SectorBitmap(chunk) => {
                    assert_eq!(payload, (chunk.get() + 1) * geometry.chunk_ratio());
                    assert_eq!(geometry.bitmap_bat_index(chunk), index);
                }
            }
        }
        assert_eq!(payload, geometry.chunk_count() * geometry.chunk_ratio());
    }

    #[test]
    fn the_last_block_may_be_partial() {
        let geometry = geometry(2, 512, 3 * MIB, false);
        assert_eq!(
            [0, 1, 2, u64::MAX].map(|block| geometry.block_len(BlockIndex::new(block))),
            [2 * MIB, MIB, 0, 0]
        );
    }

    #[test]
    fn bit_numbers_restart_in_each_chunk() {
        let geometry = geometry(1, 512, 16 << 30, true);
        let at = |offset| DiskOffset::new(offset);
        let bits = |range| geometry.bitmap_bits(range).unwrap();
        assert_eq!(bits(at(0)..at(512)), 0..1);
        assert_eq!(bits(at((4 << 30) + 1024)..at((4 << 30) + 4096)), 2..8);
        assert_eq!(bits(at((4 << 30) - MIB)..at(4 << 30)), (1 << 23) - 2048..1 << 23);
        assert!(geometry.bitmap_bits(at(512)..at(0)).is_err());
    }

    #[test]
    fn invalid_geometries_are_rejected() {
        assert!(Geometry::new(3 * MIB, 512, MIB, false).is_err());
        assert!(Geometry::new(512 * MIB, 512, MIB, false).is_err());
        assert!(Geometry::new(MIB, 1024, MIB, false).is_err());
        assert!(Geometry::new(MIB, 4096, MIB + 512, false).is_err());
        assert!(Geometry::new(MIB, 512, 0, false).is_err());
        assert!(Geometry::new(MIB, 512, MAX_VIRTUAL_SIZE + 512, false).is_err());
    }
}
