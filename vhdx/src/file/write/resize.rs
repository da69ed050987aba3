//! Changes the size of a disk: plans and executes growth, clears blocks past a smaller size.
//!
//! Nothing past the old end can be trusted: BAT entries that did not count may hold anything, and so may the tail of
//! the last block. Both are corrected before the size changes, and one transaction makes them count.

use super::blocks::SectorBits;
use super::{Place, Space, VhdxMut};
use crate::error::{Bounded, Conflict, InvalidArgument, Result, Times, in_memory};
use crate::file::validate_bat::occupied;
use crate::file::{DiskType, Vhdx};
use crate::format::bat_entry::{BatEntry, PayloadBlockState, SectorBitmapBlockState};
use crate::format::metadata_item::VIRTUAL_DISK_SIZE;
use crate::format::region_table::BAT_REGION;
use crate::geometry::{BatEntryKind, Geometry};
use crate::units::{BatIndex, BlockIndex, ChunkIndex, DiskOffset, FileOffset, MIB};

/// The number of BAT entries that are written at once.
const WINDOW: u64 = 8192;
const ENTRY: u64 = 8;
/// The number of BAT entries in a page, which a log entry writes as a whole.
const PER_PAGE: u64 = 4096 / ENTRY;

/// The plan of a disk's growth: the places that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResizePlan {
    old: Geometry,
    new: Geometry,
    /// The new place and length in bytes of a BAT that is too small where it is.
    bat: Option<(Place, u64)>,
    tail: Option<Tail>,
    /// The place of a fixed disk's new blocks, one after the other.
    blocks: Option<Place>,
}

/// The change of the tail: the part of the old last block that lies past the old end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// The block is fully present: its tail becomes zeros in place.
    Present(FileOffset),
    /// The block is partially present: its tail becomes zeros in place, and its sectors present.
    Partial(FileOffset),
    /// The parent answers for the block: it becomes partially present with only the tail. Its chunk may need a sector
    /// bitmap block.
    New { block: Place, bitmap: Option<Place> },
}

impl ResizePlan {
    /// Plans the growth of a file's disk to `virtual_size` bytes, in places from `space`.
    ///
    /// # Errors
    /// [`InvalidArgument::VirtualSize`] for a size that no disk can have,
    /// [`InvalidArgument::VirtualSizeTooSmall`] for a size smaller than the present one, [`Error::Corrupt`] for a
    /// damaged BAT entry, and [`Error::Io`].
    ///
    /// [`Error::Corrupt`]: crate::Error::Corrupt
    /// [`Error::Io`]: crate::Error::Io
    pub(crate) fn new(vhdx: &Vhdx, space: &mut Space, virtual_size: u64) -> Result<Self> {
        let old = vhdx.geometry;
        let sector_size = vhdx.logical_sector_size();
        let new = Geometry::new(old.block_size(), sector_size, virtual_size, old.has_parent())?;
        if virtual_size < old.virtual_size() {
            return Err(InvalidArgument::VirtualSizeTooSmall(virtual_size).into());
        }
        let needed = new.bat_entry_count().times(ENTRY)?.next_multiple_of(MIB);
        let mut bat = None;
        if needed > vhdx.regions.bat.length {
            bat = Some((space.allocate(needed)?, needed));
        }
        let tail = plan_tail(vhdx, space)?;
        let mut plan = Self { old, new, bat, tail, blocks: None };
        if vhdx.disk_type() == DiskType::Fixed && plan.new_bytes() > 0 {
            // In one piece, so that the plan's size does not depend on the number of blocks.
            plan.blocks = Some(space.allocate(plan.new_bytes())?);
        }
        Ok(plan)
    }

    /// Returns the state and place of a block after the growth, if they differ from those before.
    ///
    /// # Errors
    /// [`Error::Internal`](crate::Error::Internal) for a block far past the end of the disk.
    pub(crate) fn place_of(&self, block: BlockIndex) -> Result<Option<(PayloadBlockState, FileOffset)>> {
        if let Some(number) = block.get().checked_sub(self.old.block_count()) {
            return Ok(Some(match self.blocks {
                Some(first) => {
                    let place = first.offset.plus(number.times(self.old.block_size())?)?;
                    (PayloadBlockState::FullyPresent, place)
                }
                None if self.old.has_parent() => (PayloadBlockState::Zero, FileOffset::default()),
                None => (PayloadBlockState::NotPresent, FileOffset::default()),
            }));
        }
        Ok(match self.tail {
            Some(Tail::New { block: place, .. }) if block == self.old.last_block() => {
                Some((PayloadBlockState::PartiallyPresent, place.offset))
            }
            _ => None,
        })
    }

    /// Returns the place of a chunk's new sector bitmap block, if it gets one.
    pub(crate) fn bitmap_of(&self, chunk: ChunkIndex) -> Option<FileOffset> {
        match self.tail {
            Some(Tail::New { bitmap: Some(bitmap), .. })
                if chunk == self.old.chunk_of(self.old.last_block()) =>
            {
                Some(bitmap.offset)
            }
            _ => None,
        }
    }

    /// Returns every place that the plan takes, with its length in bytes.
    pub(crate) fn places(&self) -> impl Iterator<Item = (Place, u64)> + '_ {
        let block_size = self.old.block_size();
        let tail = match self.tail {
            Some(Tail::New { block, bitmap }) => {
                [Some((block, block_size)), bitmap.map(|place| (place, MIB))]
            }
            _ => [None, None],
        };
        let blocks = self.blocks.map(|first| (first, self.new_bytes()));
        self.bat.into_iter().chain(tail.into_iter().flatten()).chain(blocks)
    }

    /// Returns the length in bytes of all new blocks.
    fn new_bytes(&self) -> u64 {
        (self.new.block_count() - self.old.block_count()) * self.old.block_size()
    }

    /// Returns a BAT entry of the larger disk; `before` is its old value.
    ///
    /// Entries that counted before stay unchanged, except those that the tail needs.
    fn entry(&self, index: BatIndex, before: BatEntry) -> Result<BatEntry> {
        Ok(match self.new.entry_kind(index) {
            BatEntryKind::Payload(block) if block.get() >= self.new.block_count() => BatEntry::default(),
            BatEntryKind::Payload(block) => match self.place_of(block)? {
                Some((state, place)) => BatEntry::payload(state, place),
                None => before,
            },
            BatEntryKind::SectorBitmap(chunk) => match self.bitmap_of(chunk) {
                Some(place) => BatEntry::new(SectorBitmapBlockState::Present.bits(), place),
                None if chunk.get() < self.old.chunk_count() => before,
                None => BatEntry::default(),
            },
        })
    }
}

fn plan_tail(vhdx: &Vhdx, space: &mut Space) -> Result<Option<Tail>> {
    let geometry = vhdx.geometry;
    let block = geometry.last_block();
    if geometry.offset_in_block(DiskOffset::new(geometry.virtual_size())) == 0 {
        return Ok(None);
    }
    let entry = vhdx.payload_entry(block)?;
    let place = entry.file_offset();
    Ok(match vhdx.use_payload(block, entry)? {
        PayloadBlockState::FullyPresent => Some(Tail::Present(place)),
        PayloadBlockState::PartiallyPresent => Some(Tail::Partial(place)),
        PayloadBlockState::NotPresent if geometry.has_parent() => {
            let bitmap = vhdx.bat_entry(geometry.bitmap_bat_index(geometry.chunk_of(block)))?;
            let has_bitmap = bitmap.bitmap_state() == Some(SectorBitmapBlockState::Present);
            let block = space.allocate(geometry.block_size())?;
            let bitmap = if has_bitmap { None } else { Some(space.allocate(MIB)?) };
            Some(Tail::New { block, bitmap })
        }
        _ => None,
    })
}

impl VhdxMut {
    /// Grows the disk as planned.
    ///
    /// When this returns, the change is durable, and the new part reads as zeros.
    ///
    /// # Errors
    /// [`Conflict::StalePlan`] if a planned place is taken, and then nothing is changed; [`Error::Io`](crate::Error::Io).
    pub(crate) fn grow(&mut self, plan: &ResizePlan) -> Result<()> {
        if !plan.places().all(|(place, len)| self.space.is_free(place.offset, len)) {
            return Err(Conflict::StalePlan.into());
        }
        self.change(|this| {
            this.begin_content()?;
            this.commit()?;
            for (place, len) in plan.places() {
                this.take(place, len)?;
            }
            this.zero_tail(plan)?;
            this.write_bat(plan)?;
            this.stage_tail(plan)?;
            this.stage_size(plan.new.virtual_size())?;
            if let Some((place, len)) = plan.bat {
                this.stage_region(BAT_REGION, place.offset, len)?;
            }
            this.commit()?;
            this.sync_and_reload()
        })
    }

    /// Takes a planned place of `len` bytes, and makes it read as zeros.
    pub(crate) fn take(&mut self, place: Place, len: u64) -> Result<()> {
        self.space.take(place.offset, len);
        self.extend_to(place.offset.plus(len)?.get())?;
        let is_fixed = self.vhdx.disk_type() == DiskType::Fixed;
        if is_fixed || !place.is_fresh { self.put_zeros(place.offset, len) } else { Ok(()) }
    }

    /// Writes zeros to the tail of the old last block.
    ///
    /// Extends the file if it ended inside that tail.
    fn zero_tail(&mut self, plan: &ResizePlan) -> Result<()> {
        let (Some(Tail::Present(place)) | Some(Tail::Partial(place))) = plan.tail else { return Ok(()) };
        self.extend_to(place.plus(plan.old.block_size())?.get())?;
        let within = plan.old.offset_in_block(DiskOffset::new(plan.old.virtual_size()));
        self.put_zeros(place.plus(within)?, plan.old.block_size() - within)
    }

    /// Writes every BAT entry that does not count before the growth, or a whole new table.
    ///
    /// Pages that contain entries that count already are staged, so that no power failure can damage these entries.
    fn write_bat(&self, plan: &ResizePlan) -> Result<()> {
        let old_count = self.vhdx.geometry.bat_entry_count();
        let (place, first) = match plan.bat {
            Some((place, _)) => (place.offset, 0),
            None => (
                self.vhdx.regions.bat.offset,
                // In a file without a parent, the sector bitmap entry after a full last chunk does not count.
                old_count.min(plan.old.payload_bat_index(BlockIndex::new(plan.old.block_count())).get()),
            ),
        };
        let end = plan.new.bat_entry_count();
        let (mut first, mut before) = (first, Vec::new());
        while first < end {
            // A window ends where a page ends, so that no page is split between two windows.
            let count = (WINDOW - first % WINDOW).min(end - first);
            before.clear();
            if let Some(known) = old_count.checked_sub(first).filter(|&known| known > 0) {
                self.vhdx.read_bat(BatIndex::new(first), known.min(count), &mut before)?;
            }
            before.resize(in_memory(count)?, BatEntry::default());
            let mut entries = Vec::new();
            for (index, &entry) in (first..).zip(&before) {
                let index = BatIndex::new(index);
                // In the table in force, entries that count already change only with the transaction.
                let counts = plan.bat.is_none() && self.counts(plan, index);
                let entry = if counts { entry } else { plan.entry(index, entry)? };
                entries.extend(entry.to_le_bytes());
            }
            self.put_entries(plan, first, &entries, place)?;
            first += count;
        }
        Ok(())
    }

    fn put_entries(&self, plan: &ResizePlan, first: u64, entries: &[u8], table: FileOffset) -> Result<()> {
        let end = first + entries.len() as u64 / ENTRY;
        let page_end = |index: u64| ((index / PER_PAGE + 1) * PER_PAGE).min(end);
        let is_shared = |index: u64| {
            let counts = |index| self.counts(plan, BatIndex::new(index));
            plan.bat.is_none() && (!index.is_multiple_of(PER_PAGE) || (index..page_end(index)).any(counts))
        };
        let mut from = first;
        while from < end {
            let (stages, mut to) = (is_shared(from), page_end(from));
            while !stages && to < end && !is_shared(to) {
                to = page_end(to);
            }
            let bytes = |index: u64| in_memory((index - first) * ENTRY);
            let (bytes, at) = (&entries[bytes(from)?..bytes(to)?], table.plus(from * ENTRY)?);
            if stages {
                self.staged.stage(bytes, at)?
            } else {
                self.put(bytes, at)?
            }
            from = to;
        }
        Ok(())
    }

    fn counts(&self, plan: &ResizePlan, index: BatIndex) -> bool {
        match plan.old.entry_kind(index) {
            BatEntryKind::Payload(block) => block.get() < plan.old.block_count(),
            BatEntryKind::SectorBitmap(chunk) => chunk.get() < plan.old.chunk_count(),
        }
    }

    fn stage_tail(&mut self, plan: &ResizePlan) -> Result<()> {
        let block = plan.old.last_block();
        let end = DiskOffset::new(plan.old.virtual_size());
        let first = plan.old.offset_in_block(end) / plan.old.sector_size();
        let sectors = first..plan.old.block_size() / plan.old.sector_size();
        match plan.tail {
            None | Some(Tail::Present(_)) => Ok(()),
            Some(Tail::Partial(_)) => {
                let mut bits = self.sector_bits(block)?;
                bits.set(sectors)?;
                self.stage_bits(block, &bits)
            }
            Some(Tail::New { block: place, bitmap }) => {
                let mut bits = self.clear_bits()?;
                bits.set(sectors)?;
                match bitmap {
                    Some(bitmap) => self.put_new_bits(plan.old, block, &bits, bitmap.offset)?,
                    None => self.stage_bits(block, &bits)?,
                }
                if plan.bat.is_some() {
                    return Ok(()); // the new table contains both entries
                }
                if let Some(bitmap) = bitmap {
                    self.stage_bitmap(plan.old.chunk_of(block), bitmap.offset)?;
                }
                self.stage_payload(block, PayloadBlockState::PartiallyPresent, place.offset)
            }
        }
    }

    /// Writes the bits of a block into a sector bitmap block to which nothing points yet.
    fn put_new_bits(
        &self,
        geometry: Geometry,
        block: BlockIndex,
        bits: &SectorBits,
        bitmap: FileOffset,
    ) -> Result<()> {
        let start = geometry.block_start(block);
        self.put(bits.as_bytes(), bitmap.plus(geometry.bitmap_bits(start..start)?.start / 8)?)
    }

    /// Clears the BAT entries past `virtual_size`, to which the disk is about to shrink.
    ///
    /// Until the size changes, these blocks read as if they had never been written. They must be cleared before the
    /// change, because afterwards their entries do not count and cannot be cleared.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub(crate) fn clear_past(&mut self, virtual_size: u64) -> Result<()> {
        self.change(|this| {
            this.begin_content()?;
            let geometry = this.vhdx.geometry;
            let first = BlockIndex::new(virtual_size.div_ceil(geometry.block_size()));
            let is_past = |index| match geometry.entry_kind(index) {
                BatEntryKind::Payload(block) => block >= first,
                BatEntryKind::SectorBitmap(_) => false,
            };
            this.clear_entries(geometry.payload_bat_index(first), is_past)?;
            // A sector bitmap block is freed only after every block that needs it.
            this.commit()?;
            let chunks = first.get().div_ceil(geometry.chunk_ratio());
            let is_past = |index| match geometry.entry_kind(index) {
                BatEntryKind::Payload(_) => false,
                BatEntryKind::SectorBitmap(chunk) => chunk.get() >= chunks,
            };
            this.clear_entries(geometry.payload_bat_index(first), is_past)?;
            this.commit()
        })
    }

    fn clear_entries(&mut self, mut first: BatIndex, is_meant: impl Fn(BatIndex) -> bool) -> Result<()> {
        let (count, mut entries) = (self.vhdx.geometry.bat_entry_count(), Vec::new());
        while first.get() < count {
            self.vhdx.read_bat(first, WINDOW.min(count - first.get()), &mut entries)?;
            for entry in &entries {
                if entry.raw() != 0 && is_meant(first) {
                    self.make_room(1)?;
                    if let Some(place) = occupied(&self.vhdx, first, *entry) {
                        let len = place.end.minus(place.start)?.times(MIB)?;
                        self.free_with_commit(FileOffset::new(place.start.times(MIB)?), len);
                    }
                    self.stage_entry(first, BatEntry::default())?;
                }
                first = first.plus(1)?;
            }
        }
        Ok(())
    }

    fn stage_size(&mut self, virtual_size: u64) -> Result<()> {
        let region = self.vhdx.regions.metadata.offset;
        for entry in self.vhdx.metadata.entries.iter().filter(|entry| entry.is_system(VIRTUAL_DISK_SIZE)) {
            self.staged.stage(&virtual_size.to_le_bytes(), region.plus(entry.offset.into())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
