//! What a chain remembers of where its bytes are: a part of the disk that is read again does not ask every layer again.
//!
//! A chain is only read, and so are its layers, so what was found stays true. Memory is bounded, whatever the disk's size.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::Result;
use crate::file::{Extents, Source, Vhdx};
use crate::units::{DiskOffset, FileOffset, MIB};

/// The disk is resolved in regions of this many bytes, at multiples of it.
const REGION: u64 = 32 * MIB;
/// How many pieces are remembered, at 16 bytes each, before older ones are forgotten; twice as many at most.
const GENERATION: usize = 1 << 20;
/// What remembering a region takes besides its pieces, counted in pieces: a sparse disk has many regions of one piece.
const REGION_COST: usize = 8;

/// The start of a stretch of a region, which ends where the next one begins, or with the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
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

/// Regions that were resolved, in two generations: when the younger one is full, the older one is forgotten.
#[derive(Debug, Default)]
pub(super) struct Resolved(RwLock<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<u64, Arc<[Piece]>>,
    old: HashMap<u64, Arc<[Piece]>>,
    /// How many pieces the younger generation has, with [`REGION_COST`] for each region.
    pieces: usize,
}

impl Resolved {
    /// The parts of `range`, which must lie on the disk of `layers`, in order.
    ///
    /// # Errors
    /// Those of the first damaged structure in the regions around `range`: the range itself may be sound.
    pub(super) fn parts(
        &self,
        layers: &[Vhdx],
        range: &Range<DiskOffset>,
        mut each: impl FnMut(Part) -> Result<()>,
    ) -> Result<Result<()>> {
        let mut at = range.start.get();
        while at < range.end.get() {
            let (number, within) = (at / REGION, at % REGION);
            let end = range.end.get().min((number + 1).saturating_mul(REGION));
            let pieces = self.region(layers, number)?;
            let within = within..within + (end - at);
            if let Err(error) = in_region(&pieces, within, &mut each) {
                return Ok(Err(error));
            }
            at = end;
        }
        Ok(Ok(()))
    }

    fn region(&self, layers: &[Vhdx], number: u64) -> Result<Arc<[Piece]>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).young.get(&number).cloned();
        if let Some(pieces) = known {
            return Ok(pieces);
        }
        let old = self.0.write().unwrap_or_else(PoisonError::into_inner).old.remove(&number);
        let pieces = match old {
            Some(pieces) => pieces,
            None => resolve(layers, number)?,
        };
        self.0.write().unwrap_or_else(PoisonError::into_inner).remember(number, &pieces);
        Ok(pieces)
    }
}

impl Generations {
    fn remember(&mut self, number: u64, pieces: &Arc<[Piece]>) {
        let cost = pieces.len().saturating_add(REGION_COST);
        if self.pieces.saturating_add(cost) > GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.pieces = 0;
        }
        if self.young.insert(number, Arc::clone(pieces)).is_none() {
            self.pieces = self.pieces.saturating_add(cost);
        }
    }
}

fn resolve(layers: &[Vhdx], number: u64) -> Result<Arc<[Piece]>> {
    let size = layers.first().map_or(0, Vhdx::virtual_size);
    let start = number.saturating_mul(REGION);
    let range = DiskOffset::new(start)..DiskOffset::new(start.saturating_add(REGION).min(size));
    let mut pieces: Vec<Piece> = Vec::new();
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
        pieces.push(Piece { start, layer, offset });
    }
    Ok(pieces.into())
}

/// `within` counts from the start of the region, whose first piece begins at 0.
fn in_region(pieces: &[Piece], within: Range<u64>, each: &mut impl FnMut(Part) -> Result<()>) -> Result<()> {
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
