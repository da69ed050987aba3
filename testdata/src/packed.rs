//! Files as short byte strings, for fuzzing: a VHDX file has its first block after several MiB, most of them zeros.
//!
//! A packed file is its length (in pages of 4 KiB, and bytes), and pieces: page number, offset in the page, length, and
//! that many bytes. Every byte string is a packed file.

use vhdx::format::bytes::seal;
use vhdx::format::header::{self, Header};
use vhdx::format::region_table;

use crate::sparse::SparseImage;

const PAGE: u64 = 4096;
/// How many pages a file has at most: 64 MiB.
const PAGES: u64 = 16 << 10;
/// Pieces that lie closer together are one piece.
const GAP: usize = 16;

/// Packs a file of at most 64 MiB.
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

/// The file that a byte string stands for.
pub fn unpack(packed: &[u8]) -> SparseImage {
    let Some((size, mut rest)) = packed.split_first_chunk::<4>() else { return SparseImage::default() };
    let size = number(size, 0) % PAGES * PAGE + number(size, 2) % PAGE;
    let mut file = SparseImage::new(size);
    while let Some((place, after)) = rest.split_first_chunk::<6>() {
        let (bytes, others) = after.split_at(after.len().min(number(place, 4) as usize));
        file.write(number(place, 0) % PAGES * PAGE + number(place, 2) % PAGE, bytes);
        rest = others;
    }
    file.set_len(size);
    file
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]]).into()
}

/// Makes the checksums of headers, region tables and log entries right, so that what is behind them is looked at.
pub fn seal_structures(file: &mut SparseImage) {
    let mut seal_at = |offset: u64, len: usize| {
        let mut bytes = file.read(offset, len);
        seal(&mut bytes);
        if offset + len as u64 <= file.size() {
            file.write(offset, &bytes);
        }
        bytes
    };
    let headers = header::OFFSETS.map(|offset| Header::parse(&seal_at(offset.get(), header::SIZE)));
    for offset in region_table::OFFSETS {
        seal_at(offset.get(), region_table::SIZE);
    }
    for header in headers.into_iter().flatten() {
        seal_log(file, header.log_offset.get(), header.log_length.into());
    }
}

fn seal_log(file: &mut SparseImage, start: u64, len: u64) {
    let end = start.saturating_add(len);
    if len == 0 || !len.is_multiple_of(PAGE) || end > file.size() {
        return;
    }
    for at in (0..len).step_by(PAGE as usize) {
        let first = file.read(start + at, PAGE as usize);
        let claimed = u64::from(u32::from_le_bytes([first[8], first[9], first[10], first[11]]));
        if !first.starts_with(b"loge") || claimed == 0 || !claimed.is_multiple_of(PAGE) || claimed > len {
            continue;
        }
        let places = (0..claimed / PAGE).map(|sector| start + (at + sector * PAGE) % len);
        let mut entry: Vec<u8> = places.flat_map(|place| file.read(place, PAGE as usize)).collect();
        seal(&mut entry);
        file.write(start + at, &entry[..PAGE as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Block, DirtyLog, Image, Random};
    use vhdx::Vhdx;

    #[test]
    fn unpacking_undoes_packing() {
        let mut image = Image::dynamic(1 << 20, 1 << 20);
        image.log = Some(DirtyLog { seed: 8, entries: 2, stale: 1, runs: 6, closed: false });
        image.litter = false;
        image.blocks.insert(0, Block::full(Random::new(1).bytes(9000)));
        let file = image.sparse();
        let packed = pack(&file);
        assert!(packed.len() < 64 << 10, "{}", packed.len());
        assert!(unpack(&packed).to_vec() == file.to_vec());
        let mut sealed = unpack(&packed);
        seal_structures(&mut sealed);
        Vhdx::from_storage(sealed).unwrap();
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
