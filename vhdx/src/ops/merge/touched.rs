//! Finds the blocks of the target that the merged layers cover, at least in part.

use std::ops::Range;

use crate::error::{Bounded, Result};
use crate::file::{Extent, Extents, Source, Vhdx};
use crate::geometry::Geometry;
use crate::units::{BlockIndex, DiskOffset, MIB};

/// A block of the target, and what the merged layers answer for in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TouchedBlock {
    pub(super) index: BlockIndex,
    /// How many bytes they have data for.
    pub(super) data: u64,
    /// How many bytes of data lie in runs of more than 1 MiB in one file, which the host may share.
    pub(super) long: u64,
    /// How many bytes they declare to be zero.
    pub(super) zeros: u64,
    /// Where these bytes are on the disk, in ascending order.
    pub(super) ranges: Vec<Range<DiskOffset>>,
}

/// An iterator over the touched blocks in ascending order.
///
/// It skips all others, and ends after an error.
pub(super) struct Touched<'a> {
    extents: Extents<'a>,
    /// The geometry of the target.
    geometry: Geometry,
    /// The rest of the last extent, which continues in the next block.
    rest: Option<Extent>,
}

impl<'a> Touched<'a> {
    /// `geometry` is that of the target, which must be at least as large as the disk of the first merged layer.
    pub(super) fn new(merged: &'a [Vhdx], geometry: Geometry) -> Self {
        // Without merged layers, no block is touched.
        let end = merged.first().map_or(0, Vhdx::virtual_size);
        let extents = Extents::new(merged, DiskOffset::new(0)..DiskOffset::new(end));
        Self { extents, geometry, rest: None }
    }

    /// Returns the next extent that the merged layers answer for.
    fn next_held(&mut self) -> Option<Result<Extent>> {
        let is_held =
            |extent: &Result<Extent>| !matches!(extent, Ok(Extent { source: Source::Unallocated, .. }));
        self.rest.take().map(Ok).or_else(|| self.extents.find(is_held))
    }

    /// Returns the block in which `first` begins, with everything that lies in it.
    fn gather(&mut self, first: Extent) -> Result<TouchedBlock> {
        let index = self.geometry.block_of(first.start);
        let end = self.geometry.block_end(index);
        let mut block = TouchedBlock { index, data: 0, long: 0, zeros: 0, ranges: Vec::new() };
        let mut next = Some(first);
        while let Some(extent) = next {
            if let Some(inside) = extent.clip(&(extent.start..end)) {
                block.add(&inside)?;
            }
            self.rest = extent.clip(&(end..extent.end()));
            next = match self.rest {
                Some(_) => None,
                None => self.next_held().transpose()?,
            };
        }
        Ok(block)
    }
}

impl TouchedBlock {
    /// Returns the same block with its zeros counted as data.
    pub(super) fn with_zeros_as_data(self) -> Result<Self> {
        Ok(Self { data: self.data.plus(self.zeros)?, zeros: 0, ..self })
    }

    fn add(&mut self, extent: &Extent) -> Result<()> {
        if matches!(extent.source, Source::Data { .. }) && extent.len > MIB {
            self.long = self.long.plus(extent.len)?;
        }
        let len = match extent.source {
            Source::Data { .. } => &mut self.data,
            Source::Zero { .. } | Source::Unallocated => &mut self.zeros,
        };
        *len = len.plus(extent.len)?;
        match self.ranges.last_mut() {
            Some(last) if last.end == extent.start => last.end = extent.end(),
            _ => self.ranges.push(extent.start..extent.end()),
        }
        Ok(())
    }
}

impl Iterator for Touched<'_> {
    type Item = Result<TouchedBlock>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.next_held()?;
        Some(first.and_then(|first| self.gather(first)))
    }
}

#[cfg(test)]
mod tests;
