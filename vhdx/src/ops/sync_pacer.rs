//! Starts syncs early during a copy, so that the sync at its end has less to wait for.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::storage::Storage;
use crate::units::MIB;

/// The bytes written between two early syncs: enough that a sync costs little in comparison.
const BETWEEN: u64 = 16 * MIB;

/// Counts the bytes written since the last [`begin_sync`](crate::Storage::begin_sync).
#[derive(Debug, Default)]
pub(super) struct SyncPacer(AtomicU64);

impl SyncPacer {
    /// Returns whether the next sync is due after `len` more bytes were written.
    ///
    /// If several threads write, one of them is told.
    pub(super) fn is_due(&self, len: u64) -> bool {
        // Wrapping after 2^64 bytes would only make one sync early or late.
        let before = self.0.fetch_add(len, Ordering::Relaxed);
        before / BETWEEN != before.wrapping_add(len) / BETWEEN
    }

    /// Begins to sync `storage`, to which `len` more bytes were written, if a sync is due.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn begin_sync(&self, storage: &dyn Storage, len: u64) -> Result<()> {
        match self.is_due(len) {
            true => storage.begin_sync().map_err(|error| Error::io("sync", None, error)),
            false => Ok(()),
        }
    }
}
