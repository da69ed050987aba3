//! Opens files by path: those of the host, or of another place.

use std::path::Path;

use super::{FileStorage, ReadAt};
use crate::error::Result;

/// A place with files that are opened by path, for reading.
///
/// [`FilesOfHost`] are the files of the host. Implement this trait for files in other places.
pub trait OpenFiles: Sync {
    /// Opens a file.
    ///
    /// # Errors
    /// As [`FileStorage::open`].
    fn open(&self, path: &Path) -> Result<Box<dyn ReadAt>>;
}

/// The files of the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct FilesOfHost;

impl OpenFiles for FilesOfHost {
    fn open(&self, path: &Path) -> Result<Box<dyn ReadAt>> {
        Ok(Box::new(FileStorage::open(path)?))
    }
}
