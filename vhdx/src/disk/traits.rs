//! Defines [`Disk`], the common interface of chains and raw images, so that both can be compared and converted.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::chain::Chain;
use super::read_extents::{announce_all, announce_by_layer, each_buffer, read_all, read_by_layer};
use crate::error::{Bounded, Error, Result};
use crate::file::{Extent, Source, ensure_on_disk, range_on_disk};
use crate::storage::{FileIdentity, FileStorage, OnWriter, ReadAt, ReadGuard, ReadHint, read_into};
use crate::units::{DiskOffset, FileOffset};

/// A readable disk in any format.
pub trait Disk: Send + Sync {
    /// Returns the size in bytes.
    fn virtual_size(&self) -> u64;

    /// Returns the logical sector size in bytes: 512 or 4096.
    fn logical_sector_size(&self) -> u32;

    /// Returns an iterator over the places of the bytes of `range`, sorted and without gaps.
    ///
    /// The iterator ends after an error, such as [`PastEndOfDisk`](crate::InvalidArgument::PastEndOfDisk) for a range
    /// that is not within the disk, and [`RangeReversed`](crate::InvalidArgument::RangeReversed) for one that ends
    /// before its start.
    fn extents(&self, range: Range<DiskOffset>) -> Box<dyn Iterator<Item = Result<Extent>> + Send + '_>;

    /// Fills `buf` with the bytes of the disk from `offset` on.
    ///
    /// # Errors
    /// [`PastEndOfDisk`](crate::InvalidArgument::PastEndOfDisk), [`Error::Io`] and [`Error::Corrupt`].
    fn read_exact_at(&self, buf: &mut [u8], offset: DiskOffset) -> Result<()>;

    /// Fills `buf` with the bytes of extents that [`extents`](Self::extents) of this disk has returned, or of parts of
    /// them, one after the other. Their lengths add up to that of `buf`.
    ///
    /// A disk that is faster when it knows many ranges at once overrides this default, which reads them in turn.
    ///
    /// # Errors
    /// Those of [`read_exact_at`](Self::read_exact_at). If several reads fail, the error is that of the first extent.
    fn read_extents(&self, extents: &[Extent], buf: &mut [u8]) -> Result<()> {
        each_buffer(extents, buf, |extent, buf| match extent.source {
            Source::Data { .. } => self.read_exact_at(buf, extent.start),
            Source::Zero { .. } | Source::Unallocated => {
                buf.fill(0);
                Ok(())
            }
        })
    }

    /// Announces that [`read_extents`](Self::read_extents) will soon read these extents.
    ///
    /// A disk whose files can prepare for that overrides this default, which does nothing.
    fn announce(&self, extents: &[Extent]) {
        let _ = extents;
    }

    /// Returns how the files of the disk are read fastest.
    fn hint(&self) -> ReadHint {
        ReadHint::default()
    }

    /// Validates the places of all blocks in the files of the disk.
    ///
    /// Call it before you read the whole disk. A raw image has no blocks, so nothing is validated.
    ///
    /// # Errors
    /// Those of [`Chain::validate_placement`].
    fn validate_placement(&self) -> Result<()>;

    /// Checks that no file of the disk has changed since it was opened.
    ///
    /// Call it after you have read the whole disk. A disk that cannot change has nothing to check.
    ///
    /// # Errors
    /// Those of [`Chain::ensure_unchanged`].
    fn ensure_unchanged(&self) -> Result<()>;

    /// Returns the identities of the files of the disk.
    fn identities(&self) -> Vec<FileIdentity>;
}

/// A disk whose content can be changed. Every range is in bytes and need not begin or end at a sector.
pub trait DiskMut: Disk {
    /// Writes `buf` from `offset` on. After a power failure before the next [`flush`](Self::flush), each unit of 512
    /// bytes is old or new.
    ///
    /// # Errors
    /// [`PastEndOfDisk`](crate::InvalidArgument::PastEndOfDisk), [`Error::Io`] and [`Error::Corrupt`].
    fn write_all_at(&mut self, buf: &[u8], offset: DiskOffset) -> Result<()>;

    /// Makes a range read as zeros. The space of whole blocks may be freed.
    ///
    /// # Errors
    /// As [`write_all_at`](Self::write_all_at), and [`RangeReversed`](crate::InvalidArgument::RangeReversed).
    fn write_zeros(&mut self, range: Range<DiskOffset>) -> Result<()>;

    /// Declares that the content of a range is no longer needed. Each whole block in it reads as zeros afterwards, and
    /// its space may be freed. The other bytes keep their content.
    ///
    /// # Errors
    /// As [`write_zeros`](Self::write_zeros).
    fn unmap(&mut self, range: Range<DiskOffset>) -> Result<()>;

    /// Makes all earlier changes durable.
    ///
    /// # Errors
    /// [`Error::Io`]; changes up to the previous flush stay durable.
    fn flush(&mut self) -> Result<()>;
}

impl Disk for Chain {
    fn virtual_size(&self) -> u64 {
        self.virtual_size()
    }

    fn logical_sector_size(&self) -> u32 {
        self.logical_sector_size()
    }

    fn extents(&self, range: Range<DiskOffset>) -> Box<dyn Iterator<Item = Result<Extent>> + Send + '_> {
        Box::new(self.extents(range))
    }

    fn read_extents(&self, extents: &[Extent], buf: &mut [u8]) -> Result<()> {
        read_by_layer(self.layers(), extents, buf)
    }

    fn announce(&self, extents: &[Extent]) {
        announce_by_layer(self.layers(), extents);
    }

    fn hint(&self) -> ReadHint {
        ReadHint::of_all(self.layers().iter().map(|layer| layer.storage().hint()))
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: DiskOffset) -> Result<()> {
        self.read_exact_at(buf, offset)
    }

    fn validate_placement(&self) -> Result<()> {
        self.validate_placement()
    }

    fn ensure_unchanged(&self) -> Result<()> {
        self.ensure_unchanged()
    }

    fn identities(&self) -> Vec<FileIdentity> {
        self.layers().iter().filter_map(|layer| layer.identity()).collect()
    }
}

/// A raw image: a file that contains exactly the bytes of the disk.
#[derive(Debug)]
pub struct RawDisk {
    bytes: RawBytes,
    path: PathBuf,
    guard: ReadGuard,
    len: u64,
    identity: Option<FileIdentity>,
}

/// Where the bytes of a raw image are.
enum RawBytes {
    File(FileStorage),
    /// A storage whose holes are not known.
    Other(Box<dyn ReadAt>),
}

impl RawBytes {
    fn storage(&self) -> &dyn ReadAt {
        match self {
            RawBytes::File(file) => file,
            RawBytes::Other(storage) => storage,
        }
    }
}

impl fmt::Debug for RawBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RawBytes::File(file) => file.fmt(f),
            RawBytes::Other(_) => f.debug_struct("Other").finish_non_exhaustive(),
        }
    }
}

impl RawDisk {
    /// Opens a regular file as a raw image. The logical sector size is assumed to be 512 bytes.
    ///
    /// # Errors
    /// [`Error::Io`], and [`NotARegularFile`](crate::InvalidArgument::NotARegularFile).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let open = || {
            let file = FileStorage::open(path)?;
            let guard = ReadGuard::new(&file)?;
            let identity = file.identity()?;
            let (bytes, identity) = (RawBytes::File(file), Some(identity));
            Ok(Self { len: guard.len(), bytes, path: path.to_owned(), guard, identity })
        };
        open().map_err(|error: Error| error.in_file(path))
    }

    /// Opens a storage as a raw image, as [`open`](Self::open) does. `name` names it in messages.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open_with(storage: impl ReadAt + 'static, name: impl Into<PathBuf>) -> Result<Self> {
        let path = name.into();
        let guard = ReadGuard::new(&storage).map_err(|error| error.in_file(&path))?;
        let bytes = RawBytes::Other(Box::new(storage));
        Ok(Self { len: guard.len(), bytes, path, guard, identity: None })
    }

    /// Returns the path by which the file was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Locks the file against writers until it is closed.
    ///
    /// Returns whether a writer has the file open, which only [`OnWriter::ReadAnyway`] allows. [`Chain::lock_shared`] lists
    /// which writers are kept out.
    ///
    /// # Errors
    /// Those of [`Chain::lock_shared`].
    pub fn lock_shared(&self, on_writer: OnWriter) -> Result<bool> {
        self.guard.lock(self.bytes.storage(), on_writer).map_err(|error| error.in_file(&self.path))
    }

    /// Returns the first extent of `rest`. Holes in the file are unallocated.
    fn next_extent(&self, rest: &Range<DiskOffset>) -> Result<Extent> {
        let at = rest.start.get();
        let RawBytes::File(file) = &self.bytes else {
            let source = Source::Data { layer: 0, offset: FileOffset::new(at) };
            return Ok(Extent { start: rest.start, len: rest.end.get().minus(at)?, source });
        };
        let data = file.next_data(FileOffset::new(at)).map_err(|e| self.seek_error(at, e))?;
        if data.is_none() && file.size().map_err(|e| self.seek_error(at, e))? < self.len {
            // The file was truncated. Without this error, the missing bytes would be read as a hole, that is, as zeros.
            return Err(self.seek_error(at, std::io::ErrorKind::UnexpectedEof.into()));
        }
        let data = data.map_or(rest.end.get(), |data| data.get().clamp(at, rest.end.get()));
        if data > at {
            return Ok(Extent { start: rest.start, len: data - at, source: Source::Unallocated });
        }
        let hole = file.next_hole(FileOffset::new(at)).map_err(|e| self.seek_error(at, e))?;
        let end = hole.get().clamp(at, rest.end.get());
        // If the file changes at the same time, the run can be empty. Then the whole rest is treated as data.
        let end = if end == at { rest.end.get() } else { end };
        Ok(Extent {
            start: rest.start,
            len: end - at,
            source: Source::Data { layer: 0, offset: FileOffset::new(at) },
        })
    }

    fn seek_error(&self, at: u64, source: std::io::Error) -> Error {
        Error::io("seek", FileOffset::new(at), source).in_file(&self.path)
    }
}

impl Disk for RawDisk {
    fn virtual_size(&self) -> u64 {
        self.len
    }

    fn logical_sector_size(&self) -> u32 {
        512
    }

    fn extents(&self, range: Range<DiskOffset>) -> Box<dyn Iterator<Item = Result<Extent>> + Send + '_> {
        if let Err(error) = ensure_on_disk(&range, self.len) {
            return Box::new(std::iter::once(Err(error.into())));
        }
        let mut rest = range;
        Box::new(std::iter::from_fn(move || {
            if rest.start >= rest.end {
                return None;
            }
            let extent = self.next_extent(&rest);
            rest.start = extent.as_ref().map_or(rest.end, Extent::end);
            Some(extent)
        }))
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: DiskOffset) -> Result<()> {
        range_on_disk(offset, buf.len() as u64, self.len)?;
        read_into(self.bytes.storage(), buf, FileOffset::new(offset.get())).map_err(|e| e.in_file(&self.path))
    }

    fn announce(&self, extents: &[Extent]) {
        announce_all(&[self.bytes.storage()], extents);
    }

    fn hint(&self) -> ReadHint {
        self.bytes.storage().hint()
    }

    fn read_extents(&self, extents: &[Extent], buf: &mut [u8]) -> Result<()> {
        read_all(&[self.bytes.storage()], extents, buf, |_, error| error.in_file(&self.path))
    }

    fn validate_placement(&self) -> Result<()> {
        Ok(())
    }

    fn ensure_unchanged(&self) -> Result<()> {
        self.guard
            .ensure_unchanged(self.bytes.storage(), |_| Ok(()))
            .map_err(|error| error.in_file(&self.path))
    }

    fn identities(&self) -> Vec<FileIdentity> {
        self.identity.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_a_truncated_file_is_an_error_and_not_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        std::fs::write(&path, vec![1; 1 << 20]).unwrap();
        let disk = RawDisk::open(&path).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(1 << 19).unwrap();
        let all = DiskOffset::new(0)..DiskOffset::new(disk.virtual_size());
        let result: Result<Vec<Extent>> = disk.extents(all).collect();
        assert!(matches!(result, Err(error) if error.kind() == crate::error::ErrorKind::Io));
    }
}
