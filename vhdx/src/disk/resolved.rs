//! What a chain remembers of where its bytes are: a part of the disk that is read again does not ask every layer again.
//!
//! A chain is only read, and so are its layers, so what was found stays true. Memory is bounded, whatever the disk's size.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use crate::error::Result;
use crate::file::{Extents, Source, Vhdx};
use crate::units::{DiskOffset, FileOffset, MIB};

/// The disk is resolved in regions of this many bytes, at multiples of it.
const REGION: u64 = 32 * MIB;
/// A region of which no more than this many bytes are read is not resolved before it is read again.
const SHORT: u64 = 64 << 10;
/// How many pieces are remembered, at 16 bytes each, before older ones are forgotten; twice as many at most.
const GENERATION: usize = 1 << 20;
/// What remembering a region takes besides its pieces, counted in pieces: a sparse disk has many regions of one piece.
const REGION_COST: usize = 8;

/// The start of a stretch of a region, which ends where the next one begins, or with the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ResolvedPiece {
    /// In the region.
    start: u32,
    /// The layer whose file holds the bytes; `None` for zeros.
    layer: Option<u16>,
    /// The place of the first byte in that file.
    offset: FileOffset,
}

/// The bytes of a part of the disk: those of a layer's file from an offset on, or zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) len: usize,
    pub(super) data: Option<(usize, FileOffset)>,
}

/// What is known of a region.
#[derive(Clone, Debug)]
enum Region {
    /// Something in it was read. Resolving all of it pays with the next read.
    Touched,
    /// Something in it is damaged: what is asked for may be sound, and must be looked up alone.
    Damaged,
    Resolved(Arc<[ResolvedPiece]>),
}

/// What is known of regions, in two generations: when the younger one is full, the older one is forgotten.
#[derive(Debug, Default)]
pub(super) struct Resolved(RwLock<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<u64, Region>,
    old: HashMap<u64, Region>,
    /// What the younger generation takes, in pieces.
    pieces: usize,
}

impl Resolved {
    /// The parts of `range`, which must lie on the disk of `layers`, in order; `None` before the first one if the range
    /// must be looked up alone.
    pub(super) fn parts(
        &self,
        layers: &[Vhdx],
        range: &Range<DiskOffset>,
        mut each: impl FnMut(Part) -> Result<()>,
    ) -> Option<Result<()>> {
        let (start, end) = (range.start.get(), range.end.get());
        let is_short = end.saturating_sub(start) <= SHORT;
        let numbers = start / REGION..end.div_ceil(REGION);
        let regions: Vec<_> =
            numbers.map(|number| self.region(layers, number, is_short)).collect::<Option<_>>()?;
        let mut at = start;
        for pieces in regions {
            let within = at % REGION..(at % REGION).saturating_add(end - at).min(REGION);
            at = at.saturating_add(within.end - within.start);
            if let Err(error) = in_region(&pieces, within, &mut each) {
                return Some(Err(error));
            }
        }
        Some(Ok(()))
    }

    fn region(&self, layers: &[Vhdx], number: u64, is_short: bool) -> Option<Arc<[ResolvedPiece]>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).young.get(&number).cloned();
        let known = match known {
            Some(Region::Resolved(pieces)) => return Some(pieces),
            Some(Region::Damaged) => return None,
            known => known.or_else(|| self.write().old.remove(&number)),
        };
        let region = match known {
            Some(Region::Touched) => Region::resolve(layers, number),
            None if is_short => Region::Touched,
            None => Region::resolve(layers, number),
            Some(known) => known,
        };
        self.write().remember(number, &region);
        match region {
            Region::Resolved(pieces) => Some(pieces),
            Region::Touched | Region::Damaged => None,
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Generations> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn remember(&mut self, number: u64, region: &Region) {
        let cost = region.cost();
        if self.pieces.saturating_add(cost) > GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.pieces = 0;
        }
        let before = self.young.insert(number, region.clone()).map_or(0, |before| before.cost());
        self.pieces = self.pieces.saturating_add(cost).saturating_sub(before);
    }
}

impl Region {
    fn resolve(layers: &[Vhdx], number: u64) -> Self {
        resolve(layers, number).map_or(Self::Damaged, Self::Resolved)
    }

    /// In pieces.
    fn cost(&self) -> usize {
        let pieces = match self {
            Self::Resolved(pieces) => pieces.len(),
            Self::Touched | Self::Damaged => 0,
        };
        pieces.saturating_add(REGION_COST)
    }
}

fn resolve(layers: &[Vhdx], number: u64) -> Result<Arc<[ResolvedPiece]>> {
    let size = layers.first().map_or(0, Vhdx::virtual_size);
    let start = number.saturating_mul(REGION);
    let range = DiskOffset::new(start)..DiskOffset::new(start.saturating_add(REGION).min(size));
    let mut pieces: Vec<ResolvedPiece> = Vec::new();
    for extent in Extents::new(layers, range) {
        let extent = extent?;
        let (layer, offset) = match extent.source {
            Source::Data { layer, offset } => (u16::try_from(layer).ok(), offset),
            Source::Zero { .. } | Source::Unallocated => (None, FileOffset::default()),
        };
        if layer.is_none() && pieces.last().is_some_and(|last| last.layer.is_none()) {
            continue;
        }
        let start = u32::try_from(extent.start.get() - start).unwrap_or(u32::MAX); // below REGION
        pieces.push(ResolvedPiece { start, layer, offset });
    }
    Ok(pieces.into())
}

/// `within` counts from the start of the region, whose first piece begins at 0.
fn in_region(
    pieces: &[ResolvedPiece],
    within: Range<u64>,
    each: &mut impl FnMut(Part) -> Result<()>,
) -> Result<()> {
    let first = pieces.partition_point(|piece| u64::from(piece.start) <= within.start).saturating_sub(1);
    let mut at = within.start;
    for (piece, next) in pieces.iter().skip(first).zip(pieces.iter().skip(first + 1).map(Some).chain([None]))
    {
        let end = next.map_or(within.end, |next| u64::from(next.start).min(within.end));
        let skipped = at - u64::from(piece.start);
        let data = piece.layer.map(|layer| (usize::from(layer), piece.offset.saturating_add(skipped)));
        each(Part { len: usize::try_from(end - at).unwrap_or(usize::MAX), data })?;
        at = end;
        if at == within.end {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
