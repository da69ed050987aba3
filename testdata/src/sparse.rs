//! A file in memory that spends memory only on the pages that were written: images of many TiB fit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use vhdx::{FileOffset, ReadAt};

const PAGE: u64 = 64 << 10;

/// A sparse file in memory.
#[derive(Clone, Debug, Default)]
pub struct SparseImage {
    pages: BTreeMap<u64, Box<[u8]>>,
    len: u64,
}

impl SparseImage {
    /// A file of `len` zeros.
    pub fn new(len: u64) -> Self {
        Self { pages: BTreeMap::new(), len }
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.len
    }

    /// Cuts or extends the file; new bytes read as zeros.
    pub fn set_len(&mut self, len: u64) {
        self.len = len;
        self.pages.retain(|page, _| page * PAGE < len);
        if let Some(last) = self.pages.get_mut(&(len / PAGE)) {
            last[(len % PAGE) as usize..].fill(0);
        }
    }

    /// Writes `bytes`, growing the file as needed.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.len = self.len.max(offset + bytes.len() as u64);
        for (page, within, from, to) in pieces(offset, bytes.len()) {
            let page = self.pages.entry(page).or_insert_with(|| vec![0; PAGE as usize].into());
            page[within..within + (to - from)].copy_from_slice(&bytes[from..to]);
        }
    }

    /// The `len` bytes from `offset` on; zeros past the end.
    pub fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.fill(&mut bytes, offset);
        bytes
    }

    /// All the bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        self.read(0, usize::try_from(self.len).expect("the image fits into memory"))
    }

    /// Writes a file with holes where nothing was written.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub fn write_to(&self, path: &Path) -> io::Result<()> {
        use std::io::{Seek, SeekFrom, Write};
        let mut file = File::create(path)?;
        for (page, bytes) in &self.pages {
            let start = page * PAGE;
            file.seek(SeekFrom::Start(start))?;
            file.write_all(&bytes[..(self.len - start).min(PAGE) as usize])?;
        }
        file.set_len(self.len)
    }

    fn fill(&self, buf: &mut [u8], offset: u64) {
        for (page, within, from, to) in pieces(offset, buf.len()) {
            match self.pages.get(&page) {
                Some(page) => buf[from..to].copy_from_slice(&page[within..within + (to - from)]),
                None => buf[from..to].fill(0),
            }
        }
    }
}

impl ReadAt for SparseImage {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        let end = offset.get().checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.fill(buf, offset.get());
        Ok(())
    }
}

/// Cuts `len` bytes at `offset` where pages end: (page, offset in the page, from, to).
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        (from < len).then(|| {
            let at = offset + from as u64;
            let to = len.min(from + (PAGE - at % PAGE) as usize);
            let piece = (at / PAGE, (at % PAGE) as usize, from, to);
            from = to;
            piece
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_written_and_zeros_elsewhere() {
        let mut image = SparseImage::new(1 << 40);
        image.write(PAGE - 2, b"abcd");
        assert_eq!(image.read(PAGE - 3, 6), b"\0abcd\0");
        image.set_len(PAGE + 1);
        image.set_len(PAGE + 2);
        assert_eq!(image.to_vec()[PAGE as usize - 2..], *b"abc\0");
        assert!(image.read_exact_at(&mut [0; 2], FileOffset::new(PAGE + 1)).is_err());
    }
}
