//! The bytes below: what a VHDX file is read from and written to.

mod file;
mod identity;
mod memory;
#[cfg(feature = "mmap")]
#[allow(unsafe_code)]
mod mmap;
mod new_file;

use std::io;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::rules::Rule;
use crate::units::FileOffset;
use crate::violation::{Structure, Violation};

pub use file::{FileStorage, allocated_bytes, free_space};
pub use identity::FileIdentity;
pub use memory::Memory;
#[cfg(feature = "mmap")]
pub use mmap::Mapped;
pub use new_file::NewFile;

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

    /// Returns once everything written so far survives a power failure.
    ///
    /// # Errors
    /// Whatever the operating system says; nothing may be taken as durable then.
    fn sync(&self) -> io::Result<()>;
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
        }
    )*};
}
forward!(&T, Arc<T>, Box<T>);

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
    let file_len = storage.len().map_err(|source| Error::io("measure", offset, source))?;
    let end = offset.checked_add(len as u64);
    if end.is_none_or(|end| end.get() > file_len) {
        return Err(Violation::new(structure, offset, Rule::Truncated).number(file_len).into());
    }
    let mut bytes = vec![0; len];
    read_into(storage, &mut bytes, offset)?;
    Ok(bytes)
}
