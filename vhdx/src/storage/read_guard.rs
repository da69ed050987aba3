//! Protects the reader of a file from writers: by a shared lock if the host has locks, and by a comparison at the end.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use super::{Measured, ReadAt};
use crate::error::{Error, FileChange, Result};

/// What a reader does if another program has the file open for writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnWriter {
    /// The reader takes a shared lock, and fails if a writer holds the file.
    #[default]
    Fail,
    /// The reader takes a shared lock if it can. If a writer holds the file, the reader uses no lock, and may get a mix
    /// of old and new data.
    ReadAnyway,
}

/// The state of a file when it was opened.
#[derive(Debug)]
pub(crate) struct ReadGuard {
    len: u64,
    /// The time of the last change, if the storage is a file and the host reports it.
    modified: Option<SystemTime>,
    /// Whether the reader has accepted a writer.
    has_writer: AtomicBool,
}

impl ReadGuard {
    /// Records the state of a storage before it is read.
    pub(crate) fn new(storage: &dyn ReadAt) -> Result<Self> {
        let (len, modified) = state(storage)?;
        Ok(Self { len, modified, has_writer: AtomicBool::new(false) })
    }

    /// Returns the storage with the length that it had when it was opened.
    pub(crate) fn measured<'a>(&self, storage: &'a dyn ReadAt) -> Measured<'a> {
        Measured { storage, len: self.len }
    }

    /// Returns the length in bytes when the storage was opened.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Locks the storage against writers.
    ///
    /// Returns whether a writer holds it, which only [`OnWriter::ReadAnyway`] allows.
    ///
    /// # Errors
    /// [`Error::Io`] with the operation `lock`.
    pub(crate) fn lock(&self, storage: &dyn ReadAt, on_writer: OnWriter) -> Result<bool> {
        match storage.lock_shared() {
            Ok(()) => Ok(false),
            Err(error)
                if on_writer == OnWriter::ReadAnyway && error.kind() == io::ErrorKind::ResourceBusy =>
            {
                self.has_writer.store(true, Ordering::Relaxed);
                Ok(true)
            }
            Err(error) => Err(Error::io("lock", None, error)),
        }
    }

    /// Checks that the storage has not changed since it was opened.
    ///
    /// `compare_content` detects the changes that the length and the time do not show.
    ///
    /// # Errors
    /// [`Conflict::Changed`](crate::Conflict::Changed), [`Error::Io`].
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
        // A writer that the reader has accepted may change the time at any moment.
        let has_writer = self.has_writer.load(Ordering::Relaxed);
        if modified != self.modified && !has_writer {
            return Err(FileChange::Modified.into());
        }
        Ok(())
    }
}

/// Returns the length of a storage and the time of its last change.
fn state(storage: &dyn ReadAt) -> Result<(u64, Option<SystemTime>)> {
    let measure = || match storage.as_file() {
        Some(file) => {
            let metadata = file.metadata()?;
            Ok((metadata.len(), metadata.modified().ok()))
        }
        None => Ok((storage.size()?, None)),
    };
    measure().map_err(|error: io::Error| Error::io("get its size and time of last change", None, error))
}
