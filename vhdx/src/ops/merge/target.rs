//! The blocks of the target before the batches: as they are in the file, or as growth will make them.

use std::ops::Range;

use super::block::Bits;
use crate::error::{Bounded, Error, Result};
use crate::file::{BatWindow, ResizePlan, Source, Vhdx};
use crate::format::bat_entry::{BatEntry, PayloadBlockState, SectorBitmapBlockState};
use crate::geometry::Geometry;
use crate::rules::Rule;
use crate::units::{BatIndex, BlockIndex, ChunkIndex, DiskOffset, FileOffset};
use crate::violation::{Structure, Violation};

/// The number of BAT entries that are read at once: 64 KiB.
const WINDOW: u64 = 8192;

/// A view of the target with its grown disk. Its BAT must have been validated.
///
/// The methods take the target. It may be as planned or have grown, and earlier batches may have been written to it: the
/// answers for all later blocks are the same.
pub(super) struct Target<'a> {
    growth: Option<&'a ResizePlan>,
    /// The geometry of the grown disk.
    geometry: Geometry,
    window: BatWindow,
}

/// The state of a block of the target before the batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Before {
    pub(super) state: PayloadBlockState,
    /// Its place in the file, if it has one: that of its content, or one that is only reserved.
    pub(super) place: Option<FileOffset>,
}

impl<'a> Target<'a> {
    /// `geometry` is that of the target once its disk has grown, which takes `growth`.
    pub(super) fn new(growth: Option<&'a ResizePlan>, geometry: Geometry) -> Self {
        Self { growth, geometry, window: BatWindow::default() }
    }

    pub(super) fn before(&mut self, vhdx: &Vhdx, block: BlockIndex) -> Result<Before> {
        let grown = self.growth.map(|growth| growth.place_of(block)).transpose()?;
        if let Some((state, place)) = grown.flatten() {
            return Ok(Before { state, place: Some(place).filter(|_| state.is_present()) });
        }
        let index = self.geometry.payload_bat_index(block);
        let entry = self.entry(vhdx, index)?;
        let state = entry.payload_state().ok_or_else(|| broken(vhdx, index, Rule::BatStateReserved))?;
        let may_have_place =
            state.is_present() || matches!(state, PayloadBlockState::Undefined | PayloadBlockState::Unmapped);
        let place = Some(entry.file_offset()).filter(|place| may_have_place && place.get() != 0);
        // The entry was valid when the free space was counted, so another program has changed it since.
        if state.is_present() && place.is_none() {
            return Err(broken(vhdx, index, Rule::BlockInHeader));
        }
        Ok(Before { state, place })
    }

    /// Returns whether the chunk has a sector bitmap block.
    pub(super) fn has_bitmap(&mut self, vhdx: &Vhdx, chunk: ChunkIndex) -> Result<bool> {
        if self.growth.is_some_and(|growth| growth.bitmap_of(chunk).is_some()) {
            return Ok(true);
        }
        if chunk.get() >= vhdx.geometry().chunk_count() {
            return Ok(false);
        }
        let entry = self.entry(vhdx, self.geometry.bitmap_bat_index(chunk))?;
        Ok(entry.bitmap_state() == Some(SectorBitmapBlockState::Present))
    }

    /// Returns which bits a PARTIALLY_PRESENT block has when those of `ranges` are set.
    ///
    /// The ranges ascend.
    pub(super) fn bits(
        &self,
        vhdx: &Vhdx,
        block: BlockIndex,
        ranges: impl Iterator<Item = Range<DiskOffset>>,
    ) -> Result<Bits> {
        let (start, end) = (self.geometry.block_start(block), self.geometry.block_end(block));
        let held = held(vhdx, start..end)?;
        let before = len_of_union(held.clone())?;
        let mut all = held;
        all.extend(ranges);
        all.sort_unstable_by_key(|range| range.start);
        let after = len_of_union(all)?;
        Ok(if after == end.minus(start)? {
            Bits::All
        } else if after == before {
            Bits::Same
        } else {
            Bits::More
        })
    }

    fn entry(&mut self, vhdx: &Vhdx, index: BatIndex) -> Result<BatEntry> {
        if let Some(entry) = self.window.get(index) {
            return Ok(entry);
        }
        let left = vhdx.geometry().bat_entry_count().minus(index.get())?;
        self.window.read(vhdx, index, left.min(WINDOW))?;
        self.window.get(index).ok_or_else(|| broken(vhdx, index, Rule::Truncated))
    }
}

fn broken(vhdx: &Vhdx, index: BatIndex, rule: Rule) -> Error {
    let at = vhdx.bat_entry_place(index);
    vhdx.in_file(Violation::new(Structure::BatEntry(index), at, rule).into())
}

/// Returns the parts of a PARTIALLY_PRESENT block whose bits are set, in ascending order.
fn held(vhdx: &Vhdx, block: Range<DiskOffset>) -> Result<Vec<Range<DiskOffset>>> {
    let old_end = DiskOffset::new(vhdx.virtual_size());
    let mut held = Vec::new();
    for extent in vhdx.extents(block.start..block.end.min(old_end)) {
        let extent = extent?;
        if matches!(extent.source, Source::Data { .. }) {
            held.push(extent.start..extent.end());
        }
    }
    if block.end > old_end {
        // Growing sets all bits past the old end of the disk.
        held.push(old_end..block.end);
    }
    Ok(held)
}

/// Returns how many bytes lie in at least one of the ranges, which are sorted by start.
fn len_of_union(sorted: Vec<Range<DiskOffset>>) -> Result<u64> {
    let (mut len, mut end) = (0_u64, DiskOffset::new(0));
    for range in sorted {
        if range.end > end {
            len = len.plus(range.end.minus(range.start.max(end))?)?;
            end = range.end;
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests;
