//! Paces the writes of a copy: one thread writes data at a time, and syncs start early, so that the last one is short.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::storage::Storage;
use crate::units::MIB;

/// The bytes written between two early syncs: enough that a sync costs little in comparison.
const BETWEEN: u64 = 16 * MIB;

/// Counts the bytes written since the last [`begin_sync`](crate::Storage::begin_sync), and lets one thread write at a
/// time.
#[derive(Debug, Default)]
pub(super) struct SyncPacer {
    written: AtomicU64,
    turn: Mutex<()>,
}

impl SyncPacer {
    /// Returns whether the next sync is due after `len` more bytes were written.
    ///
    /// If several threads write, one of them is told.
    pub(super) fn is_due(&self, len: u64) -> bool {
        // Wrapping after 2^64 bytes would only make one sync early or late.
        let before = self.written.fetch_add(len, Ordering::Relaxed);
        before / BETWEEN != before.wrapping_add(len) / BETWEEN
    }

    /// Waits until no other thread writes.
    ///
    /// File systems lock a file during each write, and a thread that waits for that lock keeps its processor busy. A
    /// thread that waits here does not.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
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
