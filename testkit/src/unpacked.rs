//! A small file in memory that is cheap to create, read and drop. The fuzz targets create one for each input.

use std::collections::BTreeMap;
use std::io;

use vhdx::{FileOffset, ReadAt};

use crate::sparse::SparseImage;

/// The size of a page in bytes. It is small because every page that an input touches is filled with zeros first.
const PAGE: u64 = 4096;

/// A file of fixed length. Pages that were never written take no memory and read as zeros.
#[derive(Clone, Debug, Default)]
pub struct UnpackedFile {
    pages: BTreeMap<u64, Box<[u8; PAGE as usize]>>,
    len: u64,
}

impl UnpackedFile {
    /// Returns a file of `len` zeros.
    pub(crate) fn new(len: u64) -> Self {
        Self { pages: BTreeMap::new(), len }
    }

    /// Returns the length in bytes.
    pub fn size(&self) -> u64 {
        self.len
    }

    /// Writes the part of `bytes` that lies before the end of the file.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        let count = self.len.saturating_sub(offset).min(bytes.len() as u64) as usize;
        let (mut at, mut rest) = (offset, &bytes[..count]);
        while !rest.is_empty() {
            let within = (at % PAGE) as usize;
            let (part, after) = rest.split_at(rest.len().min(PAGE as usize - within));
            let page = self.pages.entry(at / PAGE).or_insert_with(|| Box::new([0; PAGE as usize]));
            page[within..within + part.len()].copy_from_slice(part);
            (at, rest) = (at + part.len() as u64, after);
        }
    }

    /// Fills `buf` from `offset` on, with zeros past the end of the file.
    pub(crate) fn fill(&self, buf: &mut [u8], offset: u64) {
        buf.fill(0);
        if buf.is_empty() {
            return;
        }
        let end = offset.saturating_add(buf.len() as u64);
        for (&number, page) in self.pages.range(offset / PAGE..end.div_ceil(PAGE)) {
            let start = number * PAGE;
            let (from, to) = (start.max(offset), (start + PAGE).min(end));
            let part = &page[(from - start) as usize..(to - start) as usize];
            buf[(from - offset) as usize..][..part.len()].copy_from_slice(part);
        }
    }

    /// Returns the offsets of the pages in `start..end` that were written to, in ascending order.
    pub(crate) fn written_pages(&self, start: u64, end: u64) -> Vec<u64> {
        self.pages.range(start.div_ceil(PAGE)..end / PAGE).map(|(&number, _)| number * PAGE).collect()
    }

    /// Returns the same file as an image that tests can change.
    pub fn to_sparse(&self) -> SparseImage {
        let mut image = SparseImage::new(self.len);
        self.pages.iter().for_each(|(&number, page)| image.write(number * PAGE, &page[..]));
        image.set_len(self.len);
        image
    }
}

impl ReadAt for UnpackedFile {
    fn size(&self) -> io::Result<u64> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn it_reads_as_a_plain_array() {
        let mut random = Random::new(5);
        for len in [0, 1, PAGE as usize, 5 * PAGE as usize + 7] {
            let (mut file, mut array) = (UnpackedFile::new(len as u64), vec![0; len]);
            for _ in 0..20 {
                let (at, count) = (random.below(6 * PAGE as usize), random.below(2 * PAGE as usize));
                let bytes = random.bytes(count);
                file.write(at as u64, &bytes);
                let end = len.min(at + count);
                array[at.min(end)..end].copy_from_slice(&bytes[..end.saturating_sub(at)]);
                let (from, count) = (random.below(len + 1), random.below(2 * PAGE as usize));
                let mut buf = vec![0xee; count];
                let read = file.read_exact_at(&mut buf, FileOffset::new(from as u64));
                assert_eq!(read.is_ok(), from + count <= len);
                assert!(read.is_err() || buf == array[from..from + count]);
            }
            assert!(file.to_sparse().to_vec() == array);
        }
    }
}
