#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]

use super::*;
use crate::format::log_entry::{LogEntryHeader, LogWrite, encode_entry};

/// The offset of the log, behind the sectors that the tests patch.
const LOG: u64 = 16 * SECTOR;

fn page(sector: u64, fill: u8) -> LogWrite {
    LogWrite::Data { offset: FileOffset::new(sector * SECTOR), page: Box::new([fill; 4096]) }
}

fn zero(sector: u64, count: u64) -> LogWrite {
    LogWrite::Zero { offset: FileOffset::new(sector * SECTOR), len: count * SECTOR }
}

/// Returns an overlay with these writes over `base` sectors of 0xEE, as a file of `len` sectors.
///
/// The log with the writes lies behind the end that the overlay assumes.
fn overlay(writes: &[LogWrite], base: u64, len: u64) -> Overlay {
    let header = LogEntryHeader {
        entry_length: 0,
        tail: 0,
        sequence_number: 1,
        descriptor_count: 0,
        log_guid: uuid::Uuid::nil(),
        flushed_file_offset: 0,
        last_file_offset: 0,
    };
    let file = [vec![0xEE; LOG as usize], encode_entry(&header, writes).unwrap()].concat();
    let entry = file[LOG as usize..].to_vec();
    let mut overlay = Overlay::new(Arc::new(file), base * SECTOR, len * SECTOR);
    let mut sector = LOG + SECTOR;
    for descriptor in entry[64..].chunks(32).take(writes.len()) {
        match Descriptor::parse(descriptor).unwrap() {
            Descriptor::Zero { file_offset, length, .. } => {
                overlay.zero(file_offset..file_offset.saturating_add(length));
            }
            data => {
                overlay.page(&data, FileOffset::new(sector)).unwrap();
                sector += SECTOR;
            }
        }
    }
    overlay
}

/// Returns the fill byte of each sector.
fn sectors(writes: Vec<LogWrite>, len: u64) -> Vec<u8> {
    let overlay = overlay(&writes, 8.min(len), len);
    let len = overlay.size().unwrap();
    (0..len / SECTOR)
        .map(|sector| {
            let mut buf = vec![0; 4096];
            overlay.read_exact_at(&mut buf, FileOffset::new(sector * SECTOR)).unwrap();
            assert!(buf.iter().all(|&byte| byte == buf[0]));
            buf[0]
        })
        .collect()
}

#[test]
fn later_writes_win() {
    let below = 0xEE;
    assert_eq!(sectors(vec![page(1, 1), page(1, 2)], 3), [below, 2, below]);
    assert_eq!(sectors(vec![page(1, 1), zero(0, 3)], 4), [0, 0, 0, below]);
    assert_eq!(sectors(vec![zero(0, 5), page(2, 7), zero(1, 1)], 6), [0, 0, 7, 0, 0, below]);
    assert_eq!(sectors(vec![zero(0, 2), zero(1, 3), page(0, 1)], 5), [1, 0, 0, 0, below]);
    assert_eq!(sectors(vec![zero(2, 1), page(3, 3), zero(0, 8), page(7, 9)], 8), [0, 0, 0, 0, 0, 0, 0, 9]);
}

#[test]
fn the_file_grows_with_pages_and_the_last_file_offset() {
    assert_eq!(sectors(vec![page(9, 5)], 8), [0xEE, 0xEE, 0xEE, 0xEE, 0xEE, 0xEE, 0xEE, 0xEE, 0, 5]);
    assert_eq!(sectors(vec![zero(7, 1 << 50)], 9).len(), 9);
}

#[test]
fn reads_cross_patches_at_any_offset() {
    let overlay = overlay(&[page(1, 1), zero(2, 1)], 4, 4);
    let mut buf = vec![9; 3 * 4096 - 20];
    overlay.read_exact_at(&mut buf, FileOffset::new(4086)).unwrap();
    let expected = [vec![0xEE; 10], vec![1; 4096], vec![0; 4096], vec![0xEE; 4066]].concat();
    assert_eq!(buf, expected);
    assert!(overlay.read_exact_at(&mut [0; 2], FileOffset::new(4 * SECTOR - 1)).is_err());
}

#[test]
fn a_truncated_file_is_an_error_and_does_not_read_as_zeros() {
    let overlay = Overlay::new(Arc::new(vec![0xEE; 4096]), 2 * SECTOR, 2 * SECTOR);
    assert!(overlay.read_exact_at(&mut [0; 512], FileOffset::new(0)).is_ok());
    assert!(overlay.read_exact_at(&mut [0; 512], FileOffset::new(SECTOR)).is_err());
}

#[test]
fn empty_ranges_of_zeros_change_nothing() {
    let below = 0xEE;
    assert_eq!(sectors(vec![page(1, 1), zero(1, 0), page(2, 2)], 4), [below, 1, 2, below]);
    assert_eq!(sectors(vec![page(1, 1), zero(2, 0)], 3), [below, 1, below]);
    assert_eq!(sectors(vec![zero(0, 4), zero(0, 0), zero(2, 0), zero(4, 0)], 5), [0, 0, 0, 0, below]);
    let overlay = overlay(&[page(1, 1), zero(1, 0), zero(2, 0)], 4, 4);
    assert_eq!((overlay.patches(), overlay.pages(), overlay.zeroed()), (1, 1, 0));
}

#[test]
fn a_page_survives_zeros_that_end_where_it_begins() {
    let below = 0xEE;
    assert_eq!(sectors(vec![page(2, 7), zero(0, 2), zero(1, 1)], 4), [0, 0, 7, below]);
    assert_eq!(sectors(vec![page(3, 7), zero(2, 1), zero(1, 2)], 5), [below, 0, 0, 7, below]);
    assert_eq!(sectors(vec![page(2, 7), zero(0, 2), page(1, 8)], 4), [0, 8, 7, below]);
    assert_eq!(sectors(vec![page(0, 7), zero(1, 2), zero(1, 1)], 4), [7, 0, 0, below]);
}

/// Compares random writes with a plain array.
#[test]
fn an_overlay_reads_like_a_plain_array() {
    let mut random = vhdx_testkit::Random::new(20);
    for _ in 0..2000 {
        let mut plain = [0xEE; 8];
        let writes: Vec<LogWrite> = (1..=1 + random.below(6) as u8)
            .map(|fill| {
                let (at, count) = (random.below(8), random.below(5));
                if random.below(2) == 0 {
                    plain[at] = fill;
                    return page(at as u64, fill);
                }
                plain[at..8.min(at + count)].fill(0);
                zero(at as u64, count as u64)
            })
            .collect();
        let overlay = overlay(&writes, 8, 8);
        assert_eq!(sectors(writes, 8), plain);
        let zeroed = plain.iter().filter(|&&fill| fill == 0).count() as u64;
        let pages = plain.iter().filter(|&&fill| fill != 0 && fill != 0xEE).count() as u64;
        assert_eq!((overlay.zeroed(), overlay.pages()), (zeroed * SECTOR, pages));
        assert!(overlay.patches.iter().all(|(start, patch)| *start < patch.end));
    }
}
