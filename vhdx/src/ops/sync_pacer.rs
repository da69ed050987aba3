//! Starts syncs early during a copy, so that the sync at its end has less to wait for.

use crate::error::{Error, Result};
use crate::storage::Storage;
use crate::units::MIB;

/// The bytes written between two early syncs: enough that a sync costs little in comparison.
const BETWEEN: u64 = 16 * MIB;

/// Counts the bytes written since the last [`begin_sync`](crate::Storage::begin_sync).
#[derive(Debug, Default)]
pub(super) struct SyncPacer(u64);

impl SyncPacer {
    /// Returns whether the next sync is due after `len` more bytes were written.
    pub(super) fn is_due(&mut self, len: u64) -> bool {
        self.0 = self.0.saturating_add(len); // no more than "due" is asked for
        let is_due = self.0 >= BETWEEN;
        if is_due {
            self.0 = 0;
        }
        is_due
    }

    /// Begins to sync `storage`, to which `len` more bytes were written, if a sync is due.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn begin_sync(&mut self, storage: &dyn Storage, len: u64) -> Result<()> {
        match self.is_due(len) {
            true => storage.begin_sync().map_err(|error| Error::io("sync", None, error)),
            false => Ok(()),
        }
    }
}
