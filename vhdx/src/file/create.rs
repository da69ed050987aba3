//! Writes a new VHDX from its first block to its last, in memory independent of its size.
//!
//! ```text
//! 0          1 MiB   2 MiB       3 MiB, or after the metadata
//! | headers  | log   | metadata  | BAT ... | block | block | ...      blocks in the order of the disk
//! ```
//! No pointer counts before the bytes that it points to are durable: the headers are written last, after a sync, and
//! without them the file is no VHDX. Unwritten space stays a hole, except in a fixed disk, whose space is allocated.

use super::DiskType;
use super::create_layout::NewLayout;
use super::create_parts::{BatWriter, complete};
use super::new_disk::NewDisk;
use super::on_disk::range_on_disk;
use crate::error::{Bounded, Error, InvalidArgument, Result, in_memory};
use crate::format::bat_entry::{BatEntry, PayloadBlockState};
use crate::geometry::Geometry;
use crate::storage::{Storage, ensure_empty, put};
use crate::units::{BlockIndex, DiskOffset, FileOffset};

impl NewDisk {
    /// Returns the length in bytes of a file with `blocks` payload blocks.
    ///
    /// A fixed disk always has all its blocks.
    ///
    /// # Errors
    /// As [`VhdxWriter::new`].
    pub fn file_size(&self, blocks: u64) -> Result<u64> {
        let geometry = self.geometry()?;
        let layout = NewLayout::new(self, &geometry)?;
        let blocks = if self.disk_type == DiskType::Fixed { geometry.block_count() } else { blocks };
        // The caller may ask for more blocks than any disk has.
        Ok(layout.payload.saturating_add(blocks.saturating_mul(geometry.block_size())).get())
    }
}

/// The result of a [`VhdxWriter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct WriteReport {
    /// The number of payload blocks that are present.
    pub blocks: u64,
    /// The length of the file in bytes.
    pub file_size: u64,
}

/// A writer for the content of a new VHDX, in the order of the disk.
///
/// Ranges that are not written read as zeros. A new differencing disk has no content and reads as its parent.
///
/// Before [`finish`](Self::finish) has returned, the storage holds no valid VHDX.
pub struct VhdxWriter<'a> {
    storage: &'a dyn Storage,
    disk: &'a NewDisk,
    geometry: Geometry,
    layout: NewLayout,
    bat: BatWriter,
    blocks: u64,
    next_block: BlockIndex,
    next_place: FileOffset,
    current: Option<(BlockIndex, FileOffset)>,
}

impl<'a> VhdxWriter<'a> {
    /// Prepares a new VHDX in an empty storage. Nothing is written yet.
    ///
    /// # Errors
    /// [`Conflict::DestinationExists`](crate::Conflict::DestinationExists) if the storage is not empty, an
    /// [`InvalidArgument`] if `disk` is not valid, and [`Error::Io`].
    pub fn new(storage: &'a dyn Storage, disk: &'a NewDisk) -> Result<Self> {
        let geometry = disk.geometry()?;
        let layout = NewLayout::new(disk, &geometry)?;
        ensure_empty(storage)?;
        Ok(Self {
            storage,
            disk,
            geometry,
            bat: BatWriter::new(layout.bat.offset),
            blocks: 0,
            next_block: BlockIndex::new(0),
            next_place: layout.payload,
            layout,
            current: None,
        })
    }

    /// Writes `bytes` at `start` of the disk, not before the block that was written last.
    ///
    /// # Errors
    /// [`InvalidArgument::PastEndOfDisk`], [`InvalidArgument::OutOfOrder`], [`Error::Io`];
    /// [`InvalidArgument::ContentOfChild`] for a differencing disk.
    pub fn write(&mut self, start: DiskOffset, bytes: &[u8]) -> Result<()> {
        if self.geometry.has_parent() {
            return Err(InvalidArgument::ContentOfChild.into());
        }
        range_on_disk(start, bytes.len() as u64, self.geometry.virtual_size())?;
        let (mut at, mut rest) = (start, bytes);
        while !rest.is_empty() {
            let place = self.place_of(self.geometry.block_of(at))?;
            let within = self.geometry.offset_in_block(at);
            let room = in_memory(self.geometry.block_size() - within)?;
            let (now, later) = rest.split_at(room.min(rest.len()));
            put(self.storage, now, place.plus(within)?)?;
            at = at.plus(now.len() as u64)?;
            rest = later;
        }
        Ok(())
    }

    fn place_of(&mut self, block: BlockIndex) -> Result<FileOffset> {
        match self.current {
            Some((current, place)) if current == block => Ok(place),
            _ if block < self.next_block => {
                Err(InvalidArgument::OutOfOrder(self.geometry.block_start(block)).into())
            }
            _ => {
                if self.disk.disk_type == DiskType::Fixed {
                    self.allocate_up_to(block)?;
                }
                self.allocate(block)
            }
        }
    }

    fn allocate_up_to(&mut self, end: BlockIndex) -> Result<()> {
        while self.next_block < end {
            self.allocate(self.next_block)?;
        }
        Ok(())
    }

    /// Reserves the space of a fixed disk's next block, and returns its size in bytes.
    ///
    /// Returns 0 if there is no such block.
    pub(crate) fn reserve_next(&mut self) -> Result<u64> {
        let end = BlockIndex::new(self.geometry.block_count());
        if self.disk.disk_type != DiskType::Fixed || self.next_block >= end {
            return Ok(0);
        }
        self.allocate(self.next_block)?;
        Ok(self.geometry.block_size())
    }

    /// Gives a block the next place in the file, where all bytes read as zeros already.
    fn allocate(&mut self, block: BlockIndex) -> Result<FileOffset> {
        let place = self.next_place;
        let next_place = place.plus(self.geometry.block_size())?;
        // First: if it fails, the caller can free space and write the block again.
        if self.disk.disk_type == DiskType::Fixed {
            let reserved = self.storage.zero_range(place, self.geometry.block_size());
            reserved.map_err(|e| Error::io("reserve space", place, e))?;
        }
        let entry = BatEntry::new(PayloadBlockState::FullyPresent.bits(), place);
        self.bat.put(self.storage, self.geometry.payload_bat_index(block).get(), entry)?;
        self.next_place = next_place;
        self.next_block = block.plus(1)?;
        self.blocks += 1;
        self.current = Some((block, place));
        Ok(place)
    }

    /// Completes the file. When this returns, the file is durable.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self) -> Result<WriteReport> {
        if self.disk.disk_type == DiskType::Fixed {
            self.allocate_up_to(BlockIndex::new(self.geometry.block_count()))?;
        }
        let file_size = self.next_place.get();
        complete(self.storage, self.disk, &self.layout, self.bat, self.next_place)?;
        Ok(WriteReport { blocks: self.blocks, file_size })
    }
}

#[cfg(test)]
mod tests;
