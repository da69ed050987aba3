//! Copies data from the merged layers to the target. Nothing else in a merge copies data.

use super::pieces::{Content, CopyPiece};
use crate::error::{Bounded, Result};
use crate::file::{Vhdx, VhdxMut};
use crate::ops::sync_pacer::SyncPacer;
use crate::storage::{Buffer, read_into};
use crate::units::{FileOffset, MIB};

/// The length of the copy buffer in bytes.
///
/// A longer piece is first offered to the storage, which may share it between the files.
const BUFFER: usize = MIB as usize;

/// Copies from the merged layers to the target.
///
/// Until a commit, nobody reads the places that it writes to: nothing points there, or the merged layers answer for the
/// sectors.
pub(super) struct Copier<'a> {
    merged: &'a [Vhdx],
    buffer: Buffer,
    pace: SyncPacer,
}

impl<'a> Copier<'a> {
    pub(super) fn new(merged: &'a [Vhdx]) -> Self {
        Self { merged, buffer: Buffer::new(BUFFER), pace: SyncPacer::default() }
    }

    pub(super) fn merged(&self) -> &'a [Vhdx] {
        self.merged
    }

    pub(super) fn write(&mut self, target: &VhdxMut, piece: &CopyPiece) -> Result<()> {
        match piece.content {
            Content::Nothing => return Ok(()),
            Content::Zeros => target.put_zeros(piece.to, piece.len)?,
            Content::Copy { layer, offset } => self.copy(target, layer, offset, piece)?,
        }
        if self.pace.is_due(piece.len) { target.begin_sync() } else { Ok(()) }
    }

    fn copy(&mut self, target: &VhdxMut, layer: usize, from: FileOffset, piece: &CopyPiece) -> Result<()> {
        let layer = &self.merged[layer];
        // If this fails, the loop finds out why, and in which of the files.
        if piece.len > BUFFER as u64 && target.put_from(layer, from, piece.to, piece.len).is_ok() {
            return Ok(());
        }
        for start in (0..piece.len).step_by(BUFFER) {
            let len = usize::try_from(piece.len - start).map_or(BUFFER, |left| left.min(BUFFER));
            let buffer = &mut self.buffer[..len];
            read_into(layer.storage(), buffer, from.plus(start)?).map_err(|e| layer.in_file(e))?;
            target.put(buffer, piece.to.plus(start)?)?;
        }
        Ok(())
    }
}
