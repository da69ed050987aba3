//! The bytes below: what a VHDX file is read from and written to.

mod access;
#[cfg(target_os = "linux")]
mod block_device;
mod buffer;
mod disk_space;
mod early_sync;
mod file;
mod file_format;
mod holes;
mod identity;
#[cfg(target_os = "linux")]
mod linux;
mod memory;
#[cfg(feature = "mmap")]
#[allow(unsafe_code)]
mod mmap;
mod new_file;
#[cfg(not(any(target_os = "linux", windows)))]
mod other;
mod raw_target;
mod read_guard;
mod shared_lock;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod torn;
#[cfg(windows)]
#[allow(unsafe_code)]
mod windows;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::rules::Rule;
use crate::units::FileOffset;
use crate::violation::{Structure, Violation};

pub(crate) use buffer::Buffer;
pub(crate) use disk_space::overwrites_in_place;
pub use disk_space::{allocated_bytes, free_space};
pub use file::FileStorage;
pub use file_format::FileFormat;
pub(crate) use holes::Holes;
pub use identity::FileIdentity;
pub use memory::Memory;
#[cfg(feature = "mmap")]
pub use mmap::Mapped;
pub use new_file::NewFile;
pub(crate) use new_file::delete;
pub use raw_target::RawTarget;
pub(crate) use read_guard::ReadGuard;
pub use read_guard::Sharing;

/// Bytes that can be read at any offset, from any thread.
pub trait ReadAt: Send + Sync {
    /// The length in bytes.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether there are no bytes at all.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the bytes end before the buffer does, else the operating system's reason.
    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()>;

    /// The file that has the same bytes at the same offsets, if there is one: the host may be able to copy from it
    /// without reading.
    fn as_file(&self) -> Option<&File> {
        None
    }

    /// The first run of bytes at or after `offset` for which the host may have to find space when they are written, cut
    /// off there; `None` if the host does not say. Past the end there is nothing else.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn hole_after(&self, offset: FileOffset) -> io::Result<Option<Range<FileOffset>>> {
        let _ = offset;
        Ok(None)
    }

    /// Keeps programs that heed locks from writing, for as long as this storage lives. A storage without locks has
    /// nothing to do.
    ///
    /// # Errors
    /// [`io::ErrorKind::ResourceBusy`] when a writer holds the storage, else the operating system's reason.
    fn lock_shared(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes that can also be written. A separate trait, so that what cannot write has no write method to refuse.
pub trait Storage: ReadAt {
    /// Writes all of `buf` from `offset` on, growing the storage as needed.
    ///
    /// # Errors
    /// Whatever the operating system says; part of the bytes may have been written then.
    fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()>;

    /// Cuts or extends the storage to `len` bytes; new bytes read as zeros.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns once everything written so far, the length included, survives a power failure.
    ///
    /// # Errors
    /// Whatever the operating system says; nothing may be taken as durable then.
    fn sync(&self) -> io::Result<()>;

    /// Says that a [`sync`](Self::sync) is going to follow: the storage may begin with it beside what is done meanwhile.
    /// Nothing may be taken as durable because of it.
    ///
    /// # Errors
    /// Whatever the operating system says of what was written so far.
    fn begin_sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// Makes `len` bytes from `offset` on read as zeros, and reserves their space. The storage grows if they reach past
    /// its end.
    ///
    /// # Errors
    /// Whatever the operating system says; part of the bytes may be zeros then.
    fn zero_range(&self, offset: FileOffset, len: u64) -> io::Result<()> {
        write_zeros(self, offset, len)
    }

    /// Makes `len` bytes from `offset` on, none of them past the end, read as zeros, and gives their space back where
    /// the host can.
    ///
    /// # Errors
    /// Whatever the operating system says; part of the bytes may be zeros then.
    fn punch_hole(&self, offset: FileOffset, len: u64) -> io::Result<()> {
        self.zero_range(offset, len)
    }

    /// Copies `len` bytes of `source`, from its offset `from` on, to the offset `to` of this storage. Source and
    /// storage may be one, if the two ranges do not overlap.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the source ends before, else the operating system's reason; part of the
    /// bytes may have been written then.
    fn copy_from(&self, source: &dyn ReadAt, from: FileOffset, to: FileOffset, len: u64) -> io::Result<()> {
        copy(source, from, self, to, len)
    }
}

/// The most that is read or written at once where a whole range is meant.
const PIECE: usize = 1024 * 1024;

struct BufferPiece {
    start: u64,
    len: usize,
}

fn buffer_len(len: u64) -> usize {
    usize::try_from(len).map_or(PIECE, |len| len.min(PIECE))
}

/// A range of `len` bytes, cut into pieces that a buffer holds.
fn pieces(len: u64) -> impl Iterator<Item = BufferPiece> {
    let starts = (0..len).step_by(PIECE);
    starts.map(move |start| BufferPiece { start, len: buffer_len(len - start) })
}

/// No file has bytes past the end of `u64`.
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

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<T: ReadAt + ?Sized> ReadAt for $pointer {
            fn len(&self) -> io::Result<u64> {
                (**self).len()
            }

            fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
                (**self).read_exact_at(buf, offset)
            }

            fn as_file(&self) -> Option<&File> {
                (**self).as_file()
            }

            fn hole_after(&self, offset: FileOffset) -> io::Result<Option<Range<FileOffset>>> {
                (**self).hole_after(offset)
            }

            fn lock_shared(&self) -> io::Result<()> {
                (**self).lock_shared()
            }
        }

        impl<T: Storage + ?Sized> Storage for $pointer {
            fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
                (**self).write_all_at(buf, offset)
            }

            fn set_len(&self, len: u64) -> io::Result<()> {
                (**self).set_len(len)
            }

            fn sync(&self) -> io::Result<()> {
                (**self).sync()
            }

            fn begin_sync(&self) -> io::Result<()> {
                (**self).begin_sync()
            }

            fn zero_range(&self, offset: FileOffset, len: u64) -> io::Result<()> {
                (**self).zero_range(offset, len)
            }

            fn punch_hole(&self, offset: FileOffset, len: u64) -> io::Result<()> {
                (**self).punch_hole(offset, len)
            }

            fn copy_from(&self, source: &dyn ReadAt, from: FileOffset, to: FileOffset, len: u64) -> io::Result<()> {
                (**self).copy_from(source, from, to, len)
            }
        }
    )*};
}
forward!(&T, Arc<T>, Box<T>);

/// Bytes whose length was asked once: to ask costs as much as a short read.
pub(crate) struct Measured<'a> {
    storage: &'a dyn ReadAt,
    len: u64,
}

impl<'a> Measured<'a> {
    pub(crate) fn new(storage: &'a dyn ReadAt) -> Result<Self> {
        let len = storage.len().map_err(|source| Error::io("measure", None, source))?;
        Ok(Self { storage, len })
    }

    /// In bytes.
    pub(crate) fn size(&self) -> u64 {
        self.len
    }
}

impl ReadAt for Measured<'_> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.storage.read_exact_at(buf, offset)
    }
}

/// Fills `buf` from `offset` on; the error says where it happened.
pub(crate) fn read_into(storage: &dyn ReadAt, buf: &mut [u8], offset: FileOffset) -> Result<()> {
    storage.read_exact_at(buf, offset).map_err(|source| Error::io("read", offset, source))
}

/// The `len` bytes of a structure. That the file ends inside them is a violation, not an I/O error; and because the
/// end is looked at first, nothing is allocated for bytes that are not there.
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

/// Refuses a structure of `len` bytes inside which the file ends.
pub(crate) fn ensure_end(
    storage: &dyn ReadAt,
    structure: Structure,
    offset: FileOffset,
    len: usize,
) -> Result<()> {
    let file_len = storage.len().map_err(|source| Error::io("measure", offset, source))?;
    let end = offset.checked_add(len as u64);
    if end.is_none_or(|end| end.get() > file_len) {
        return Err(Violation::new(structure, offset, Rule::Truncated).number(file_len).into());
    }
    Ok(())
}
