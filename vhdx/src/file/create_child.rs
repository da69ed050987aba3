//! Writes a new differencing file with content, from its first block to its last, in memory independent of its size.
//!
//! The places are those of [`VhdxWriter`](super::VhdxWriter), with a sector bitmap block for each chunk that has a
//! partially present block. As there, the headers are written last.

use super::create::WriteReport;
use super::create_layout::NewLayout;
use super::create_parts::{BatWriter, complete};
use super::new_disk::NewDisk;
use super::on_disk::range_on_disk;
use crate::error::{Bounded, Error, Guaranteed, InvalidArgument, Result, in_memory};
use crate::format::bat_entry::{BatEntry, PayloadBlockState, SectorBitmapBlockState};
use crate::geometry::Geometry;
use crate::storage::{Storage, ensure_empty, put};
use crate::units::{BlockIndex, ChunkIndex, DiskOffset, FileOffset, MIB};

/// The sectors of a block that a new differencing file holds. All others are those of the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Present<'a> {
    /// All of them.
    All,
    /// Those whose bit is set: one bit for each sector of the block, as [MS-VHDX] 2.5.1.2 stores them.
    Some(&'a [u8]),
}

/// A writer for the content of a new differencing file.
///
/// Each block is written and then closed, in the order of the disk. A block that is never closed is that of the parent.
/// Before [`finish`](Self::finish) has returned, the storage holds no valid VHDX.
pub(crate) struct ChildWriter<'a> {
    storage: &'a dyn Storage,
    disk: &'a NewDisk,
    geometry: Geometry,
    layout: NewLayout,
    bat: BatWriter,
    blocks: u64,
    /// The first block that is not closed.
    next_block: BlockIndex,
    next_place: FileOffset,
    /// The block that was begun, and its place.
    current: Option<(BlockIndex, FileOffset)>,
    bitmap: Option<(ChunkIndex, FileOffset)>,
}

impl<'a> ChildWriter<'a> {
    /// Prepares a new differencing file in an empty storage. Nothing is written yet.
    ///
    /// # Errors
    /// [`Conflict::DestinationExists`](crate::Conflict::DestinationExists) if the storage is not empty, an
    /// [`InvalidArgument`] if `disk` is not a valid differencing disk, and [`Error::Io`].
    pub(crate) fn new(storage: &'a dyn Storage, disk: &'a NewDisk) -> Result<Self> {
        let geometry = disk.geometry()?;
        if !geometry.has_parent() {
            return Err(InvalidArgument::ParentNeeded.into());
        }
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
            bitmap: None,
        })
    }

    /// Writes `bytes` at `start` of the disk, inside one block that is not closed.
    ///
    /// Bytes of a present sector that are not written are zeros.
    ///
    /// # Errors
    /// [`InvalidArgument::PastEndOfDisk`], [`InvalidArgument::OutOfOrder`], [`Error::Io`], and [`Error::Internal`] if
    /// the bytes lie in several blocks.
    pub(crate) fn write(&mut self, start: DiskOffset, bytes: &[u8]) -> Result<()> {
        let range = range_on_disk(start, bytes.len() as u64, self.geometry.virtual_size())?;
        let block = self.geometry.block_of(range.start);
        let is_inside = range.end <= self.geometry.block_end(block);
        is_inside.then_some(()).guaranteed("bytes are written inside one block")?;
        let place = self.place_of(block)?;
        put(self.storage, bytes, place.plus(self.geometry.offset_in_block(start))?)
    }

    /// Returns whether bytes of this block were written.
    pub(crate) fn has_bytes(&self, block: BlockIndex) -> bool {
        self.current.is_some_and(|(current, _)| current == block)
    }

    /// Closes a block. All earlier blocks that are not closed are those of the parent.
    ///
    /// A block whose sectors are all present and were not written gets no space: it is a ZERO block.
    ///
    /// # Errors
    /// [`InvalidArgument::OutOfOrder`], [`Error::Io`], and [`Error::Internal`] if bytes of another block were written,
    /// or the bits are not those of a block.
    pub(crate) fn close(&mut self, block: BlockIndex, present: Present<'_>) -> Result<()> {
        let is_begun = self.current.is_none_or(|(current, _)| current == block);
        is_begun.then_some(()).guaranteed("a block that was written is closed before the next one")?;
        if block < self.next_block {
            return Err(InvalidArgument::OutOfOrder(self.geometry.block_start(block)).into());
        }
        let chunk = self.geometry.chunk_of(block);
        if self.bitmap.is_some_and(|(known, _)| known != chunk) {
            self.close_chunk()?;
        }
        let entry = match present {
            Present::All if self.has_bytes(block) => {
                BatEntry::payload(PayloadBlockState::FullyPresent, self.place_of(block)?)
            }
            Present::All => BatEntry::payload(PayloadBlockState::Zero, FileOffset::new(0)),
            Present::Some(bits) => {
                let place = self.place_of(block)?;
                self.put_bits(block, bits)?;
                BatEntry::payload(PayloadBlockState::PartiallyPresent, place)
            }
        };
        self.bat.put(self.storage, self.geometry.payload_bat_index(block).get(), entry)?;
        self.next_block = block.plus(1)?;
        self.current = None;
        Ok(())
    }

    /// Returns the place of a block. Gives it the next place in the file, where all bytes read as zeros already.
    fn place_of(&mut self, block: BlockIndex) -> Result<FileOffset> {
        match self.current {
            Some((current, place)) if current == block => Ok(place),
            Some(_) => Err(Error::internal("a block that was written is closed before the next one")),
            None if block < self.next_block => {
                Err(InvalidArgument::OutOfOrder(self.geometry.block_start(block)).into())
            }
            None => {
                let place = self.allocate(self.geometry.block_size())?;
                self.blocks += 1;
                self.current = Some((block, place));
                Ok(place)
            }
        }
    }

    fn allocate(&mut self, len: u64) -> Result<FileOffset> {
        let next = self.next_place.plus(len)?;
        Ok(std::mem::replace(&mut self.next_place, next))
    }

    /// Writes the bits of a block into the sector bitmap block of its chunk.
    fn put_bits(&mut self, block: BlockIndex, bits: &[u8]) -> Result<()> {
        let geometry = self.geometry;
        let sectors = geometry.block_size() / geometry.sector_size();
        let is_whole = bits.len() == in_memory(sectors / 8)?;
        is_whole.then_some(()).guaranteed("there is one bit for each sector of a block")?;
        let chunk = geometry.chunk_of(block);
        let bitmap = match self.bitmap {
            // That of an earlier chunk is closed.
            Some((_, place)) => place,
            None => {
                let place = self.allocate(MIB)?;
                self.bitmap = Some((chunk, place));
                place
            }
        };
        let start = geometry.block_start(block);
        put(self.storage, bits, bitmap.plus(geometry.bitmap_bits(start..start)?.start / 8)?)
    }

    /// Writes the BAT entry of the last sector bitmap block, which comes after those of the blocks of its chunk.
    fn close_chunk(&mut self) -> Result<()> {
        if let Some((chunk, place)) = self.bitmap.take() {
            let entry = BatEntry::new(SectorBitmapBlockState::Present.bits(), place);
            self.bat.put(self.storage, self.geometry.bitmap_bat_index(chunk).get(), entry)?;
        }
        Ok(())
    }

    /// Completes the file. When this returns, the file is durable.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Internal`] if a block was written and not closed.
    pub(crate) fn finish(mut self) -> Result<WriteReport> {
        self.current.is_none().then_some(()).guaranteed("a block that was written is closed")?;
        self.close_chunk()?;
        complete(self.storage, self.disk, &self.layout, self.bat, self.next_place)?;
        Ok(WriteReport { blocks: self.blocks, file_size: self.next_place.get() })
    }
}

impl NewDisk {
    /// Returns the length in bytes of a differencing file with `blocks` payload blocks and `bitmaps` sector bitmap
    /// blocks.
    ///
    /// # Errors
    /// As [`ChildWriter::new`].
    pub(crate) fn child_file_size(&self, blocks: u64, bitmaps: u64) -> Result<u64> {
        self.file_size(blocks)?.plus(bitmaps.checked_mul(MIB).guaranteed("a chunk has one bitmap")?)
    }
}
