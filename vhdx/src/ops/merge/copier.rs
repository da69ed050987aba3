//! The one place where a merge moves data.

use super::pieces::{Content, Piece};
use crate::error::Result;
use crate::file::{Vhdx, VhdxMut};
use crate::storage::read_into;
use crate::units::{FileOffset, MIB};

/// What is longer than this, in bytes, is left to the storage, which may share it between the files.
const BUFFER: usize = MIB as usize;
/// After how many bytes the medium is given work, so that a commit need not wait for all of it.
const EARLY_SYNC: u64 = 16 * MIB;

/// Copies from the merged layers to the target, to places that are read by nobody before a commit, or that hold what
/// nobody reads because the merged layers answer for it.
pub(super) struct Copier<'a> {
    merged: &'a [Vhdx],
    buffer: Vec<u8>,
    /// How much was written since the target was last told to sync early.
    unsynced: u64,
}

impl<'a> Copier<'a> {
    pub(super) fn new(merged: &'a [Vhdx]) -> Self {
        Self { merged, buffer: vec![0; BUFFER], unsynced: 0 }
    }

    pub(super) fn merged(&self) -> &'a [Vhdx] {
        self.merged
    }

    pub(super) fn write(&mut self, target: &VhdxMut, piece: &Piece) -> Result<()> {
        match piece.content {
            Content::Nothing => return Ok(()),
            Content::Zeros => target.put_zeros(piece.to, piece.len)?,
            Content::Copy { layer, offset } => self.copy(target, layer, offset, piece)?,
        }
        self.unsynced = self.unsynced.saturating_add(piece.len);
        if self.unsynced >= EARLY_SYNC {
            self.unsynced = 0;
            target.begin_sync()?;
        }
        Ok(())
    }

    fn copy(&mut self, target: &VhdxMut, layer: usize, from: FileOffset, piece: &Piece) -> Result<()> {
        let layer = &self.merged[layer];
        // If it fails, the loop below finds out why, and in which of the files.
        if piece.len > BUFFER as u64 && target.put_from(layer, from, piece.to, piece.len).is_ok() {
            return Ok(());
        }
        for start in (0..piece.len).step_by(BUFFER) {
            let len = usize::try_from(piece.len - start).map_or(BUFFER, |left| left.min(BUFFER));
            let buffer = &mut self.buffer[..len];
            read_into(layer.storage(), buffer, from.saturating_add(start)).map_err(|e| layer.in_file(e))?;
            target.put(buffer, piece.to.saturating_add(start))?;
        }
        Ok(())
    }
}
