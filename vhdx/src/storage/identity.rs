//! Identifies files: all paths, links and spellings of one file have the same identity.

use std::fs::File;
use std::io;

/// The identity of an open file on this machine. Equal for every name of the same file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

    /// Returns the identity of an open file.
    ///
    /// # Errors
    /// The operating system's error.
    #[cfg(unix)]
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from_metadata(&file.metadata()?))
    }

    #[cfg(unix)]
    pub(super) fn from_metadata(metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { volume: metadata.dev(), file: metadata.ino() }
    }

    /// Returns the identity of an open file.
    ///
    /// # Errors
    /// The operating system's error.
    #[cfg(windows)]
    pub fn of(file: &File) -> io::Result<Self> {
        let information = winapi_util::file::information(file)?;
        Ok(Self { volume: information.volume_serial_number(), file: information.file_index() })
    }
}
