//! Groups blocks into batches: where new blocks lie, and how much one transaction can hold.

use std::collections::BTreeSet;
use std::ops::Range;

use super::block::{BitChange, BlockAction, BlockPlan};
use super::options::MergeOptions;
use super::space_count::SpaceCount;
use super::target::Before;
use crate::error::{Bounded, Guaranteed, Result, Times};
use crate::file::{Place, Space};
use crate::geometry::Geometry;
use crate::units::{BlockIndex, ChunkIndex, DiskOffset, FileOffset, MIB};

/// The unit of logging, in bytes ([MS-VHDX] 2.3.1).
const PAGE: u64 = 4096;
/// The most pages that one entry of the shortest log can hold.
const MOST_PAGES: usize = 84;
/// How many bytes of long runs are shared in about the time in which one is copied.
const SHARED_PER_COPIED: u64 = 8;
/// The most blocks of a batch, so that a batch takes little memory.
const MOST_BLOCKS: usize = 1 << 16;

/// Blocks of the target whose content is written, then one transaction that makes it count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    /// The blocks, in ascending order.
    pub(super) blocks: Vec<BlockPlan>,
    /// The sector bitmap blocks that the target gets in the same transaction.
    pub(super) bitmaps: Vec<NewBitmap>,
    /// The length that the target's file must have, in bytes, before the batch is written.
    pub(super) file_size: u64,
    /// The most 4 KiB pages of metadata that the transaction changes.
    pub(super) pages: usize,
    /// How many bytes are written. Bytes that are shared count less.
    pub(super) bytes: u64,
}

/// A new sector bitmap block of the target: 1 MiB of zeros until bits in it are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NewBitmap {
    /// The chunk whose bits it holds.
    pub(super) chunk: ChunkIndex,
    /// Its place in the file.
    pub(super) place: FileOffset,
    /// Whether the place reads as zeros already; see [`BlockPlan::is_fresh`].
    pub(super) is_fresh: bool,
}

/// A page of metadata that a transaction changes.
///
/// Its place is not planned, because a BAT may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Page {
    Bat(u64),
    Bitmap(ChunkIndex, u64),
}

/// A block and the action for it, to be put into a batch.
pub(super) struct Decided<'a> {
    pub(super) block: BlockIndex,
    pub(super) action: BlockAction,
    pub(super) before: Before,
    pub(super) copied: u64,
    /// How many of the copied bytes lie in long runs, which the host may share.
    pub(super) long: u64,
    pub(super) zeroed: u64,
    /// The ranges for which the merged layers answer.
    pub(super) ranges: &'a [Range<DiskOffset>],
    /// Whether its chunk has a sector bitmap block in the file, if the block needs one.
    pub(super) has_bitmap: bool,
}

impl Decided<'_> {
    /// Returns how many bytes of data and zeros are written for the merged layers.
    fn written(&self) -> Result<u64> {
        match self.action {
            BlockAction::Zero => Ok(0),
            _ => self.copied.plus(self.zeroed),
        }
    }

    /// Returns the ranges of the target's file that are written to.
    ///
    /// The block starts at `start` on the disk and lies at `place` in the file. The ranges are whole pages, because
    /// file systems allocate space in pages.
    fn touched(
        &self,
        start: DiskOffset,
        place: FileOffset,
    ) -> impl Iterator<Item = Result<Range<FileOffset>>> {
        self.ranges.iter().map(move |range| {
            let (from, to) = (range.start.minus(start)?, range.end.minus(start)?);
            Ok(place.plus(from / PAGE * PAGE)?..place.plus(to.next_multiple_of(PAGE))?)
        })
    }
}

pub(super) struct Batcher<'a> {
    geometry: Geometry,
    space: Space,
    options: MergeOptions,
    file_size: u64,
    /// The chunk that got a sector bitmap block last. Blocks come in ascending order.
    last_bitmap: Option<ChunkIndex>,
    open: Open,
    shares_blocks: bool,
    /// Counts the space that the batches take, if the plan is being made.
    count: Option<SpaceCount<'a>>,
}

#[derive(Default)]
struct Open {
    batch: Batch,
    pages: BTreeSet<Page>,
    freed: Vec<FileOffset>,
}

impl Batch {
    /// Returns every place in the target's file that the batch assigns, with its length in bytes.
    pub(super) fn places(&self, block_size: u64) -> impl Iterator<Item = (FileOffset, u64)> {
        let bitmaps = self.bitmaps.iter().map(|bitmap| (bitmap.place, MIB));
        let blocks = self.blocks.iter().filter(|block| block.action != BlockAction::Zero);
        bitmaps.chain(blocks.map(move |block| (block.place, block_size)))
    }
}

impl<'a> Batcher<'a> {
    /// `space` is the free space of the target once its disk has grown, and `file_size` the length of its file then.
    pub(super) fn new(geometry: Geometry, space: Space, file_size: u64, options: MergeOptions) -> Self {
        let (last_bitmap, open, shares_blocks, count) = (None, Open::default(), false, None);
        Self { geometry, space, options, file_size, last_bitmap, open, shares_blocks, count }
    }

    /// Sets whether the host shares blocks between the files. Then batches hold more.
    pub(super) fn sharing(self, shares_blocks: bool) -> Self {
        Self { shares_blocks, ..self }
    }

    pub(super) fn counting(self, count: SpaceCount<'a>) -> Self {
        Self { count: Some(count), ..self }
    }

    /// Adds a block. Returns the batch that is complete because the block does not fit into it.
    pub(super) fn add(&mut self, decided: &Decided<'_>) -> Result<Option<Batch>> {
        let is_partial = decided.action == BlockAction::FillPart;
        let chunk = self.geometry.chunk_of(decided.block);
        let needs_bitmap = is_partial && !decided.has_bitmap && self.last_bitmap != Some(chunk);
        let pages = self.pages(decided, needs_bitmap)?;
        let bytes = self.effort(decided)?;
        let complete = if self.has_room(&pages, bytes) { None } else { self.close() };

        if needs_bitmap {
            let bitmap = self.allocate(MIB)?;
            if let Some(count) = &mut self.count {
                count.fill(&bitmap, MIB, MIB)?;
            }
            let Place { offset: place, is_fresh } = bitmap;
            self.last_bitmap = Some(chunk);
            self.open.batch.bitmaps.push(NewBitmap { chunk, place, is_fresh });
        }
        let Place { offset: place, is_fresh } = self.place(decided)?;
        let Decided { block, action, copied, zeroed, .. } = *decided;
        self.open.batch.blocks.push(BlockPlan { block, action, place, is_fresh, copied, zeroed });
        self.open.batch.bytes = self.open.batch.bytes.plus(bytes)?;
        self.open.pages.extend(pages);
        Ok(complete)
    }

    /// Returns how many copied bytes take about as long as this block.
    fn effort(&self, decided: &Decided<'_>) -> Result<u64> {
        let written = decided.written()?;
        if !self.shares_blocks {
            return Ok(written);
        }
        let shared = decided.long.min(written);
        (written - shared).plus(shared / SHARED_PER_COPIED)
    }

    /// Returns the length of the target's file after all batches so far, in bytes.
    pub(super) const fn file_size(&self) -> u64 {
        self.file_size
    }

    /// Returns what was counted, if it was [counted](Self::counting).
    pub(super) fn into_count(self) -> Option<SpaceCount<'a>> {
        self.count
    }

    /// Chooses the place for the content of a block.
    fn place(&mut self, decided: &Decided<'_>) -> Result<Place> {
        let (old, block_size) = (decided.before.place, self.geometry.block_size());
        let offset = match decided.action {
            BlockAction::Zero => {
                self.open.freed.extend(old);
                FileOffset::default()
            }
            BlockAction::Fill | BlockAction::FillPart => {
                let place = self.new_place(old)?;
                if let Some(count) = &mut self.count {
                    // Each single sector that is written takes a page.
                    count.fill(&place, block_size, decided.copied.times(PAGE / 512)?)?;
                }
                return Ok(place);
            }
            BlockAction::Overwrite | BlockAction::Mark | BlockAction::Promote => {
                let place = old.guaranteed("a block that keeps its place has one")?;
                if let Some(count) = &mut self.count {
                    count.overwrite(decided.touched(self.geometry.block_start(decided.block), place))?;
                }
                place
            }
        };
        Ok(Place { offset, is_fresh: false })
    }

    /// Chooses the place for the content of a block that has none yet.
    ///
    /// A reserved place is used if it lies inside the file. Outside, it may lie anywhere, so it is given up: the file
    /// must not grow to reach it.
    fn new_place(&mut self, reserved: Option<FileOffset>) -> Result<Place> {
        let block_size = self.geometry.block_size();
        match reserved {
            Some(offset) if self.is_inside(offset) => Ok(Place { offset, is_fresh: false }),
            outside => {
                self.open.freed.extend(outside);
                self.allocate(block_size)
            }
        }
    }

    fn is_inside(&self, block: FileOffset) -> bool {
        block.checked_add(self.geometry.block_size()).is_some_and(|end| end.get() <= self.file_size)
    }

    fn allocate(&mut self, bytes: u64) -> Result<Place> {
        let place = self.space.allocate(bytes)?;
        self.file_size = self.file_size.max(place.offset.plus(bytes)?.get());
        Ok(place)
    }

    /// Returns the pages of metadata that the block changes.
    fn pages(&self, decided: &Decided<'_>, needs_bitmap: bool) -> Result<BTreeSet<Page>> {
        let geometry = self.geometry;
        let chunk = geometry.chunk_of(decided.block);
        let Decided { block, action, copied, zeroed, .. } = *decided;
        let plan = BlockPlan { block, action, place: FileOffset::new(0), is_fresh: false, copied, zeroed };
        let mut pages = BTreeSet::new();
        if plan.entry().is_some() {
            pages.insert(Page::Bat(geometry.payload_bat_index(block).get() / (PAGE / 8)));
        }
        if needs_bitmap {
            pages.insert(Page::Bat(geometry.bitmap_bat_index(chunk).get() / (PAGE / 8)));
        }
        let start = geometry.block_start(block);
        let whole = [start..start.plus(geometry.block_size())?];
        let changed = match plan.bits() {
            BitChange::None => &[],
            BitChange::Set => decided.ranges,
            BitChange::Replace => &whole,
        };
        for range in changed {
            let bits = geometry.bitmap_bits(range.clone())?;
            let last = bits.end.minus(1)?.max(bits.start);
            pages.extend((bits.start / (PAGE * 8)..=last / (PAGE * 8)).map(|page| Page::Bitmap(chunk, page)));
        }
        Ok(pages)
    }

    /// Returns whether these pages and bytes fit into the open batch.
    fn has_room(&self, pages: &BTreeSet<Page>, bytes: u64) -> bool {
        let Open { batch, pages: used, .. } = &self.open;
        batch.blocks.is_empty()
            || (batch.blocks.len() < MOST_BLOCKS
                && used.union(pages).count() <= self.options.pages.min(MOST_PAGES)
                && batch.bytes.checked_add(bytes).is_some_and(|all| all <= self.options.batch_bytes))
    }

    /// Completes the open batch, unless it is empty. The places that it frees are free from the next batch on.
    ///
    /// Its transaction must be durable before new content goes there.
    pub(super) fn close(&mut self) -> Option<Batch> {
        let Open { mut batch, pages, freed } = std::mem::take(&mut self.open);
        for place in freed {
            self.space.release(place, self.geometry.block_size());
        }
        if batch.blocks.is_empty() {
            return None;
        }
        batch.pages = pages.len();
        batch.file_size = self.file_size;
        Some(batch)
    }
}

#[cfg(test)]
mod tests;
