//! A shared lock on a file that is already open for reading.

use std::fs::File;
use std::io;
use std::sync::OnceLock;

use super::host;

/// A lock that keeps writers out of a file until the file is unlocked, if the host has locks.
#[derive(Debug, Default)]
pub(super) struct SharedLock {
    /// Set when the lock is held. On Windows it is a second handle, which does not share the file with writers.
    held: OnceLock<Option<File>>,
}

impl SharedLock {
    /// Takes the lock, if it is not held already.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`], or a sharing violation on Windows, if a writer has the file open. After an error
    /// nothing is locked.
    pub(super) fn take(&self, file: &File) -> io::Result<()> {
        if self.is_held() {
            return Ok(());
        }
        // Part of the lock may be held when the rest fails.
        let held = host::hold_shared(file).inspect_err(|_| host::unlock(file))?;
        let _ = self.held.set(held); // if it is set, another thread has taken the same lock
        Ok(())
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.get().is_some()
    }
}
