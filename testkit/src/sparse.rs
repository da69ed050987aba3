//! A sparse file in memory. Only written pages take memory, so images of many TiB fit. Clones share unchanged pages.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use vhdx::{FileOffset, ReadAt};

use crate::random::mix;

const PAGE: u64 = 64 << 10;

/// A sparse file in memory. Cloning it copies no bytes.
#[derive(Clone, Debug, Default)]
pub struct SparseImage {
    pages: BTreeMap<u64, Arc<Page>>,
    len: u64,
}

/// A page, whose fingerprint is computed once, on demand.
#[derive(Debug)]
struct Page {
    bytes: Box<[u8]>,
    fingerprint: OnceLock<u64>,
}

impl Page {
    fn new(bytes: Box<[u8]>) -> Arc<Self> {
        Arc::new(Self { bytes, fingerprint: OnceLock::new() })
    }

    /// Returns the fingerprint, which is 0 for a page of zeros.
    fn fingerprint(&self) -> u64 {
        *self.fingerprint.get_or_init(|| {
            let words = self.bytes.chunks_exact(8).zip(1..);
            words.fold(0, |sum: u64, (word, place)| {
                let word = u64::from_le_bytes(word.try_into().expect("a chunk is a word"));
                if word == 0 { sum } else { sum.wrapping_add(mix(word ^ mix(place))) }
            })
        })
    }
}

impl Clone for Page {
    /// Clones the bytes only: pages are cloned to be changed, so the fingerprint would be wrong.
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), fingerprint: OnceLock::new() }
    }
}

/// A write that can be applied to several images, which then share its whole pages.
#[derive(Clone, Debug)]
pub(crate) struct Patch {
    offset: u64,
    len: u64,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Whole { page: u64, bytes: Arc<Page> },
    Part { page: u64, within: usize, bytes: Box<[u8]> },
}

impl Patch {
    pub(crate) fn new(offset: u64, bytes: &[u8]) -> Self {
        let piece = |(page, within, from, to): (u64, usize, usize, usize)| match to - from == PAGE as usize {
            true => Piece::Whole { page, bytes: Page::new(bytes[from..to].into()) },
            false => Piece::Part { page, within, bytes: bytes[from..to].into() },
        };
        Self { offset, len: bytes.len() as u64, pieces: pieces(offset, bytes.len()).map(piece).collect() }
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Returns the part of the write that lies in `start..end` of the file.
    pub(crate) fn part(&self, start: u64, end: u64) -> Self {
        let (start, end) = (start.max(self.offset), end.min(self.offset + self.len));
        let mut image = SparseImage::new(0);
        image.apply(self);
        Self::new(start, &image.read(start, end.saturating_sub(start) as usize))
    }
}

impl SparseImage {
    /// Returns a file of `len` zeros.
    pub fn new(len: u64) -> Self {
        Self { pages: BTreeMap::new(), len }
    }

    /// Returns the length in bytes.
    pub fn size(&self) -> u64 {
        self.len
    }

    /// Truncates or extends the file. New bytes read as zeros.
    pub fn set_len(&mut self, len: u64) {
        if len < self.len {
            drop(self.pages.split_off(&len.div_ceil(PAGE)));
            if self.pages.contains_key(&(len / PAGE)) {
                self.page(len / PAGE)[(len % PAGE) as usize..].fill(0);
            }
        }
        self.len = len;
    }

    /// Writes `bytes`, and extends the file if necessary.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (page, within, from, to) in pieces(offset, bytes.len()) {
            self.page(page)[within..within + (to - from)].copy_from_slice(&bytes[from..to]);
        }
        self.grow(offset, bytes.len() as u64);
    }

    /// Applies a write that was prepared for several images.
    pub(crate) fn apply(&mut self, patch: &Patch) {
        for piece in &patch.pieces {
            match piece {
                Piece::Whole { page, bytes } => drop(self.pages.insert(*page, Arc::clone(bytes))),
                Piece::Part { page, within, bytes } => {
                    let bytes: &[u8] = bytes;
                    self.page(*page)[*within..][..<[u8]>::len(bytes)].copy_from_slice(bytes);
                }
            }
        }
        self.grow(patch.offset, patch.len);
    }

    fn grow(&mut self, offset: u64, len: u64) {
        if len > 0 {
            self.len = self.len.max(offset + len);
        }
    }

    fn page(&mut self, page: u64) -> &mut [u8] {
        let bytes = self.pages.entry(page).or_insert_with(|| Page::new(vec![0; PAGE as usize].into()));
        let page = Arc::make_mut(bytes);
        page.fingerprint = OnceLock::new();
        &mut page.bytes
    }

    /// Makes a range read as zeros without extending the file, and drops its whole pages.
    pub fn zero(&mut self, offset: u64, len: u64) {
        let end = offset.saturating_add(len).min(self.len);
        if offset >= end {
            return;
        }
        for page in [offset / PAGE, (end - 1) / PAGE] {
            let start = page * PAGE;
            if self.pages.contains_key(&page) {
                let (from, to) = (offset.max(start) - start, end.min(start + PAGE) - start);
                self.page(page)[from as usize..to as usize].fill(0);
            }
        }
        let mut after = self.pages.split_off(&offset.div_ceil(PAGE));
        let mut kept = after.split_off(&(end / PAGE));
        self.pages.append(&mut kept);
    }

    /// Returns a hash of the length and the bytes. It does not depend on how they were written.
    pub fn fingerprint(&self) -> u64 {
        let pages = self.pages.iter().filter(|(_, page)| page.fingerprint() != 0);
        pages
            .fold(mix(self.len), |sum, (page, bytes)| sum.wrapping_add(mix(bytes.fingerprint() ^ mix(*page))))
    }

    /// Returns the pages that were written, with their offsets. The last one may reach past the end.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.pages.iter().map(|(page, content)| (page * PAGE, &content.bytes[..]))
    }

    /// Returns `len` bytes from `offset` on, with zeros past the end.
    pub fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.fill(&mut bytes, offset);
        bytes
    }

    /// Returns all bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        self.read(0, usize::try_from(self.len).expect("the image fits into memory"))
    }

    /// Writes the image to a file, with holes where nothing was written.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn write_to(&self, path: &Path) -> io::Result<()> {
        use std::io::{Seek, SeekFrom, Write};
        let mut file = File::create(path)?;
        for (page, content) in &self.pages {
            let start = page * PAGE;
            file.seek(SeekFrom::Start(start))?;
            file.write_all(&content.bytes[..(self.len - start).min(PAGE) as usize])?;
        }
        file.set_len(self.len)
    }

    /// Reads a whole file. Pages of zeros take no memory.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn read_from(path: &Path) -> io::Result<Self> {
        use std::io::Read;
        let mut file = File::open(path)?;
        let mut image = Self::default();
        let mut chunk = Vec::new();
        while (&mut file).take(PAGE).read_to_end(&mut chunk)? > 0 {
            let len = image.len + chunk.len() as u64;
            if chunk.iter().any(|&byte| byte != 0) {
                image.write(image.len, &chunk);
            }
            image.set_len(len);
            chunk.clear();
        }
        Ok(image)
    }

    fn fill(&self, buf: &mut [u8], offset: u64) {
        for (page, within, from, to) in pieces(offset, buf.len()) {
            match self.pages.get(&page) {
                Some(page) => buf[from..to].copy_from_slice(&page.bytes[within..within + (to - from)]),
                None => buf[from..to].fill(0),
            }
        }
    }
}

impl ReadAt for SparseImage {
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

/// Cuts `len` bytes from `offset` on at the ends of pages.
///
/// Returns the page, the offset in the page, and the start and the end in the bytes.
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
    use crate::random::Random;

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

    #[test]
    fn an_image_behaves_like_a_plain_array_and_clones_are_independent() {
        let mut random = Random::new(1);
        let (mut image, mut array) = (SparseImage::default(), Vec::new());
        let mut states: Vec<(SparseImage, Vec<u8>)> = Vec::new();
        for _ in 0..400 {
            let at = random.below(4 * PAGE as usize);
            let len = [random.below(100), random.below(2 * PAGE as usize), PAGE as usize][random.below(3)];
            let at = if random.below(3) == 0 { at / PAGE as usize * PAGE as usize } else { at };
            match random.below(4) {
                0 => {
                    image.set_len(at as u64);
                    array.resize(at, 0);
                }
                1 => {
                    image.zero(at as u64, len as u64);
                    let end = array.len().min(at + len);
                    array[at.min(end)..end].fill(0);
                }
                written => {
                    let bytes = random.bytes(len);
                    if len > 0 {
                        array.resize(array.len().max(at + len), 0);
                        array[at..at + len].copy_from_slice(&bytes);
                    }
                    match written {
                        2 => image.write(at as u64, &bytes),
                        _ => image.apply(&Patch::new(at as u64, &bytes)),
                    }
                }
            }
            let twin = states.iter().find(|(_, earlier)| *earlier == array);
            assert!(twin.is_none_or(|(twin, _)| twin.fingerprint() == image.fingerprint()));
            let differing = states.iter().filter(|(_, earlier)| *earlier != array);
            differing.for_each(|(other, _)| assert_ne!(other.fingerprint(), image.fingerprint()));
            states.push((image.clone(), array.clone()));
        }
        for (image, array) in states {
            assert!(image.to_vec() == array);
        }
    }

    #[test]
    fn equal_bytes_have_equal_fingerprints() {
        let mut written = SparseImage::new(3 * PAGE);
        written.write(PAGE + 5, b"x");
        written.write(0, &vec![7; PAGE as usize]);
        written.write(0, &vec![0; PAGE as usize]);
        let mut plain = SparseImage::new(3 * PAGE);
        plain.write(PAGE + 5, b"x");
        assert_eq!(written.fingerprint(), plain.fingerprint());
        plain.set_len(3 * PAGE + 1);
        assert_ne!(written.fingerprint(), plain.fingerprint());
    }

    #[test]
    fn a_part_of_a_patch_writes_only_its_range() {
        let patch = Patch::new(100, &Random::new(3).bytes(3 * PAGE as usize));
        let mut whole = SparseImage::default();
        whole.apply(&patch);
        let mut part = SparseImage::default();
        part.apply(&patch.part(PAGE - 3, 2 * PAGE));
        assert_eq!(part.size(), 2 * PAGE);
        assert!(part.read(0, PAGE as usize - 3).iter().all(|&byte| byte == 0));
        assert!(part.read(PAGE - 3, PAGE as usize + 3) == whole.read(PAGE - 3, PAGE as usize + 3));
    }

    #[test]
    fn a_written_file_can_be_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        let mut image = SparseImage::new(5 * PAGE + 3);
        image.write(PAGE * 5 - 1, b"xyz");
        image.write(7, b"abc");
        image.write_to(&path).unwrap();
        assert_eq!(SparseImage::read_from(&path).unwrap().fingerprint(), image.fingerprint());
    }
}
