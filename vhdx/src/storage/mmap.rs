//! A file mapped into memory, read-only.

use std::io;
use std::path::Path;

use memmap2::Mmap;

use super::{FileIdentity, FileStorage, ReadAt};
use crate::error::{Error, Result};
use crate::units::FileOffset;

/// A regular file, mapped into memory for reading.
///
/// # What a map cannot do
/// A read that fails below a map is no error but a signal that ends the process (`SIGBUS`): when another process cuts
/// the file short, when the medium fails, when a network share goes away. Use it for files on a sound local disk which
/// nobody else writes to; [`FileStorage`] turns all of these into errors.
#[derive(Debug)]
pub struct Mapped {
    map: Mmap,
    identity: FileIdentity,
}

impl Mapped {
    /// Maps the regular file at `path`. Nobody may change or shorten it while it is mapped.
    ///
    /// # Errors
    /// As [`FileStorage::open`], and [`Error::Io`] when the file cannot be mapped.
    pub fn open(path: &Path) -> Result<Self> {
        let file = FileStorage::open(path)?;
        let identity = file.identity().map_err(|error| error.in_file(path))?;
        // SAFETY: the map is private to this value and only ever copied from, so no reference into it outlives a call
        // or is handed out. That no other process changes the file meanwhile cannot be enforced; the documentation
        // demands it, and the feature is off by default.
        let map = unsafe { Mmap::map(file.file()) };
        let map = map.map_err(|e| Error::io("map", None, e).in_file(path))?;
        Ok(Self { map, identity })
    }

    /// Which file this is, whatever it was opened as.
    pub fn identity(&self) -> FileIdentity {
        self.identity
    }
}

impl ReadAt for Mapped {
    fn len(&self) -> io::Result<u64> {
        ReadAt::len(&*self.map)
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
        assert_eq!((&buf, ReadAt::len(&map).unwrap()), (b"6789", 10));
        let past = map.read_exact_at(&mut buf, FileOffset::new(7)).unwrap_err();
        assert_eq!(past.kind(), io::ErrorKind::UnexpectedEof);
    }
}
