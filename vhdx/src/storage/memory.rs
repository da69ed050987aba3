//! A storage in memory, for images that arrive over a network and for tests.

use std::io;
use std::sync::{PoisonError, RwLock};

use super::{ReadAt, Storage};
use crate::units::FileOffset;

/// A growable buffer.
///
/// [`sync`](Storage::sync) does nothing, because memory never survives a power failure.
#[derive(Debug, Default)]
pub struct Memory(RwLock<Vec<u8>>);

impl Memory {
    /// Returns a storage with these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(RwLock::new(bytes))
    }

    /// Returns the bytes.
    pub fn into_inner(self) -> Vec<u8> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

fn range(offset: FileOffset, len: usize) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(offset.get()).ok()?;
    Some(start..start.checked_add(len)?)
}

impl ReadAt for [u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(<[u8]>::len(self) as u64)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        let from = range(offset, buf.len()).and_then(|range| self.get(range));
        buf.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> io::Result<u64> {
        self.as_slice().len().try_into().map_err(io::Error::other)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.as_slice().read_exact_at(buf, offset)
    }
}

impl ReadAt for Memory {
    fn size(&self) -> io::Result<u64> {
        ReadAt::size(&*self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).read_exact_at(buf, offset)
    }
}

impl Storage for Memory {
    fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
        let range = range(offset, buf.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        if buf.is_empty() {
            return Ok(()); // an empty write extends nothing
        }
        let mut bytes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if bytes.len() < range.end {
            bytes.resize(range.end, 0);
        }
        bytes[range].copy_from_slice(buf);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.0.write().unwrap_or_else(PoisonError::into_inner).resize(len, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn zero_range(&self, offset: FileOffset, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let range = range(offset, len).ok_or(io::ErrorKind::FileTooLarge)?;
        if len == 0 {
            return Ok(());
        }
        let mut bytes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if bytes.len() < range.end {
            bytes.resize(range.end, 0);
        }
        bytes[range].fill(0);
        Ok(())
    }
}
