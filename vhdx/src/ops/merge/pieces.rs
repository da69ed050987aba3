//! Turns the plan of a block into single writes.

use super::batches::BatchInputs;
use super::block::{BlockAction, BlockPlan};
use crate::error::{Bounded, Result};
use crate::file::{Extent, Extents, Source, Vhdx};
use crate::units::{DiskOffset, FileOffset};

/// A run of sectors that the merged layers answer for, and the source of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CopyPiece {
    /// The first byte on the disk.
    pub(super) start: DiskOffset,
    /// The length in bytes.
    pub(super) len: u64,
    /// Its offset in the file of the target.
    pub(super) to: FileOffset,
    /// Its content.
    pub(super) content: Content,
}

/// The content of a [`CopyPiece`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Bytes from the file of a merged layer.
    Copy {
        /// The layer; 0 is the leaf.
        layer: usize,
        /// The offset of the first byte in the file of that layer.
        offset: FileOffset,
    },
    /// Zeros, written over existing content.
    Zeros,
    /// Zeros that need not be written. The place is new and reads as zeros already.
    Nothing,
}

/// Returns the pieces of a block in disk order. The iterator ends after an error.
pub(super) fn pieces<'a>(
    merged: &'a [Vhdx],
    inputs: &BatchInputs,
    plan: &BlockPlan,
) -> impl Iterator<Item = Result<CopyPiece>> + use<'a> {
    let (plan, BatchInputs { geometry, virtual_size, .. }) = (*plan, inputs);
    let start = geometry.block_start(plan.block);
    let end = match plan.action {
        BlockAction::Zero => start,
        _ => geometry.block_end(plan.block).min(DiskOffset::new(*virtual_size)),
    };
    Extents::new(merged, start..end)
        .filter_map(move |extent| extent.and_then(|extent| piece(&plan, start, &extent)).transpose())
}

fn piece(plan: &BlockPlan, block_start: DiskOffset, extent: &Extent) -> Result<Option<CopyPiece>> {
    let content = match extent.source {
        Source::Unallocated => return Ok(None),
        Source::Data { layer, offset } => Content::Copy { layer, offset },
        Source::Zero { .. } if plan.is_new_place() => Content::Nothing,
        Source::Zero { .. } => Content::Zeros,
    };
    let to = plan.place.plus(extent.start.minus(block_start)?)?;
    Ok(Some(CopyPiece { start: extent.start, len: extent.len, to, content }))
}
