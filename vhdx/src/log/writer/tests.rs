//! Tests that a replay finds what a writer wrote, wherever the last entry was torn.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]

use std::sync::Arc;

use super::*;
use crate::format::header::Header;
use crate::log::{self, LogState};
use crate::storage::{Memory, ReadAt};
use crate::violation::Violations;

const LOG: u64 = MIB;
const TARGET: u64 = 3 * MIB;

struct File {
    storage: Memory,
    writer: LogWriter,
}

impl File {
    /// Returns a file full of 0xEE with a new log of `len` bytes.
    fn new(len: u64) -> Self {
        let storage = Memory::new(vec![0xee; (4 * MIB) as usize]);
        let writer = LogWriter::start(&storage, FileOffset::new(LOG), len).unwrap();
        Self { storage, writer }
    }

    fn append(&mut self, writes: &[LogWrite]) {
        self.writer.append(&self.storage, writes, 4 * MIB, 4 * MIB).unwrap();
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.storage.size().unwrap() as usize];
        self.storage.read_exact_at(&mut bytes, FileOffset::new(0)).unwrap();
        bytes
    }
}

fn pages(count: usize, byte: u8) -> Vec<LogWrite> {
    let page = |n| LogWrite::Data {
        offset: FileOffset::new(TARGET + n as u64 * SECTOR),
        page: Box::new([byte; 4096]),
    };
    (0..count).map(page).collect()
}

/// Returns the byte at the target after a replay, and the number of active entries.
fn outcome(file: Vec<u8>, guid: Uuid, len: u64) -> (u8, usize) {
    let header = Header {
        sequence_number: 1,
        file_write_guid: Uuid::nil(),
        data_write_guid: Uuid::nil(),
        log_guid: guid,
        log_version: 0,
        version: 1,
        log_length: len as u32,
        log_offset: FileOffset::new(LOG),
    };
    let mut violations = Violations::new();
    let replayed = log::replay(Arc::new(file), &header, &mut violations).unwrap();
    assert_eq!(violations.as_slice(), []);
    let LogState::Dirty { entries } = replayed.state else { panic!("not dirty") };
    let mut byte = [0];
    replayed.storage.read_exact_at(&mut byte, FileOffset::new(TARGET)).unwrap();
    (byte[0], entries)
}

#[test]
fn a_new_log_is_empty_whatever_was_there_before() {
    let mut file = File::new(MIB);
    assert_eq!(outcome(file.bytes(), file.writer.guid(), MIB), (0xee, 1));
    file.append(&pages(3, 1));
    let before = file.writer.guid();
    file.writer = LogWriter::start(&file.storage, FileOffset::new(LOG), MIB).unwrap();
    assert_ne!(file.writer.guid(), before);
    assert_eq!(outcome(file.bytes(), file.writer.guid(), MIB), (0xee, 1));
}

#[test]
fn only_the_newest_entry_is_replayed_at_every_position_of_the_ring() {
    let mut file = File::new(MIB);
    let mut rounds = 0;
    for n in 0..200_u8 {
        let before = file.writer.at;
        file.append(&pages(1 + usize::from(n) * 7 % file.writer.capacity().unwrap(), n));
        rounds += usize::from(file.writer.at < before);
        assert_eq!(outcome(file.bytes(), file.writer.guid(), MIB), (n, 1));
    }
    assert!(rounds > 20, "{rounds}");
}

#[test]
fn a_torn_entry_leaves_the_previous_entry_active() {
    let mut file = File::new(MIB);
    // The numbers of pages of two entries. The second one is torn; in the second round it wraps around the ring.
    for (first, second) in [(70, 84), (84, 84), (60, 5)] {
        file.append(&pages(first, 1));
        let (before, at) = (file.bytes(), file.writer.at);
        file.append(&pages(second, 2));
        let after = file.bytes();
        assert_eq!(outcome(after.clone(), file.writer.guid(), MIB), (2, 1));
        let blocks = (entry_length(&pages(second, 2)).unwrap() / 512) as usize;
        let place = |block: usize| (LOG + (at + block as u64 * 512) % MIB) as usize;
        let torn = |is_lost: &dyn Fn(usize) -> bool| {
            let mut torn = after.clone();
            for at in (0..blocks).filter(|&block| is_lost(block)).map(place) {
                torn[at..at + 512].copy_from_slice(&before[at..at + 512]);
            }
            if torn != after {
                assert_eq!(outcome(torn, file.writer.guid(), MIB), (1, 1));
            }
        };
        for lost in (0..blocks).step_by(7) {
            torn(&|block| block == lost);
            torn(&|block| block >= lost);
            torn(&|block| block <= lost);
            torn(&|block| (block * 0x9e37 + lost * 0x79b9) % 7 < 3);
        }
    }
}

#[test]
fn capacity_is_limited_to_a_third_of_the_log_and_to_1_mib() {
    for (len, capacity) in [(MIB, 84), (2 * MIB, 168), (64 * MIB, 254), (MAX_LOG_LENGTH, 254)] {
        let writer = LogWriter { place: FileOffset::new(LOG), len, guid: Uuid::nil(), at: 0, last: 0 };
        assert_eq!(writer.capacity().unwrap(), capacity);
        assert!(entry_length(&pages(capacity, 0)).unwrap() <= (len / 3).min(MIB));
        assert!(entry_length(&pages(capacity + 1, 0)).unwrap() > (len / 3).min(MIB));
    }
    let mut file = File::new(MIB);
    let before = file.bytes();
    let error = file.writer.append(&file.storage, &pages(85, 1), 0, 0).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument(InvalidArgument::LogEntry)), "{error}");
    assert_eq!(file.bytes(), before);
}

#[test]
fn writes_that_a_replay_would_reject_are_not_written() {
    let mut file = File::new(MIB);
    let page = |offset| LogWrite::Data { offset: FileOffset::new(offset), page: Box::new([1; 4096]) };
    let zero = |offset, len| LogWrite::Zero { offset: FileOffset::new(offset), len };
    let odd = [page(TARGET + 512), zero(TARGET, 512)];
    let forbidden = [page(0), page(FIRST_TARGET - SECTOR), page(LOG), page(LOG + MIB - SECTOR)];
    let far = [page(MAX_FILE_LENGTH), zero(TARGET, u64::MAX - SECTOR + 1), zero(0, 2 * MIB)];
    for write in odd.into_iter().chain(forbidden).chain(far) {
        let result = file.writer.append(&file.storage, std::slice::from_ref(&write), 0, 0);
        assert!(matches!(result, Err(Error::InvalidArgument(InvalidArgument::LogEntry))), "{write:?}");
    }
    let too_long = file.writer.append(&file.storage, &[], 0, MAX_FILE_LENGTH + 1);
    assert!(too_long.is_err());
    file.append(&[page(FIRST_TARGET), page(LOG - SECTOR), page(LOG + MIB), zero(TARGET, SECTOR)]);
    assert_eq!(outcome(file.bytes(), file.writer.guid(), MIB), (0, 1));
}

#[test]
fn the_flushed_length_is_rounded_down_and_the_last_one_up() {
    let mut file = File::new(MIB);
    file.writer.append(&file.storage, &[], 4 * MIB - 1, 4 * MIB + 1).unwrap();
    let entry = &file.bytes()[(LOG + SECTOR) as usize..][..64];
    let header = LogEntryHeader::parse(entry).unwrap();
    assert_eq!((header.flushed_file_offset, header.last_file_offset), (3 * MIB, 5 * MIB));
    assert_eq!((header.tail, header.sequence_number), (SECTOR as u32, 2));
}

#[test]
fn a_log_that_cannot_be_replayed_is_not_started() {
    for len in [0, SECTOR, MIB + SECTOR, MAX_LOG_LENGTH + MIB] {
        let storage = Memory::default();
        let error = LogWriter::start(&storage, FileOffset::new(LOG), len).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument(InvalidArgument::LogLength(found)) if found == len));
        assert_eq!(storage.size().unwrap(), 0);
    }
}

#[test]
fn a_log_past_the_end_of_the_file_gets_its_space() {
    let storage = Memory::new(vec![0; MIB as usize + 17]);
    let writer = LogWriter::start(&storage, FileOffset::new(LOG), 2 * MIB).unwrap();
    assert_eq!(storage.size().unwrap(), 3 * MIB);
    let header = LogEntryHeader::parse(&storage.into_inner()[LOG as usize..]).unwrap();
    assert_eq!(header.flushed_file_offset, 3 * MIB);
    assert_eq!(writer.at, SECTOR);
}
