//! Copies the content of a batch from the merged layers to the target. Nothing else in a merge copies data.
//!
//! Several threads copy. Until the batch is committed, nobody reads the places that they write to: nothing points there,
//! or the merged layers answer for the sectors. So their order does not matter. The caller commits the batch only after
//! all of them have ended, and only if none has failed.

use super::batch::Batch;
use super::batches::BatchInputs;
use super::copy_units::{ChangedBits, CopyUnit, CopyUnits};
use super::pieces::{Content, CopyPiece};
use crate::disk::{announce_by_layer, read_by_layer};
use crate::error::{Bounded, Error, Guaranteed, Result, in_memory};
use crate::file::{Extent, Source, Vhdx, VhdxMut};
use crate::ops::sync_pacer::SyncPacer;
use crate::progress::{NoProgress, Progress};
use crate::storage::ReadHint;
use crate::transfer::{Weight, Workers, announced, in_any_order};
use crate::units::FileOffset;

/// Copies from the merged layers to the target.
pub(super) struct Copier<'a> {
    merged: &'a [Vhdx],
    inputs: &'a BatchInputs,
    workers: Workers,
    pace: SyncPacer,
    progress: &'a dyn Progress,
}

impl<'a> Copier<'a> {
    pub(super) fn new(merged: &'a [Vhdx], inputs: &'a BatchInputs, progress: &'a dyn Progress) -> Self {
        let hint = ReadHint::of_all(merged.iter().map(|layer| layer.storage().hint()));
        let workers = Workers::new(inputs.options.jobs, &hint, 1);
        Self { merged, inputs, workers, pace: SyncPacer::default(), progress }
    }

    /// Copies a batch, and returns the sectors of each of its blocks that the target holds afterwards.
    pub(super) fn copy(&self, target: &VhdxMut, batch: &Batch) -> Result<Vec<ChangedBits>> {
        let mut bits = Vec::new();
        let units = CopyUnits::new(self.merged, self.inputs, target, batch, self.workers.batch, &mut bits);
        let units = announced(units, |unit: &CopyUnit| self.announce(unit));
        // A batch is not cancelled half-way: it would be lost.
        in_any_order(self.workers, units, &NoProgress, |unit: CopyUnit, buffer: &mut [u8]| {
            self.copy_unit(target, &unit, buffer)?;
            self.progress.advance(unit.copied);
            if self.pace.is_due(unit.written) { target.begin_sync() } else { Ok::<(), Error>(()) }
        })?;
        Ok(bits)
    }

    /// Announces the reads of a unit, without those of pieces that the storage may share.
    fn announce(&self, unit: &CopyUnit) -> Weight {
        let short = |extent: &Extent| self.fits_into_buffer(extent);
        let extents: Vec<Extent> = unit.pieces.iter().filter_map(copied_extent).filter(short).collect();
        announce_by_layer(self.merged, &extents);
        Weight::new(unit.copied, unit.pieces.len())
    }

    fn copy_unit(&self, target: &VhdxMut, unit: &CopyUnit, buffer: &mut [u8]) -> Result<()> {
        let mut short = Vec::new();
        for piece in &unit.pieces {
            match copied_extent(piece) {
                Some(extent) if self.fits_into_buffer(&extent) => short.push((extent, piece.to)),
                Some(extent) => self.copy_long(target, &extent, piece, buffer)?,
                None if piece.content == Content::Zeros => target.put_zeros(piece.to, piece.len)?,
                None => {}
            }
        }
        self.copy_short(target, &short, buffer)
    }

    fn fits_into_buffer(&self, extent: &Extent) -> bool {
        extent.len <= self.workers.batch as u64
    }

    /// Copies a piece that does not fit into the buffer. The storage may share it between the files.
    fn copy_long(
        &self,
        target: &VhdxMut,
        extent: &Extent,
        piece: &CopyPiece,
        buffer: &mut [u8],
    ) -> Result<()> {
        let Source::Data { layer, offset } = extent.source else { return Ok(()) };
        // If this fails, the loop finds out why, and in which of the files.
        if target.put_from(&self.merged[layer], offset, piece.to, piece.len).is_ok() {
            return Ok(());
        }
        for start in (0..piece.len).step_by(self.workers.batch) {
            let from = extent.start.plus(start)?;
            let end = from.plus(self.workers.batch as u64)?;
            let part = extent.clip(&(from..end)).guaranteed("a part of an extent is in it")?;
            self.copy_short(target, &[(part, piece.to.plus(start)?)], buffer)?;
        }
        Ok(())
    }

    /// Reads all of several pieces, and writes those that are neighbours in the target with one call.
    fn copy_short(&self, target: &VhdxMut, pieces: &[(Extent, FileOffset)], buffer: &mut [u8]) -> Result<()> {
        let extents: Vec<Extent> = pieces.iter().map(|(extent, _)| *extent).collect();
        let len = extents.iter().try_fold(0, |sum: u64, extent| sum.plus(extent.len))?;
        let bytes = buffer.get_mut(..in_memory(len)?).guaranteed("a unit fits into the buffer")?;
        read_by_layer(self.merged, &extents, bytes)?;
        let _turn = self.pace.turn();
        let mut rest = &*bytes;
        let mut pieces = pieces.iter().peekable();
        while let Some((extent, to)) = pieces.next() {
            let mut len = extent.len;
            while let Some((next, _)) = pieces.next_if(|(_, next)| to.checked_add(len) == Some(*next)) {
                len = len.plus(next.len)?;
            }
            let (now, later) = rest.split_at_checked(in_memory(len)?).guaranteed("the pieces were read")?;
            target.put(now, *to)?;
            rest = later;
        }
        Ok(())
    }
}

/// Returns the source of a piece that is copied.
fn copied_extent(piece: &CopyPiece) -> Option<Extent> {
    let Content::Copy { layer, offset } = piece.content else { return None };
    Some(Extent { start: piece.start, len: piece.len, source: Source::Data { layer, offset } })
}
