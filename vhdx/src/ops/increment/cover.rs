//! Collects the sectors of one block that changed.

use std::ops::Range;

use crate::error::{Bounded, Guaranteed, Result, in_memory};
use crate::file::Present;
use crate::geometry::Geometry;
use crate::units::{BlockIndex, DiskOffset};

/// The sectors of one block that a new differencing file holds.
pub(super) struct Cover {
    geometry: Geometry,
    block: Option<BlockIndex>,
    /// The number of bytes that changed.
    covered: u64,
    /// One bit for each sector of the block. They are not kept if the whole block changed at once.
    bits: Vec<u8>,
}

impl Cover {
    pub(super) fn new(geometry: Geometry) -> Result<Self> {
        let bytes = in_memory(geometry.block_size() / geometry.sector_size() / 8)?;
        Ok(Self { geometry, block: None, covered: 0, bits: vec![0; bytes] })
    }

    /// Returns the block, if one was begun.
    pub(super) fn block(&self) -> Option<BlockIndex> {
        self.block
    }

    /// Begins another block, or none.
    pub(super) fn begin(&mut self, block: Option<BlockIndex>) {
        self.block = block;
        self.covered = 0;
        self.bits.fill(0);
    }

    /// Adds a range that lies in the block, after all earlier ones.
    ///
    /// # Errors
    /// [`Error::Internal`](crate::Error::Internal) if it does not.
    pub(super) fn add(&mut self, range: &Range<DiskOffset>) -> Result<()> {
        let len = range.end.minus(range.start)?;
        self.covered = self.covered.plus(len)?;
        if self.is_whole()? {
            return Ok(());
        }
        let sector_size = self.geometry.sector_size();
        let first = self.geometry.offset_in_block(range.start) / sector_size;
        self.set(in_memory(first)?..in_memory(first.plus(len / sector_size)?)?)
    }

    /// Returns whether the whole block changed.
    pub(super) fn is_whole(&self) -> Result<bool> {
        let block = self.block.guaranteed("a range lies in a block that was begun")?;
        Ok(self.covered == self.geometry.block_len(block))
    }

    /// Returns the sectors that changed.
    pub(super) fn present(&self) -> Result<Present<'_>> {
        Ok(if self.is_whole()? { Present::All } else { Present::Some(&self.bits) })
    }

    fn set(&mut self, sectors: Range<usize>) -> Result<()> {
        let bytes = self.bits.get_mut(sectors.start / 8..sectors.end.div_ceil(8));
        let bytes = bytes.guaranteed("a sector has a bit in its own block")?;
        let last = bytes.len().saturating_sub(1); // no byte: the range is empty
        for (number, byte) in bytes.iter_mut().enumerate() {
            let mut mask = u8::MAX;
            if number == 0 {
                mask &= u8::MAX << (sectors.start % 8);
            }
            if number == last && !sectors.end.is_multiple_of(8) {
                mask &= !(u8::MAX << (sectors.end % 8));
            }
            *byte |= mask;
        }
        Ok(())
    }
}

/// Cuts a range at the boundaries of blocks. Returns each part with its block.
pub(super) fn by_block(
    geometry: Geometry,
    range: Range<DiskOffset>,
) -> impl Iterator<Item = (BlockIndex, Range<DiskOffset>)> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        (start < range.end).then(|| {
            let block = geometry.block_of(start);
            let end = geometry.block_end(block).min(range.end);
            (block, std::mem::replace(&mut start, end)..end)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::MIB;

    fn at(offset: u64) -> DiskOffset {
        DiskOffset::new(offset)
    }

    #[test]
    fn bits_are_those_of_the_sectors() {
        let geometry = Geometry::new(MIB, 512, 3 * MIB + 512, true).unwrap();
        let mut cover = Cover::new(geometry).unwrap();
        for (first, end) in [(0, 1), (0, 8), (3, 5), (7, 9), (5, 30), (2040, 2048), (8, 24)] {
            cover.begin(Some(BlockIndex::new(1)));
            cover.add(&(at(MIB + first * 512)..at(MIB + end * 512))).unwrap();
            let Present::Some(bits) = cover.present().unwrap() else { panic!("not all are present") };
            for sector in 0..2048 {
                let is_set = bits[sector / 8] & 1 << (sector % 8) != 0;
                assert_eq!(is_set, (first..end).contains(&(sector as u64)), "{sector} of {first}..{end}");
            }
        }
        cover.begin(Some(BlockIndex::new(3)));
        cover.add(&(at(3 * MIB)..at(3 * MIB + 512))).unwrap();
        assert_eq!(cover.present().unwrap(), Present::All, "the last block has one sector");
    }

    #[test]
    fn ranges_are_cut_at_blocks() {
        let geometry = Geometry::new(MIB, 512, 3 * MIB + 512, true).unwrap();
        let parts: Vec<_> = by_block(geometry, at(512)..at(3 * MIB + 512)).collect();
        let part = |block, start, end| (BlockIndex::new(block), at(start)..at(end));
        let expected = [
            part(0, 512, MIB),
            part(1, MIB, 2 * MIB),
            part(2, 2 * MIB, 3 * MIB),
            part(3, 3 * MIB, 3 * MIB + 512),
        ];
        assert_eq!(parts, expected);
        assert_eq!(by_block(geometry, at(7)..at(7)).count(), 0);
    }
}
