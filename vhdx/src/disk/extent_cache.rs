//! Caches where the bytes of a chain are, so that a part that is read again does not search all layers again.
//!
//! The cache stays valid because a chain only reads its layers. Its memory is bounded, independent of the disk's size.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use crate::error::{Bounded, Guaranteed, Result, Times, in_memory};
use crate::file::{Extents, Source, Vhdx};
use crate::units::{DiskOffset, FileOffset, MIB};

/// The size of a region in bytes. The disk is resolved by regions of this size.
const REGION: u64 = 32 * MIB;
/// The maximum size of a short read in bytes.
///
/// The first short read of a region does not resolve the region.
const SHORT: u64 = 64 << 10;
/// The number of pieces, of 16 bytes each, in one of the two generations of the cache.
const GENERATION: usize = 1 << 20;
/// The overhead of a cached region, in pieces.
///
/// It bounds the memory for sparse disks, in which many regions have only one piece.
const REGION_COST: usize = 8;

/// A piece of a region. It ends where the next piece begins, or at the end of the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ResolvedPiece {
    /// The offset in the region, in bytes.
    start: u32,
    /// The layer whose file holds the bytes; `None` for zeros.
    layer: Option<u16>,
    /// The place of the first byte in that file; meaningless for zeros.
    offset: FileOffset,
}

/// A part of the disk: bytes of a layer's file from an offset on, or zeros (`None`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) len: usize,
    pub(super) data: Option<(usize, FileOffset)>,
}

/// The cached knowledge about a region.
#[derive(Clone, Debug)]
enum Region {
    /// A part was read. The next read resolves the whole region.
    Touched,
    /// Some part is damaged. Others may be sound, so each range must be looked up on its own.
    Damaged,
    Resolved(Arc<[ResolvedPiece]>),
}

/// A cache of regions in two generations.
///
/// When the younger generation is full, it replaces the older one.
#[derive(Debug, Default)]
pub(super) struct ExtentCache(RwLock<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<u64, Region>,
    old: HashMap<u64, Region>,
    /// The size of the younger generation, in pieces.
    pieces: usize,
}

impl ExtentCache {
    /// Calls `each` for the parts of `range`, in order.
    ///
    /// `range` must be within the disk of `layers`. Returns `None`, without any call, if the range must be looked up on
    /// its own.
    pub(super) fn parts(
        &self,
        layers: &[Vhdx],
        range: &Range<DiskOffset>,
        mut each: impl FnMut(Part) -> Result<()>,
    ) -> Option<Result<()>> {
        let (start, end) = (range.start.get(), range.end.get());
        let len = match end.minus(start) {
            Ok(len) => len,
            Err(error) => return Some(Err(error)),
        };
        let is_short = len <= SHORT;
        let numbers = start / REGION..end.div_ceil(REGION);
        let regions: Vec<_> =
            numbers.map(|number| self.region(layers, number, is_short)).collect::<Option<_>>()?;
        let mut at = start;
        for pieces in regions {
            // The ranges of the regions are adjacent, and the last one ends at `end`.
            let from = at % REGION;
            let within = from..(from + (end - at)).min(REGION);
            at += within.end - within.start;
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
        if self.pieces + cost > GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.pieces = 0;
        }
        // The sum of the costs of all regions in `young`: each cost is added with its region.
        self.pieces += cost;
        if let Some(before) = self.young.insert(number, region.clone()) {
            self.pieces -= before.cost();
        }
    }
}

impl Region {
    fn resolve(layers: &[Vhdx], number: u64) -> Self {
        resolve(layers, number).map_or(Self::Damaged, Self::Resolved)
    }

    /// Returns the size of the region in the cache, in pieces.
    fn cost(&self) -> usize {
        let pieces = match self {
            Self::Resolved(pieces) => pieces.len(),
            Self::Touched | Self::Damaged => 0,
        };
        pieces + REGION_COST
    }
}

fn resolve(layers: &[Vhdx], number: u64) -> Result<Arc<[ResolvedPiece]>> {
    let size = layers.first().guaranteed("a chain has a layer")?.virtual_size();
    let start = number.times(REGION)?;
    let range = DiskOffset::new(start)..DiskOffset::new(start.plus(REGION)?.min(size));
    let mut pieces: Vec<ResolvedPiece> = Vec::new();
    for extent in Extents::new(layers, range) {
        let extent = extent?;
        let (layer, offset) = match extent.source {
            Source::Data { layer, offset } => {
                let layer = u16::try_from(layer).guaranteed("the length of a chain is bounded")?;
                (Some(layer), offset)
            }
            Source::Zero { .. } | Source::Unallocated => (None, FileOffset::default()),
        };
        if layer.is_none() && pieces.last().is_some_and(|last| last.layer.is_none()) {
            continue;
        }
        let start = extent.start.get().checked_sub(start).and_then(|within| u32::try_from(within).ok());
        let start = start.guaranteed("extents lie in their region")?;
        pieces.push(ResolvedPiece { start, layer, offset });
    }
    Ok(pieces.into())
}

/// Calls `each` for the parts of a range in a region.
///
/// `within` is relative to the region, whose first piece begins at 0.
fn in_region(
    pieces: &[ResolvedPiece],
    within: Range<u64>,
    each: &mut impl FnMut(Part) -> Result<()>,
) -> Result<()> {
    let after = pieces.partition_point(|piece| u64::from(piece.start) <= within.start);
    let first = after.minus(1)?;
    let mut at = within.start;
    for (piece, next) in pieces.iter().skip(first).zip(pieces.iter().skip(first + 1).map(Some).chain([None]))
    {
        let end = next.map_or(within.end, |next| u64::from(next.start).min(within.end));
        let skipped = at - u64::from(piece.start);
        let data = match piece.layer {
            Some(layer) => Some((usize::from(layer), piece.offset.plus(skipped)?)),
            None => None,
        };
        each(Part { len: in_memory(end - at)?, data })?;
        at = end;
        if at == within.end {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
