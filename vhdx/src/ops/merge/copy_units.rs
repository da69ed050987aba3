//! Cuts the pieces of a batch into units that one thread copies at once.

use std::iter::Peekable;

use super::batch::Batch;
use super::batches::BatchInputs;
use super::block::{BitChange, BlockPlan};
use super::pieces::{Content, CopyPiece, pieces};
use crate::error::{Bounded, Result};
use crate::file::{DiskType, SectorBits, Vhdx, VhdxMut};

/// The most pieces of a unit.
const MOST_PIECES: usize = 512;

/// Pieces of a batch in the order of the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CopyUnit {
    pub(super) pieces: Vec<CopyPiece>,
    /// The bytes that are read from the merged layers.
    pub(super) copied: u64,
    /// The bytes that are written, data and zeros.
    pub(super) written: u64,
}

/// The sectors of a block that the target holds after the batch; `None` if they are not stored.
pub(super) type ChangedBits = Option<SectorBits>;

/// An iterator over the units of a batch. It ends after an error.
///
/// It also prepares the places of new blocks, before it returns their first unit.
pub(super) struct CopyUnits<'a> {
    merged: &'a [Vhdx],
    inputs: &'a BatchInputs,
    target: &'a VhdxMut,
    blocks: std::slice::Iter<'a, BlockPlan>,
    current: Option<Current<'a>>,
    /// The most bytes that are read for a unit, unless it is a single piece.
    most: u64,
    /// Receives the bits of each block, in order.
    bits: &'a mut Vec<ChangedBits>,
}

struct Current<'a> {
    pieces: Peekable<Box<dyn Iterator<Item = Result<CopyPiece>> + Send + 'a>>,
    bits: ChangedBits,
}

impl<'a> CopyUnits<'a> {
    pub(super) fn new(
        merged: &'a [Vhdx],
        inputs: &'a BatchInputs,
        target: &'a VhdxMut,
        batch: &'a Batch,
        most: usize,
        bits: &'a mut Vec<ChangedBits>,
    ) -> Self {
        Self { merged, inputs, target, blocks: batch.blocks.iter(), current: None, most: most as u64, bits }
    }

    fn begin(&self, block: &BlockPlan) -> Result<Current<'a>> {
        if block.is_new_place() {
            make_zero(self.target, block, self.inputs.geometry.block_size())?;
        }
        let bits = match block.bits() {
            BitChange::None => None,
            BitChange::Set => Some(self.target.sector_bits(block.block)?),
            BitChange::Replace => Some(self.target.clear_bits()?),
        };
        let pieces: Box<dyn Iterator<Item = _> + Send> = Box::new(pieces(self.merged, self.inputs, block));
        Ok(Current { pieces: pieces.peekable(), bits })
    }

    /// Returns the next piece, if it can be added to the unit.
    fn next_piece(&mut self, unit: &CopyUnit) -> Result<Option<CopyPiece>> {
        loop {
            let Some(current) = &mut self.current else {
                let Some(block) = self.blocks.next() else { return Ok(None) };
                self.current = Some(self.begin(block)?);
                continue;
            };
            let is_too_long = |piece: &Result<CopyPiece>| {
                piece.as_ref().is_ok_and(|piece| {
                    unit.copied.checked_add(copied(piece)).is_none_or(|sum| sum > self.most)
                })
            };
            if unit.pieces.len() >= MOST_PIECES
                || !unit.pieces.is_empty() && current.pieces.peek().is_some_and(is_too_long)
            {
                return Ok(None);
            }
            if let Some(piece) = current.pieces.next().transpose()? {
                if let Some(bits) = &mut current.bits {
                    bits.set(self.target.sectors(&(piece.start..piece.start.plus(piece.len)?))?)?;
                }
                return Ok(Some(piece));
            }
            let done = self.current.take();
            self.bits.push(done.and_then(|done| done.bits));
        }
    }

    fn next_unit(&mut self) -> Result<CopyUnit> {
        let mut unit = CopyUnit::default();
        while let Some(piece) = self.next_piece(&unit)? {
            unit.copied = unit.copied.plus(copied(&piece))?;
            if piece.content != Content::Nothing {
                unit.written = unit.written.plus(piece.len)?;
            }
            unit.pieces.push(piece);
        }
        Ok(unit)
    }
}

impl Iterator for CopyUnits<'_> {
    type Item = Result<CopyUnit>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_unit().map(|unit| (!unit.pieces.is_empty()).then_some(unit)).transpose()
    }
}

fn copied(piece: &CopyPiece) -> u64 {
    match piece.content {
        Content::Copy { .. } => piece.len,
        Content::Zeros | Content::Nothing => 0,
    }
}

/// Makes a new place read as zeros. A fixed disk reserves its space, other disks keep holes.
fn make_zero(target: &VhdxMut, block: &BlockPlan, block_size: u64) -> Result<()> {
    match target.vhdx().disk_type() {
        DiskType::Fixed => target.put_zeros(block.place, block_size),
        _ if block.is_fresh => Ok(()),
        _ => target.put_hole(block.place, block_size),
    }
}
