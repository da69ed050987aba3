//! Packs files into short byte strings for fuzzing.
//!
//! This is necessary because the first block of a VHDX file comes after several MiB, most of them zeros. A packed file
//! is the length of the file (in pages of 4 KiB, and bytes), and pieces: page number, offset in the page, length, and
//! that many bytes. Every byte string is a packed file.

use vhdx::format::bytes::seal;
use vhdx::format::header::{self, Header};
use vhdx::format::region_table;

use crate::sparse::SparseImage;
use crate::unpacked::UnpackedFile;

const PAGE: u64 = 4096;
/// A file has fewer pages than this: less than 64 MiB.
const PAGES: u64 = 16 << 10;
/// Pieces with fewer bytes between them are stored as one piece.
const GAP: usize = 16;
/// The end of a structure's checksum. Sealing changes nothing past it.
const SEALED: usize = 8;

/// Packs a file of less than 64 MiB.
///
/// # Panics
/// If the file is larger.
pub fn pack(file: &SparseImage) -> Vec<u8> {
    assert!(file.size() / PAGE < PAGES, "too large to be packed");
    let mut packed = Vec::new();
    let put = |packed: &mut Vec<u8>, number: u64| packed.extend((number as u16).to_le_bytes());
    put(&mut packed, file.size() / PAGE);
    put(&mut packed, file.size() % PAGE);
    for number in 0..file.size().div_ceil(PAGE) {
        let page = file.read(number * PAGE, PAGE as usize);
        let mut rest = 0;
        while let Some(start) = page[rest..].iter().position(|&byte| byte != 0).map(|found| rest + found) {
            let zeros = page[start..].windows(GAP).position(|window| window.iter().all(|&byte| byte == 0));
            let end = zeros.map_or(page.len(), |found| start + found);
            put(&mut packed, number);
            put(&mut packed, start as u64);
            put(&mut packed, (end - start) as u64);
            packed.extend(&page[start..end]);
            rest = end;
        }
    }
    packed
}

/// Returns the file that a byte string represents.
pub fn unpack(packed: &[u8]) -> UnpackedFile {
    let Some((size, mut rest)) = packed.split_first_chunk::<4>() else { return UnpackedFile::default() };
    let mut file = UnpackedFile::new(number(size, 0) % PAGES * PAGE + number(size, 2) % PAGE);
    while let Some((place, after)) = rest.split_first_chunk::<6>() {
        let (bytes, others) = after.split_at(after.len().min(number(place, 4) as usize));
        file.write(number(place, 0) % PAGES * PAGE + number(place, 2) % PAGE, bytes);
        rest = others;
    }
    file
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]]).into()
}

/// Corrects the checksums of headers, region tables and log entries.
///
/// Readers then look at the rest.
pub fn seal_structures(file: &mut UnpackedFile) {
    let headers = header::OFFSETS.map(|offset| Header::parse(&seal_at(file, offset.get(), header::SIZE)));
    for offset in region_table::OFFSETS {
        seal_at(file, offset.get(), region_table::SIZE);
    }
    for header in headers.into_iter().flatten() {
        seal_log(file, header.log_offset.get(), header.log_length.into());
    }
}

/// Seals the structure at `offset`, unless the file ends inside it. Returns its bytes.
fn seal_at(file: &mut UnpackedFile, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    file.fill(&mut bytes, offset);
    seal(&mut bytes);
    if offset + len as u64 <= file.size() {
        file.write(offset, &bytes[..SEALED]);
    }
    bytes
}

/// Seals everything that starts like an entry in a log of `len` bytes.
///
/// A log in a place that no header may name is not changed, because readers reject the file before they read its log.
fn seal_log(file: &mut UnpackedFile, start: u64, len: u64) {
    let end = start.saturating_add(len);
    if !start.is_multiple_of(PAGE) || !len.is_multiple_of(PAGE) || end > file.size() {
        return;
    }
    for at in file.written_pages(start, end) {
        let mut first = [0; 12];
        file.fill(&mut first, at);
        let claimed = u64::from(u32::from_le_bytes([first[8], first[9], first[10], first[11]]));
        if !first.starts_with(b"loge") || claimed == 0 || !claimed.is_multiple_of(PAGE) || claimed > len {
            continue;
        }
        let mut entry = vec![0; claimed as usize];
        let (before_end, wrapped) = entry.split_at_mut(claimed.min(end - at) as usize);
        file.fill(before_end, at);
        file.fill(wrapped, start);
        seal(&mut entry);
        file.write(at, &entry[..SEALED]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Block, DirtyLog, Image, Random};
    use vhdx::{OpenOptions, Vhdx};

    #[test]
    fn unpacking_undoes_packing() {
        let mut image = Image::dynamic(1 << 20, 1 << 20);
        image.log = Some(DirtyLog { seed: 8, entries: 2, stale: 1, runs: 6, closed: false });
        image.litter = false;
        image.blocks.insert(0, Block::full(Random::new(1).bytes(9000)));
        let file = image.sparse();
        let packed = pack(&file);
        assert!(packed.len() < 64 << 10, "{}", packed.len());
        assert!(unpack(&packed).to_sparse().to_vec() == file.to_vec());
        let mut sealed = unpack(&packed);
        seal_structures(&mut sealed);
        Vhdx::open_with(sealed, &OpenOptions::default()).unwrap();
    }

    #[test]
    fn every_byte_string_is_a_file() {
        for len in 0..200 {
            let mut file = unpack(&Random::new(len as u64).bytes(len));
            seal_structures(&mut file);
            assert!(file.size() < PAGES * PAGE);
        }
    }
}
