//! A larger disk: what must be true before its size may change, planned as plain data and then done at once.
//!
//! Nothing past the old end can be trusted: BAT entries that were never counted may hold anything, and so may the tail of
//! the last block. Both are put right first, in space that nothing points to, and one transaction makes them count.

use super::blocks::SectorBits;
use super::{Place, Space, VhdxMut};
use crate::error::{InvalidArgument, Result};
use crate::file::validate_bat::occupied;
use crate::file::{DiskType, Vhdx};
use crate::format::bat_entry::{BatEntry, PayloadBlockState, SectorBitmapBlockState};
use crate::format::metadata_item::VIRTUAL_DISK_SIZE;
use crate::format::region_table::BAT_REGION;
use crate::geometry::{BatEntryKind, Geometry};
use crate::units::{BatIndex, BlockIndex, ChunkIndex, DiskOffset, FileOffset, MIB};

/// How many BAT entries are written at once.
const WINDOW: u64 = 8192;
const ENTRY: u64 = 8;
/// How many entries share a page, which a log entry writes as a whole.
const PER_PAGE: u64 = 4096 / ENTRY;

/// What growing a disk takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResizePlan {
    old: Geometry,
    new: Geometry,
    /// Where the block allocation table goes, and its new length, if it has no room where it is.
    bat: Option<(Place, u64)>,
    tail: Option<Tail>,
    /// The new blocks of a fixed disk, in order: the first is the one past the old last block.
    blocks: Vec<Place>,
}

/// What becomes of the part of the old last block that lies past the old end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// It is made zero where it is.
    Present(FileOffset),
    /// It is made zero where it is, and present.
    Partial(FileOffset),
    /// The block, which the parent answers for, becomes partially present with the tail alone. Its chunk may need a
    /// sector bitmap block.
    New { block: Place, bitmap: Option<Place> },
}

impl ResizePlan {
    /// Plans the growth of a file's disk to `virtual_size` bytes, in places from `space`.
    ///
    /// # Errors
    /// [`InvalidArgument::VirtualSize`] for a size that no disk can have,
    /// [`InvalidArgument::VirtualSizeTooSmall`] for one that is below the present one, and as [`Vhdx::extents`].
    pub(crate) fn new(vhdx: &Vhdx, space: &mut Space, virtual_size: u64) -> Result<Self> {
        let old = vhdx.geometry;
        let sector_size = vhdx.logical_sector_size();
        let new = Geometry::new(old.block_size(), sector_size, virtual_size, old.has_parent())?;
        if virtual_size < old.virtual_size() {
            return Err(InvalidArgument::VirtualSizeTooSmall(virtual_size).into());
        }
        let needed = new.bat_entry_count().saturating_mul(ENTRY).next_multiple_of(MIB);
        let mut bat = None;
        if needed > vhdx.regions.bat.length {
            bat = Some((space.allocate(needed)?, needed));
        }
        let tail = plan_tail(vhdx, space)?;
        let mut blocks = Vec::new();
        if vhdx.disk_type() == DiskType::Fixed {
            for _ in old.block_count()..new.block_count() {
                blocks.push(space.allocate(old.block_size())?);
            }
        }
        Ok(Self { old, new, bat, tail, blocks })
    }

    /// The state and place that a block has once the disk has grown, if they are others than before.
    pub(crate) fn place_of(&self, block: BlockIndex) -> Option<(PayloadBlockState, FileOffset)> {
        if let Some(number) = block.get().checked_sub(self.old.block_count()) {
            let place = usize::try_from(number).ok().and_then(|number| self.blocks.get(number));
            return Some(match place {
                Some(place) => (PayloadBlockState::FullyPresent, place.offset),
                None if self.old.has_parent() => (PayloadBlockState::Zero, FileOffset::default()),
                None => (PayloadBlockState::NotPresent, FileOffset::default()),
            });
        }
        match self.tail {
            Some(Tail::New { block: place, .. }) if block == last_block(self.old) => {
                Some((PayloadBlockState::PartiallyPresent, place.offset))
            }
            _ => None,
        }
    }

    /// The place of the sector bitmap block that a chunk gets, if it gets one.
    pub(crate) fn bitmap_of(&self, chunk: ChunkIndex) -> Option<FileOffset> {
        match self.tail {
            Some(Tail::New { bitmap: Some(bitmap), .. })
                if chunk == self.old.chunk_of(last_block(self.old)) =>
            {
                Some(bitmap.offset)
            }
            _ => None,
        }
    }

    /// Every place that the plan takes, with its length in bytes.
    pub(crate) fn places(&self) -> impl Iterator<Item = (Place, u64)> + '_ {
        let block_size = self.old.block_size();
        let tail = match self.tail {
            Some(Tail::New { block, bitmap }) => {
                [Some((block, block_size)), bitmap.map(|place| (place, MIB))]
            }
            _ => [None, None],
        };
        let blocks = self.blocks.iter().map(move |&place| (place, block_size));
        self.bat.into_iter().chain(tail.into_iter().flatten()).chain(blocks)
    }

    /// A BAT entry of the larger disk; `before` is what stood there. Old entries stay as they are, apart from those that
    /// the tail needs.
    fn entry(&self, index: BatIndex, before: BatEntry) -> BatEntry {
        match self.new.entry_kind(index) {
            BatEntryKind::Payload(block) if block.get() >= self.new.block_count() => BatEntry::default(),
            BatEntryKind::Payload(block) => match self.place_of(block) {
                Some((state, place)) => BatEntry::payload(state, place),
                None => before,
            },
            BatEntryKind::SectorBitmap(chunk) => match self.bitmap_of(chunk) {
                Some(place) => BatEntry::new(SectorBitmapBlockState::Present.bits(), place),
                None if chunk.get() < self.old.chunk_count() => before,
                None => BatEntry::default(),
            },
        }
    }
}

fn last_block(geometry: Geometry) -> BlockIndex {
    BlockIndex::new(geometry.block_count().saturating_sub(1))
}

fn plan_tail(vhdx: &Vhdx, space: &mut Space) -> Result<Option<Tail>> {
    let geometry = vhdx.geometry;
    let block = last_block(geometry);
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
    /// Makes the disk larger as planned. When this returns, it is durable, and the new part reads as zeros.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub(crate) fn grow(&mut self, plan: &ResizePlan) -> Result<()> {
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

    /// Takes a place that was planned, and makes it read as zeros.
    pub(crate) fn take(&mut self, place: Place, len: u64) -> Result<()> {
        self.space.take(place.offset, len);
        self.extend_to(place.offset.saturating_add(len).get())?;
        let is_fixed = self.vhdx.disk_type() == DiskType::Fixed;
        if is_fixed || !place.is_fresh { self.put_zeros(place.offset, len) } else { Ok(()) }
    }

    /// The unused tail of the last block may have been missing from the file.
    fn zero_tail(&mut self, plan: &ResizePlan) -> Result<()> {
        let (Some(Tail::Present(place)) | Some(Tail::Partial(place))) = plan.tail else { return Ok(()) };
        self.extend_to(place.saturating_add(plan.old.block_size()).get())?;
        let within = plan.old.offset_in_block(DiskOffset::new(plan.old.virtual_size()));
        self.put_zeros(place.saturating_add(within), plan.old.block_size() - within)
    }

    /// Writes every entry that the old size did not count, or a whole new table. Pages with entries that count already are
    /// staged, so that no power failure can spoil those.
    fn write_bat(&self, plan: &ResizePlan) -> Result<()> {
        let old_count = self.vhdx.geometry.bat_entry_count();
        let (place, first) = match plan.bat {
            Some((place, _)) => (place.offset, 0),
            None => (
                self.vhdx.regions.bat.offset,
                // A file without a parent does not count the sector bitmap entry of a last chunk that is full.
                old_count.min(plan.old.payload_bat_index(BlockIndex::new(plan.old.block_count())).get()),
            ),
        };
        let end = plan.new.bat_entry_count();
        let (mut first, mut before) = (first, Vec::new());
        while first < end {
            // A window ends where a page does, so that each page is judged as a whole.
            let count = (WINDOW - first % WINDOW).min(end - first);
            let known = old_count.saturating_sub(first).min(count);
            before.clear();
            if known > 0 {
                self.vhdx.read_bat(BatIndex::new(first), known, &mut before)?;
            }
            before.resize(usize::try_from(count).unwrap_or(0), BatEntry::default());
            let entries = (first..).zip(&before).flat_map(|(index, &entry)| {
                let index = BatIndex::new(index);
                // In the table that is in force, what counts already changes with the transaction only.
                let counts = plan.bat.is_none() && self.counts(plan, index);
                (if counts { entry } else { plan.entry(index, entry) }).to_le_bytes()
            });
            self.put_entries(plan, first, &entries.collect::<Vec<u8>>(), place)?;
            first += count;
        }
        Ok(())
    }

    fn put_entries(&self, plan: &ResizePlan, first: u64, entries: &[u8], table: FileOffset) -> Result<()> {
        let end = first + entries.len() as u64 / ENTRY;
        let page_end = |index: u64| (index / PER_PAGE + 1).saturating_mul(PER_PAGE).min(end);
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
            let bytes = |index: u64| usize::try_from((index - first) * ENTRY).unwrap_or(usize::MAX);
            let (bytes, at) = (&entries[bytes(from)..bytes(to)], table.saturating_add(from * ENTRY));
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
        let block = last_block(plan.old);
        let end = DiskOffset::new(plan.old.virtual_size());
        let first = plan.old.offset_in_block(end) / plan.old.sector_size();
        let sectors = first..plan.old.block_size() / plan.old.sector_size();
        match plan.tail {
            None | Some(Tail::Present(_)) => Ok(()),
            Some(Tail::Partial(_)) => {
                let mut bits = self.sector_bits(block)?;
                bits.set(sectors);
                self.stage_bits(block, &bits)
            }
            Some(Tail::New { block: place, bitmap }) => {
                let mut bits = self.clear_bits();
                bits.set(sectors);
                match bitmap {
                    Some(bitmap) => self.put_new_bits(plan.old, block, &bits, bitmap.offset)?,
                    None => self.stage_bits(block, &bits)?,
                }
                if plan.bat.is_some() {
                    return Ok(()); // the new table has the entries
                }
                if let Some(bitmap) = bitmap {
                    self.stage_bitmap(plan.old.chunk_of(block), bitmap.offset)?;
                }
                self.stage_payload(block, PayloadBlockState::PartiallyPresent, place.offset)
            }
        }
    }

    /// Writes the bits of a block into a sector bitmap block that nothing points to yet.
    fn put_new_bits(
        &self,
        geometry: Geometry,
        block: BlockIndex,
        bits: &SectorBits,
        bitmap: FileOffset,
    ) -> Result<()> {
        let start = geometry.block_start(block);
        self.put(bits.as_bytes(), bitmap.saturating_add(geometry.bitmap_bits(start..start).start / 8))
    }

    /// Makes the file forget the blocks past `virtual_size`, which the disk is about to end at. Until then they read as
    /// if nobody had written to them; afterwards nothing could be said of their entries any more.
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
            // A sector bitmap block goes only after every block that needs it.
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
                        let len = place.end.saturating_sub(place.start).saturating_mul(MIB);
                        self.free_with_commit(FileOffset::new(place.start.saturating_mul(MIB)), len);
                    }
                    self.stage_entry(first, BatEntry::default())?;
                }
                first = first.saturating_add(1);
            }
        }
        Ok(())
    }

    fn stage_size(&mut self, virtual_size: u64) -> Result<()> {
        let region = self.vhdx.regions.metadata.offset;
        for entry in self.vhdx.metadata.entries.iter().filter(|entry| entry.is_system(VIRTUAL_DISK_SIZE)) {
            self.staged.stage(&virtual_size.to_le_bytes(), region.saturating_add(entry.offset.into()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
