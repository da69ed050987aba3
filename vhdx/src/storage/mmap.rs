//! Read-only memory maps of files.

use std::io;
use std::path::Path;

use memmap2::Mmap;

use super::{FileIdentity, FileStorage, ReadAt};
use crate::error::{Error, Result};
use crate::units::FileOffset;

/// A regular file, mapped into memory for reading.
///
/// # Limitations
/// A failed read through a map ends the process with a signal (`SIGBUS`). Reads fail if another
/// process shortens the file, if the device fails, or if a network share disappears. Use maps only for files on a
/// reliable local disk that nobody else writes to. [`FileStorage`] reports all these failures as errors.
#[derive(Debug)]
pub struct Mapped {
    map: Mmap,
    identity: FileIdentity,
}

impl Mapped {
    /// Maps the regular file at `path`. Nobody may change or shorten it while it is mapped.
    ///
    /// # Errors
    /// As [`FileStorage::open`], and [`Error::Io`] if the file cannot be mapped.
    pub fn open(path: &Path) -> Result<Self> {
        let file = FileStorage::open(path)?;
        let identity = file.identity().map_err(|error| error.in_file(path))?;
        // SAFETY: the map is private to this value and only copied from, so no reference into it is handed out or
        // outlives a call. Nothing can keep other processes from changing the file; the documentation forbids it, and
        // the feature is off by default.
        let map = unsafe { Mmap::map(file.file()) };
        let map = map.map_err(|e| Error::io("map it into memory", None, e).in_file(path))?;
        Ok(Self { map, identity })
    }

    /// Returns the identity of this file, which is the same for all its names.
    pub fn identity(&self) -> FileIdentity {
        self.identity
    }
}

impl ReadAt for Mapped {
    fn size(&self) -> io::Result<u64> {
        ReadAt::size(&*self.map)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.map.read_exact_at(buf, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_reads_like_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"0123456789").unwrap();
        let map = Mapped::open(file.path()).unwrap();
        let mut buf = [0; 4];
        map.read_exact_at(&mut buf, FileOffset::new(6)).unwrap();
        assert_eq!((&buf, ReadAt::size(&map).unwrap()), (b"6789", 10));
        let past = map.read_exact_at(&mut buf, FileOffset::new(7)).unwrap_err();
        assert_eq!(past.kind(), io::ErrorKind::UnexpectedEof);
    }
}
