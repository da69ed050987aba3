//! Changes guest data: writes, zeros and unmaps ranges of sectors.

use std::ops::Range;

use super::VhdxMut;
use super::blocks::{PayloadBlock, SectorBits};
use crate::error::{Bounded, Guaranteed, InvalidArgument, Result, in_memory};
use crate::file::{DiskType, ensure_on_disk, range_on_disk};
use crate::format::bat_entry::PayloadBlockState;
use crate::units::{BlockIndex, DiskOffset, FileOffset};

impl VhdxMut {
    /// Writes whole sectors.
    ///
    /// If power fails before the next [`flush`](Self::flush), each unit of 512 bytes is old or new.
    ///
    /// # Errors
    /// [`InvalidArgument::PastEndOfDisk`], [`InvalidArgument::NotWholeSectors`], [`Error::Io`](crate::Error::Io), and
    /// [`Error::Corrupt`](crate::Error::Corrupt) for a damaged BAT entry.
    pub fn write_all_at(&mut self, buf: &[u8], offset: DiskOffset) -> Result<()> {
        let range = self.ensure_range(offset, buf.len() as u64)?;
        self.change(|this| {
            let mut rest = buf;
            this.for_each_block(range, |this, block, part| {
                let len = in_memory(part.end.minus(part.start)?)?;
                let (bytes, later) =
                    rest.split_at_checked(len).guaranteed("each byte of the range has a source")?;
                rest = later;
                this.write_in_block(block, &part, Some(bytes))
            })
        })
    }

    /// Makes a range of whole sectors read as zeros.
    ///
    /// Frees the blocks that lie inside it, unless the disk is fixed.
    ///
    /// # Errors
    /// As [`write_all_at`](Self::write_all_at), and [`InvalidArgument::RangeReversed`].
    pub fn write_zeros(&mut self, range: Range<DiskOffset>) -> Result<()> {
        self.ensure_on_disk(&range)?;
        let range = self.ensure_range(range.start, range.end.minus(range.start)?)?;
        self.change(|this| this.for_each_block(range, Self::zero_in_block))
    }

    /// Frees the blocks that lie inside a range of whole sectors, and makes them read as zeros.
    ///
    /// A fixed disk keeps their space. Blocks that the range covers only in part stay unchanged: an unmap is a hint, on
    /// which no guest can rely.
    ///
    /// # Errors
    /// As [`write_zeros`](Self::write_zeros).
    pub fn unmap(&mut self, range: Range<DiskOffset>) -> Result<()> {
        self.ensure_on_disk(&range)?;
        let range = self.ensure_range(range.start, range.end.minus(range.start)?)?;
        self.change(|this| {
            this.for_each_block(range, |this, block, part| match this.is_whole(block, &part) {
                true if this.vhdx.disk_type() == DiskType::Fixed => this.zero_in_block(block, part),
                true => this.clear(block, PayloadBlockState::Unmapped),
                false => Ok(()),
            })
        })
    }

    fn ensure_on_disk(&self, range: &Range<DiskOffset>) -> Result<()> {
        ensure_on_disk(range, self.vhdx.virtual_size()).map_err(|error| self.vhdx.in_file(error.into()))
    }

    fn ensure_range(&self, start: DiskOffset, len: u64) -> Result<Range<DiskOffset>> {
        let error = |argument: InvalidArgument| self.vhdx.in_file(argument.into());
        let range = range_on_disk(start, len, self.vhdx.virtual_size()).map_err(error)?;
        let sector_size = self.vhdx.geometry.sector_size();
        if !start.get().is_multiple_of(sector_size) || !len.is_multiple_of(sector_size) {
            return Err(error(InvalidArgument::NotWholeSectors { start, len, sector_size }));
        }
        Ok(range)
    }

    /// Begins a session, and calls `change` with the part of the range in each block.
    ///
    /// Everything that one call stages is committed in one transaction.
    fn for_each_block(
        &mut self,
        range: Range<DiskOffset>,
        mut change: impl FnMut(&mut Self, BlockIndex, Range<DiskOffset>) -> Result<()>,
    ) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            self.begin_content()?;
            self.make_room(self.pages_of_block()?)?;
            let block = self.vhdx.geometry.block_of(at);
            let end = self.vhdx.geometry.block_end(block).min(range.end);
            change(self, block, at..end)?;
            at = end;
        }
        Ok(())
    }

    fn is_whole(&self, block: BlockIndex, part: &Range<DiskOffset>) -> bool {
        let geometry = self.vhdx.geometry;
        part.start == geometry.block_start(block) && part.end == geometry.block_end(block)
    }

    fn zero_in_block(&mut self, block: BlockIndex, part: Range<DiskOffset>) -> Result<()> {
        // UNDEFINED and UNMAPPED read as zeros here, but another reader may return the old data.
        let is_zero = match self.payload_block(block)?.state {
            PayloadBlockState::Zero => true,
            PayloadBlockState::NotPresent => !self.vhdx.geometry.has_parent(),
            _ => false,
        };
        let is_fixed = self.vhdx.disk_type() == DiskType::Fixed;
        if is_zero {
            Ok(())
        } else if !is_fixed && self.is_whole(block, &part) {
            self.clear(block, PayloadBlockState::Zero)
        } else {
            self.write_in_block(block, &part, None)
        }
    }

    /// Gives a block a state without data, and frees its place with the next commit.
    fn clear(&mut self, block: BlockIndex, state: PayloadBlockState) -> Result<()> {
        let PayloadBlock { state: before, place } = self.payload_block(block)?;
        let had_place = match before {
            PayloadBlockState::NotPresent | PayloadBlockState::Zero => false,
            PayloadBlockState::Undefined | PayloadBlockState::Unmapped => place.get() != 0,
            PayloadBlockState::FullyPresent | PayloadBlockState::PartiallyPresent => true,
        };
        if had_place {
            self.free_with_commit(place, self.vhdx.block_size());
        }
        self.stage_payload(block, state, FileOffset::default())
    }

    /// Writes `bytes`, or zeros, to a part of a block.
    fn write_in_block(
        &mut self,
        block: BlockIndex,
        part: &Range<DiskOffset>,
        bytes: Option<&[u8]>,
    ) -> Result<()> {
        let PayloadBlock { state, place } = self.payload_block(block)?;
        match state {
            PayloadBlockState::FullyPresent => self.put_part(place, part, bytes),
            PayloadBlockState::PartiallyPresent => {
                self.put_part(place, part, bytes)?;
                let mut bits = self.sector_bits(block)?;
                if bits.are_set(self.sectors(part)?)? {
                    return Ok(());
                }
                bits.set(self.sectors(part)?)?;
                self.stage_present(block, place, &bits)
            }
            PayloadBlockState::NotPresent if self.vhdx.geometry.has_parent() => {
                let mut bits = self.clear_bits()?;
                bits.set(self.sectors(part)?)?;
                self.need_bitmap(block)?;
                let place = self.allocate_zeros(self.vhdx.block_size())?;
                self.put_part(place, part, bytes)?;
                self.stage_present(block, place, &bits)
            }
            PayloadBlockState::NotPresent | PayloadBlockState::Zero => {
                let place = self.allocate_zeros(self.vhdx.block_size())?;
                self.put_part(place, part, bytes)?;
                self.stage_payload(block, PayloadBlockState::FullyPresent, place)
            }
            PayloadBlockState::Undefined | PayloadBlockState::Unmapped => {
                if place.get() != 0 {
                    self.free_with_commit(place, self.vhdx.block_size());
                }
                let place = self.allocate_zeros(self.vhdx.block_size())?;
                self.put_part(place, part, bytes)?;
                self.stage_payload(block, PayloadBlockState::FullyPresent, place)
            }
        }
    }

    /// Stages the entry of a present block, and the block's bits unless all sectors are present.
    fn stage_present(&mut self, block: BlockIndex, place: FileOffset, bits: &SectorBits) -> Result<()> {
        let geometry = self.vhdx.geometry;
        let whole = self.sectors(&(geometry.block_start(block)..geometry.block_end(block)))?;
        if bits.are_set(whole)? {
            return self.stage_payload(block, PayloadBlockState::FullyPresent, place);
        }
        // All bits of the block are written, because its old bits mean nothing.
        self.stage_bits(block, bits)?;
        self.stage_payload(block, PayloadBlockState::PartiallyPresent, place)
    }

    fn put_part(&self, place: FileOffset, part: &Range<DiskOffset>, bytes: Option<&[u8]>) -> Result<()> {
        let at = place.plus(self.vhdx.geometry.offset_in_block(part.start))?;
        match bytes {
            Some(bytes) => self.put(bytes, at),
            None => self.put_zeros(at, part.end.minus(part.start)?),
        }
    }
}
