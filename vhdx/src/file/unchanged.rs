//! Protects a file that is being read against writers: locks it, and detects changes.

use super::Vhdx;
use super::load::load_header;
use crate::error::{FileChange, Result};
use crate::storage::{Measured, OnWriter};
use crate::violation::Violations;

impl Vhdx {
    /// Locks the file against writers until it is closed.
    ///
    /// Returns whether a writer holds it, which only [`OnWriter::ReadAnyway`] allows.
    ///
    /// # Errors
    /// As [`Chain::lock_shared`](crate::Chain::lock_shared).
    pub(crate) fn lock_shared(&self, on_writer: OnWriter) -> Result<bool> {
        self.guard.lock(&*self.raw, on_writer).map_err(|error| self.in_file(error))
    }

    /// Ensures that the file has not changed since it was opened.
    ///
    /// Compares the length, the current header and the modification time.
    ///
    /// # Errors
    /// As [`Chain::ensure_unchanged`](crate::Chain::ensure_unchanged).
    pub(crate) fn ensure_unchanged(&self) -> Result<()> {
        let compare_headers = |raw: &Measured<'_>| {
            let before = &self.header;
            let (_, after) = load_header(raw, &mut Violations::new())?;
            if after.file_write_guid != before.file_write_guid {
                let (before, after) = (before.file_write_guid, after.file_write_guid);
                return Err(FileChange::FileWriteGuid { before, after }.into());
            }
            match after == *before {
                true => Ok(()),
                false => {
                    let (before, after) = (before.sequence_number, after.sequence_number);
                    Err(FileChange::Header { before, after }.into())
                }
            }
        };
        self.guard.ensure_unchanged(&*self.raw, compare_headers).map_err(|error| self.in_file(error))
    }
}
