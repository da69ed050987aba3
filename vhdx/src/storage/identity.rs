//! Identifies files: all paths, links and spellings of one file have the same identity.

use std::fs::File;
use std::io;

use super::host;

/// The identity of an open file on this machine. Equal for every name of the same file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct FileIdentity {
    volume: u64,
    file: u64,
}

impl FileIdentity {
    /// Returns the number of the file's volume.
    ///
    /// Files on different file systems have different numbers.
    pub(crate) const fn volume(self) -> u64 {
        self.volume
    }

    pub(super) const fn new(volume: u64, file: u64) -> Self {
        Self { volume, file }
    }

    /// Returns the identity of an open file.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn of(file: &File) -> io::Result<Self> {
        let (volume, file) = host::identity(file)?;
        Ok(Self::new(volume, file))
    }
}
