//! Access to the bytes of a configuration.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that can be read at any offset.
///
/// Only the parts that are needed are read, because a `.vmrs` can contain gigabytes of saved memory.
pub trait Source: fmt::Debug + Send + Sync {
    /// Returns the length in bytes.
    ///
    /// # Errors
    /// If the length cannot be determined.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    /// If the bytes cannot be read. [`io::ErrorKind::UnexpectedEof`] if the source ends before.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
}

impl Source for Vec<u8> {
    fn size(&self) -> io::Result<u64> {
        u64::try_from(self.len()).map_err(io::Error::other)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let range = start.and_then(|start| Some(start..start.checked_add(buf.len())?));
        let bytes = range.and_then(|range| self.get(range)).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }
}

impl<T: Source + ?Sized> Source for Arc<T> {
    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buf, offset)
    }
}

/// A [`Source`] of anything that can be read and sought, such as a [`File`](std::fs::File).
#[derive(Debug)]
pub struct Seekable<R>(Mutex<R>);

impl<R> Seekable<R> {
    /// Takes over a reader. Its position changes with every read.
    pub const fn new(reader: R) -> Self {
        Self(Mutex::new(reader))
    }

    /// A read sets the position first, so a reader that another thread left at any position can be used.
    fn with<T>(&self, read: impl FnOnce(&mut R) -> io::Result<T>) -> io::Result<T> {
        read(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<R: Read + Seek + Send + fmt::Debug> Source for Seekable<R> {
    fn size(&self) -> io::Result<u64> {
        self.with(|reader| reader.seek(SeekFrom::End(0)))
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.with(|reader| {
            reader.seek(SeekFrom::Start(offset))?;
            reader.read_exact(buf)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_do_not_pass_the_end() {
        let bytes = vec![1, 2, 3];
        let seekable = Seekable::new(io::Cursor::new(bytes.clone()));
        let sources: [&dyn Source; 2] = [&bytes, &seekable];
        for source in sources {
            assert_eq!(source.size().unwrap(), 3);
            let mut buf = [0; 2];
            source.read_exact_at(&mut buf, 1).unwrap();
            assert_eq!(buf, [2, 3]);
            for offset in [2, 3, 4, u64::MAX - 1, u64::MAX] {
                let error = source.read_exact_at(&mut buf, offset).unwrap_err();
                let expected = [io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidInput];
                assert!(expected.contains(&error.kind()), "{offset}: {error}");
            }
        }
    }
}
