//! Protects a file that is read from writers: a shared lock where the host has locks, and a comparison at the end.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use super::{Measured, ReadAt};
use crate::error::{Error, FileChange, Result};

/// How a reader treats a file that another program writes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// The reader takes a shared lock, and is refused a file that a writer holds.
    #[default]
    Locked,
    /// The reader takes a shared lock if it can, and reads a file that a writer holds without one. What it reads may be
    /// a mix of old and new data.
    Forced,
}

/// What a file looked like when it was opened.
#[derive(Debug)]
pub(crate) struct ReadGuard {
    len: u64,
    /// When the file was last changed, if it is a file and the host says so.
    modified: Option<SystemTime>,
    /// Whether the reader has accepted a writer.
    has_writer: AtomicBool,
}

impl ReadGuard {
    /// Looks at a storage before it is read.
    pub(crate) fn new(storage: &dyn ReadAt) -> Result<Self> {
        let (len, modified) = state(storage)?;
        Ok(Self { len, modified, has_writer: AtomicBool::new(false) })
    }

    /// The storage with the length that it had.
    pub(crate) fn measured<'a>(&self, storage: &'a dyn ReadAt) -> Measured<'a> {
        Measured { storage, len: self.len }
    }

    /// The length in bytes when the storage was opened.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Locks the storage against writers. Returns whether a writer holds it, which only [`Sharing::Forced`] allows.
    ///
    /// # Errors
    /// [`Error::Io`] with the operation `lock`.
    pub(crate) fn lock(&self, storage: &dyn ReadAt, sharing: Sharing) -> Result<bool> {
        match storage.lock_shared() {
            Ok(()) => Ok(false),
            Err(error) if sharing == Sharing::Forced && error.kind() == io::ErrorKind::ResourceBusy => {
                self.has_writer.store(true, Ordering::Relaxed);
                Ok(true)
            }
            Err(error) => Err(Error::io("lock", None, error)),
        }
    }

    /// Compares the storage with what it was. `compare_content` compares what the length and the times do not tell.
    ///
    /// # Errors
    /// [`Error::Changed`], [`Error::Io`].
    pub(crate) fn ensure_unchanged(
        &self,
        storage: &dyn ReadAt,
        compare_content: impl FnOnce(&Measured<'_>) -> Result<()>,
    ) -> Result<()> {
        let (len, modified) = state(storage)?;
        if len != self.len {
            return Err(FileChange::Length { before: self.len, after: len }.into());
        }
        compare_content(&self.measured(storage))?;
        // A writer that was accepted writes all the time.
        let has_writer = self.has_writer.load(Ordering::Relaxed);
        if modified != self.modified && !has_writer {
            return Err(FileChange::Modified.into());
        }
        Ok(())
    }
}

/// The length of a storage, and when it was changed.
fn state(storage: &dyn ReadAt) -> Result<(u64, Option<SystemTime>)> {
    let measure = || match storage.as_file() {
        Some(file) => {
            let metadata = file.metadata()?;
            Ok((metadata.len(), metadata.modified().ok()))
        }
        None => Ok((storage.len()?, None)),
    };
    measure().map_err(|error: io::Error| Error::io("measure", None, error))
}
