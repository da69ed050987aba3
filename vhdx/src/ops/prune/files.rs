//! Access to the files of a prune.

use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};
use crate::ops::merge::{HostFiles, MergeFiles, has_other_names};
use crate::storage::{self, IfExists, NewFile, Storage};
use crate::units::FileOffset;

/// The most bytes of a journal that are read: 255 files with long paths.
const MAX_JOURNAL: u64 = 4 << 20;

/// Access to the files of a prune.
pub trait PruneFiles: MergeFiles + Sync {
    /// Writes a small file durably, or not at all. It replaces the old one.
    ///
    /// # Errors
    /// Those of the host.
    fn write_journal(&self, path: &Path, bytes: &[u8]) -> Result<()>;

    /// Reads a file that [`write_journal`](Self::write_journal) has written.
    ///
    /// # Errors
    /// Those of the host.
    fn read_journal(&self, path: &Path) -> Result<Vec<u8>>;

    /// Deletes a file that [`write_journal`](Self::write_journal) has written. It may exist again after a power failure.
    ///
    /// # Errors
    /// Those of the host.
    fn delete_journal(&self, path: &Path) -> Result<()>;

    /// Returns whether a file has other names, as copies by hard links have.
    ///
    /// # Errors
    /// Those of the host.
    fn has_other_names(&self, path: &Path) -> Result<bool> {
        let _ = path;
        Ok(false)
    }
}

impl PruneFiles for HostFiles {
    fn write_journal(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let file = NewFile::create(path, IfExists::Replace)?;
        let start = FileOffset::new(0);
        file.write_all_at(bytes, start).map_err(|error| Error::io("write", start, error).in_file(path))?;
        file.commit()
    }

    fn read_journal(&self, path: &Path) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(MAX_JOURNAL).read_to_end(&mut bytes));
        read.map(|_| bytes).map_err(|error| Error::io("read", None, error).in_file(path))
    }

    fn delete_journal(&self, path: &Path) -> Result<()> {
        storage::delete(path).map_err(|error| Error::io("delete", None, error).in_file(path))
    }

    fn has_other_names(&self, path: &Path) -> Result<bool> {
        has_other_names(path).map_err(|error| Error::io("count the names of", None, error).in_file(path))
    }
}
