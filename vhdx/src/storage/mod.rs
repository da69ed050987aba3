//! Storage that VHDX files are read from and written to: the traits, and files, memory and devices of the host.

mod access;
mod at_once;
#[cfg(target_os = "linux")]
mod block_device;
mod buffer;
mod disk_space;
mod early_sync;
mod file;
mod file_format;
mod forward;
mod holes;
mod host;
mod identity;
mod memory;
#[cfg(feature = "mmap")]
#[allow(unsafe_code)]
mod mmap;
mod new_file;
mod open_files;
mod raw_target;
mod read_guard;
mod read_many;
mod shared_lock;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::ops::Range;

use crate::error::{Conflict, Error, Result};
use crate::rules::Rule;
use crate::units::FileOffset;
use crate::violation::{Structure, Violation};

pub(crate) use at_once::for_each_file;
pub(crate) use buffer::Buffer;
pub(crate) use disk_space::allocated_by;
pub use disk_space::{VolumeSpace, allocated_bytes, free_space, volume_space};
pub(crate) use disk_space::{overwrites_in_place, share_blocks};
pub use file::FileStorage;
pub use file_format::FileFormat;
pub(crate) use holes::Holes;
pub use identity::FileIdentity;
pub use memory::Memory;
#[cfg(feature = "mmap")]
pub use mmap::Mapped;
pub use new_file::{IfExists, NewFile};
pub(crate) use new_file::{PART_EXTENSION, delete, folder_of};
pub use open_files::{FilesOfHost, OpenFiles};
pub use raw_target::RawTarget;
pub use read_guard::OnWriter;
pub(crate) use read_guard::ReadGuard;
pub use read_many::{ReadHint, ReadRange, join_ranges};

/// Bytes that can be read at any offset, from any thread. [`Storage`] has an example.
pub trait ReadAt: Send + Sync {
    /// Returns the size in bytes.
    ///
    /// # Errors
    /// The operating system's error.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buf` from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if there are too few bytes, otherwise the operating system's error.
    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()>;

    /// Fills the buffers of several ranges.
    ///
    /// This default reads one range after the other. A storage that is faster when it knows several ranges at once
    /// overrides it; [`join_ranges`] finds ranges that are worth one request.
    ///
    /// # Errors
    /// As [`read_exact_at`](Self::read_exact_at), for any of the ranges. All buffers may have been changed.
    fn read_many(&self, ranges: &mut [ReadRange<'_>]) -> io::Result<()> {
        ranges.iter_mut().try_for_each(|range| self.read_exact_at(range.buf, range.offset))
    }

    /// Announces ranges that will soon be read, and may sort them.
    ///
    /// A storage that can prepare for the reads overrides this default, which does nothing. Nothing is read into memory
    /// of this process.
    fn announce(&self, ranges: &mut [Range<FileOffset>]) {
        let _ = ranges;
    }

    /// Returns how this storage is read fastest.
    fn hint(&self) -> ReadHint {
        ReadHint::default()
    }

    /// Returns the file that has the same bytes at the same offsets, if there is one.
    ///
    /// The host may be able to copy from it without reading.
    fn as_file(&self) -> Option<&File> {
        None
    }

    /// Returns the first hole that ends past `offset`, without the part before `offset`.
    ///
    /// Returns `None` if the host does not report holes. A hole is a range for which the host may have to allocate
    /// space when it is written. Everything past the end is a hole.
    ///
    /// # Errors
    /// The operating system's error.
    fn hole_after(&self, offset: FileOffset) -> io::Result<Option<Range<FileOffset>>> {
        let _ = offset;
        Ok(None)
    }

    /// Keeps out writers that respect locks, until this storage is dropped.
    ///
    /// A storage without locks does nothing.
    ///
    /// # Errors
    /// [`io::ErrorKind::ResourceBusy`] if a writer holds the storage, otherwise the operating system's error.
    fn lock_shared(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes that can also be written.
///
/// This is a separate trait, so that a storage that is only read has no method that writes.
///
/// # Examples
/// A file that counts its syncs:
/// ```
/// use std::io;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use vhdx::{FileOffset, Memory, NewDisk, NoProgress, ReadAt, Storage, ops};
///
/// #[derive(Default)]
/// struct Counting {
///     file: Memory,
///     syncs: AtomicU64,
/// }
///
/// impl ReadAt for Counting {
///     fn size(&self) -> io::Result<u64> {
///         self.file.size()
///     }
///
///     fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
///         self.file.read_exact_at(buf, offset)
///     }
/// }
///
/// impl Storage for Counting {
///     fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
///         self.file.write_all_at(buf, offset)
///     }
///
///     fn set_len(&self, len: u64) -> io::Result<()> {
///         self.file.set_len(len)
///     }
///
///     fn sync(&self) -> io::Result<()> {
///         self.syncs.fetch_add(1, Ordering::Relaxed);
///         self.file.sync()
///     }
/// }
///
/// # fn main() -> vhdx::Result<()> {
/// let counting = Counting::default();
/// ops::create(&NewDisk::new(1 << 30), &counting, &NoProgress)?;
/// assert!(counting.syncs.load(Ordering::Relaxed) > 0);
/// # Ok(())
/// # }
/// ```
pub trait Storage: ReadAt {
    /// Writes all of `buf` from `offset` on, and extends the storage if necessary.
    ///
    /// # Errors
    /// The operating system's error; part of the bytes may have been written.
    fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()>;

    /// Truncates or extends the storage to `len` bytes; new bytes read as zeros.
    ///
    /// # Errors
    /// The operating system's error.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns when everything written so far, including the length, survives a power failure.
    ///
    /// # Errors
    /// The operating system's error; nothing may be considered durable.
    fn sync(&self) -> io::Result<()>;

    /// Announces a [`sync`](Self::sync), so that the storage may start it in the background.
    ///
    /// This call makes nothing durable.
    ///
    /// # Errors
    /// The operating system's error for earlier writes.
    fn begin_sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// Makes `len` bytes from `offset` on read as zeros, and reserves their space.
    ///
    /// Extends the storage if the range ends past its end.
    ///
    /// # Errors
    /// The operating system's error; part of the bytes may be zeros.
    fn zero_range(&self, offset: FileOffset, len: u64) -> io::Result<()> {
        write_zeros(self, offset, len)
    }

    /// Makes `len` bytes from `offset` on read as zeros, and frees their space if the host can.
    ///
    /// The range must not end past the end of the storage.
    ///
    /// # Errors
    /// The operating system's error; part of the bytes may be zeros.
    fn punch_hole(&self, offset: FileOffset, len: u64) -> io::Result<()> {
        self.zero_range(offset, len)
    }

    /// Copies `len` bytes from offset `from` of `source` to offset `to` of this storage.
    ///
    /// `source` may be this storage if the two ranges do not overlap.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the source is too short, otherwise the operating system's error. Part of the
    /// bytes may have been written.
    fn copy_from(&self, source: &dyn ReadAt, from: FileOffset, to: FileOffset, len: u64) -> io::Result<()> {
        copy(source, from, self, to, len)
    }
}

/// The most bytes of a range that are read or written at once.
const PIECE: usize = 1024 * 1024;

struct BufferPiece {
    start: u64,
    len: usize,
}

fn buffer_len(len: u64) -> usize {
    usize::try_from(len).map_or(PIECE, |len| len.min(PIECE))
}

/// Cuts a range of `len` bytes into pieces that fit into a buffer.
fn pieces(len: u64) -> impl Iterator<Item = BufferPiece> {
    let starts = (0..len).step_by(PIECE);
    starts.map(move |start| BufferPiece { start, len: buffer_len(len - start) })
}

/// Adds to an offset. No file has bytes past `u64::MAX`.
fn advance(offset: FileOffset, by: u64) -> io::Result<FileOffset> {
    offset.checked_add(by).ok_or_else(|| io::ErrorKind::FileTooLarge.into())
}

fn copy<S>(source: &dyn ReadAt, from: FileOffset, storage: &S, to: FileOffset, len: u64) -> io::Result<()>
where
    S: Storage + ?Sized,
{
    let mut buf = Buffer::new(buffer_len(len));
    for piece in pieces(len) {
        let buf = &mut buf[..piece.len];
        source.read_exact_at(buf, advance(from, piece.start)?)?;
        storage.write_all_at(buf, advance(to, piece.start)?)?;
    }
    Ok(())
}

fn write_zeros<S: Storage + ?Sized>(storage: &S, offset: FileOffset, len: u64) -> io::Result<()> {
    advance(offset, len)?;
    let zeros = Buffer::new(buffer_len(len));
    for piece in pieces(len) {
        storage.write_all_at(&zeros[..piece.len], advance(offset, piece.start)?)?;
    }
    Ok(())
}

/// A storage whose length is queried once, because a query costs as much as a short read.
pub(crate) struct Measured<'a> {
    storage: &'a dyn ReadAt,
    len: u64,
}

impl<'a> Measured<'a> {
    pub(crate) fn new(storage: &'a dyn ReadAt) -> Result<Self> {
        let len = storage.size().map_err(|source| Error::io("get its size", None, source))?;
        Ok(Self { storage, len })
    }

    /// Returns the length in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.len
    }
}

impl ReadAt for Measured<'_> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.storage.read_exact_at(buf, offset)
    }

    fn read_many(&self, ranges: &mut [ReadRange<'_>]) -> io::Result<()> {
        self.storage.read_many(ranges)
    }

    fn announce(&self, ranges: &mut [Range<FileOffset>]) {
        self.storage.announce(ranges);
    }

    fn hint(&self) -> ReadHint {
        self.storage.hint()
    }
}

/// Checks that a new file can be written to a storage.
///
/// # Errors
/// [`Conflict::DestinationExists`] if it holds anything, and [`Error::Io`].
pub(crate) fn ensure_empty(storage: &dyn Storage) -> Result<()> {
    match storage.size().map_err(|e| Error::io("get its size", None, e))? {
        0 => Ok(()),
        _ => Err(Conflict::DestinationExists.into()),
    }
}

/// Fills `buf` from `offset` on. The error contains the offset.
pub(crate) fn read_into(storage: &dyn ReadAt, buf: &mut [u8], offset: FileOffset) -> Result<()> {
    storage.read_exact_at(buf, offset).map_err(|source| Error::io("read", offset, source))
}

/// Writes `bytes` at `offset`. The error contains the offset.
pub(crate) fn put(storage: &dyn Storage, bytes: &[u8], offset: FileOffset) -> Result<()> {
    storage.write_all_at(bytes, offset).map_err(|source| Error::io("write", offset, source))
}

/// Reads the `len` bytes of a structure.
///
/// A file that ends inside the structure is a violation, not an I/O error. The length is checked first, so that
/// nothing is allocated for missing bytes.
pub(crate) fn read_structure(
    storage: &dyn ReadAt,
    structure: Structure,
    offset: FileOffset,
    len: usize,
) -> Result<Vec<u8>> {
    ensure_end(storage, structure, offset, len)?;
    let mut bytes = vec![0; len];
    read_into(storage, &mut bytes, offset)?;
    Ok(bytes)
}

/// Returns a violation if the file ends inside a structure of `len` bytes.
pub(crate) fn ensure_end(
    storage: &dyn ReadAt,
    structure: Structure,
    offset: FileOffset,
    len: usize,
) -> Result<()> {
    let file_len = storage.size().map_err(|source| Error::io("get its size", offset, source))?;
    let end = offset.checked_add(len as u64);
    if end.is_none_or(|end| end.get() > file_len) {
        return Err(Violation::new(structure, offset, Rule::Truncated).file_length(file_len).into());
    }
    Ok(())
}
