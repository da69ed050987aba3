//! Which file a path really names: two paths, links or spellings of one file have one identity.

use std::fs::File;
use std::io;

/// The identity of an open file on this machine. Equal for every name of the same file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileIdentity {
    volume: u64,
    file: u64,
}

impl FileIdentity {
    /// Files of different file systems differ in this.
    pub(crate) const fn volume(self) -> u64 {
        self.volume
    }

    /// The identity of an open file.
    ///
    /// # Errors
    /// Whatever the operating system says.
    #[cfg(unix)]
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from_metadata(&file.metadata()?))
    }

    #[cfg(unix)]
    pub(super) fn from_metadata(metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { volume: metadata.dev(), file: metadata.ino() }
    }

    /// The identity of an open file.
    ///
    /// # Errors
    /// Whatever the operating system says.
    #[cfg(windows)]
    pub fn of(file: &File) -> io::Result<Self> {
        let information = winapi_util::file::information(file)?;
        Ok(Self { volume: information.volume_serial_number(), file: information.file_index() })
    }
}
