//! A shared lock on a file that is open for reading already.

use std::fs::File;
use std::io;
use std::sync::OnceLock;

use super::file::host;

/// Keeps writers from a file until it is released, where the host can.
#[derive(Debug, Default)]
pub(super) struct SharedLock {
    /// Set once the lock is held. On Windows it is another handle of the file that does not share it with writers.
    held: OnceLock<Option<File>>,
}

impl SharedLock {
    /// Takes the lock, if it is not held already.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] and what [`host`] calls busy, when a writer has the file open. Nothing is locked then.
    pub(super) fn take(&self, file: &File) -> io::Result<()> {
        if self.is_held() {
            return Ok(());
        }
        // A part of the lock may be held when the rest is refused.
        let held = host::hold_shared(file).inspect_err(|_| host::unlock(file))?;
        let _ = self.held.set(held); // another thread took the same lock
        Ok(())
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.get().is_some()
    }
}
