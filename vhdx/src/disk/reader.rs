//! Implements `Read` and `Seek` for a chain, for code that expects a file.

use std::io::{self, Read, Seek, SeekFrom};

use super::chain::Chain;
use crate::units::{DiskOffset, at_most};

/// A stream over the disk of a chain.
///
/// # Examples
/// ```no_run
/// use std::io::{Read, Seek, SeekFrom};
/// use vhdx::{Chain, FolderResolver};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut disk = Chain::open("checkpoint.avhdx", &FolderResolver::default())?.into_reader();
/// let mut signature = [0; 8];
/// disk.seek(SeekFrom::Start(512))?;
/// disk.read_exact(&mut signature)?;
/// assert_eq!(&signature, b"EFI PART");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ChainReader {
    chain: Chain,
    position: u64,
}

impl Chain {
    /// Converts the chain into a stream with [`Read`](std::io::Read) and [`Seek`](std::io::Seek).
    pub fn into_reader(self) -> ChainReader {
        ChainReader::new(self)
    }
}

impl ChainReader {
    /// Creates a stream at the first byte of the disk.
    pub fn new(chain: Chain) -> Self {
        Self { chain, position: 0 }
    }

    /// Returns the chain.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }
}

impl Read for ChainReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.chain.virtual_size().checked_sub(self.position) else {
            return Ok(0); // past the end of the disk, after a seek
        };
        let count = at_most(left, buf.len());
        if count == 0 {
            return Ok(0);
        }
        self.chain.read_exact_at(&mut buf[..count], DiskOffset::new(self.position))?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for ChainReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(by) => self.chain.virtual_size().checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
