//! The replay log, which is applied in memory.

use std::sync::Arc;

use hyperv_config::{Configuration, Damage, Error};
use vhdx_testkit::container::{Container, ContainerKey, ROOT, seal_crc32};

use crate::common::{error, paths, read};

const LOG: usize = Container::log_offset() as usize;

/// A container whose only key table is lost, and still in the log.
fn dirty() -> Container {
    let mut container = Container::new();
    container.add(ContainerKey::text(ROOT, "name", "server"));
    let table = container.table_offset(0);
    let bytes = container.build()[table as usize..][..4096].to_vec();
    // Two entries overwrite each other: the second one is right.
    container.log = vec![(table, vec![0xaa; 4096]), (table, bytes)];
    container.tables[0].keys.clear();
    container.log_count = 2;
    container
}

#[test]
fn entries_are_applied_in_their_order() {
    let mut container = dirty();
    let bytes = container.build();
    let configuration = read(bytes.clone());
    assert_eq!(configuration.replayed_entries(), 2);
    assert_eq!(configuration.warnings().listed, []);
    assert_eq!(paths(configuration.tree()), ["/name"]);
    container.log_count = 0;
    let clean = read(container.build());
    assert_eq!((clean.replayed_entries(), clean.tree().len()), (0, 0), "stale entries are not applied");
}

/// Readers that do not replay the log fail, or silently lose the keys.
#[test]
fn the_log_restores_two_destroyed_key_tables() {
    let mut container = Container::new();
    let node = container.add(ContainerKey::node(ROOT, "node"));
    for number in 0..80 {
        container.add(ContainerKey::text(node, &number.to_string(), "some text"));
    }
    let tables = [container.table_offset(0), container.table_offset(1)];
    assert_eq!(container.tables.len(), 2);
    let sound = container.build();
    container.log = tables.map(|table| (table, sound[table as usize..][..4096].to_vec())).to_vec();
    for (count, keys) in [(2, 81), (0, 0)] {
        container.log_count = count;
        let mut bytes = container.build();
        for table in tables {
            bytes[table as usize..][..4096].fill(0xee);
        }
        let before = bytes.clone();
        let file = Arc::new(bytes);
        let configuration = Configuration::read(Arc::clone(&file)).unwrap();
        assert_eq!((configuration.replayed_entries(), configuration.tree().len()), (count, keys));
        assert_eq!(configuration.warnings().listed.len(), 2 - count as usize);
        assert!(*file == before, "the log is applied in memory only");
    }
}

#[test]
fn a_replay_can_make_the_file_longer() {
    let mut container = dirty();
    let end = container.build().len() as u64;
    let table = container.log[1].1.clone();
    container.log = vec![(end, table)];
    container.log_count = 1;
    let mut bytes = container.build();
    // The object table leads past the end of the file.
    let entry = 8192 + 8;
    let past_end = bytes.len() as u64;
    bytes[entry + 5..entry + 13].copy_from_slice(&past_end.to_le_bytes());
    seal_crc32(&mut bytes[entry..entry + 18], 1);
    let log_entry = LOG + 34;
    bytes[log_entry..log_entry + 8].copy_from_slice(&past_end.to_le_bytes());
    seal_crc32(&mut bytes[log_entry..log_entry + 28], 20);
    assert_eq!(paths(read(bytes.clone()).tree()), ["/name"]);
    for destination in [past_end + 4097, 1 << 60, u64::MAX - 4096, u64::MAX] {
        bytes[log_entry..log_entry + 8].copy_from_slice(&destination.to_le_bytes());
        seal_crc32(&mut bytes[log_entry..log_entry + 28], 20);
        is_damaged(bytes.clone(), Damage::ReplayEntry(0));
    }
}

#[track_caller]
fn is_damaged(bytes: Vec<u8>, expected: Damage) {
    match error(bytes) {
        Error::Corrupt { damage, offset } => {
            let structure = match expected {
                Damage::ReplayEntry(number) => LOG + 34 + 28 * number as usize,
                _ => LOG,
            };
            assert_eq!((damage, offset), (expected, structure as u64));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn damaged_entries_that_must_be_replayed_are_an_error() {
    let sound = dirty().build();
    let flipped = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        bytes
    };
    is_damaged(flipped(LOG), Damage::ReplayLog);
    is_damaged(flipped(LOG + 8), Damage::ReplayLog);
    for field in 0..28 {
        is_damaged(flipped(LOG + 34 + field), Damage::ReplayEntry(0));
        is_damaged(flipped(LOG + 34 + 28 + field), Damage::ReplayEntry(1));
    }
    // A length beyond the limit is damage, too, if the checksum of the entry does not match.
    let mut long = sound.clone();
    long[LOG + 34 + 11] ^= 0x80;
    is_damaged(long, Damage::ReplayEntry(0));
    // The last byte of the file belongs to the data of the last entry.
    is_damaged(flipped(sound.len() - 1), Damage::ReplayEntry(1));
    is_damaged(sound[..sound.len() - 1].to_vec(), Damage::ReplayEntry(1));
    // A clean log does not need them.
    let mut clean = dirty();
    clean.log_count = 0;
    let mut bytes = clean.build();
    bytes[LOG + 34] ^= 1;
    assert!(Configuration::read(bytes).is_ok());
}

#[test]
fn counts_are_bounded() {
    for count in [3, 145, 146, u32::MAX] {
        let mut container = dirty();
        container.log_count = count;
        let expected = match count {
            3 | 145 => Damage::ReplayEntry(2),
            _ => Damage::ReplayLog,
        };
        is_damaged(container.build(), expected);
    }
}
