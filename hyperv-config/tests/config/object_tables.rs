//! Object tables and key tables.

use hyperv_config::{Configuration, Damage, Error, Limit, Problem};
use vhdx_testkit::container::{Container, ContainerKey, KeyTable, ROOT, object_table, seal_crc32};

use crate::common::{error, limit, paths, problems, read, read_soundly};

/// The offset of the last entry of the first object table, which names the second one.
const LAST_ENTRY: usize = 8192 + 8 + 18 * 226;

/// A container with `count` key tables of one key each.
fn with_tables(count: u16) -> Container {
    let mut container = Container::new();
    for number in 0..count {
        let mut one = Container::new();
        one.add(ContainerKey::int(ROOT, &format!("k{number}"), 1));
        container.tables.push(KeyTable { index: number + 1, ..one.tables.remove(0) });
    }
    container
}

/// A container with key tables of the same index and these sequence numbers. The first one has the key `k0`.
fn versions(sequences: &[u16]) -> Container {
    let mut container = with_tables(sequences.len() as u16);
    for (table, sequence) in container.tables.iter_mut().zip(sequences) {
        (table.index, table.sequence) = (1, *sequence);
    }
    container
}

#[track_caller]
fn damage_of(bytes: Vec<u8>) -> Damage {
    match error(bytes) {
        Error::Corrupt { damage, .. } => damage,
        other => panic!("{other}"),
    }
}

#[test]
fn object_tables_form_a_chain() {
    for slots in [2, 3, 5, 227] {
        let container = Container { object_slots: slots, ..with_tables(9) };
        assert_eq!(read_soundly(&container).tree().len(), 9, "{slots}");
    }
}

#[test]
fn a_cycle_of_object_tables_is_an_error() {
    let container = Container { object_slots: 3, ..with_tables(4) };
    let sound = container.build();
    for target in [8192, container.object_table_offset(1)] {
        let mut bytes = sound.clone();
        let second = container.object_table_offset(1) as usize;
        let table = object_table(&[(0, 0, 0), (1, target, 4096)]);
        bytes[second..second + table.len()].copy_from_slice(&table);
        assert_eq!(damage_of(bytes), Damage::ObjectTableCycle);
    }
}

#[test]
fn damage_in_object_tables() {
    let container = Container { object_slots: 3, ..with_tables(4) };
    let sound = container.build();
    let changed = |at: usize, new: &[u8]| {
        let mut bytes = sound.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        bytes
    };
    assert_eq!(damage_of(changed(8192, &[0])), Damage::ObjectTable);
    assert_eq!(damage_of(changed(8196, &1_000_000u32.to_le_bytes())), Damage::ObjectTable);
    assert_eq!(limit(Configuration::read(changed(8196, &[255; 4]))), (Limit::Objects, Some(8192)));
    // One damaged entry loses one key table. A damaged last entry could lose all further tables.
    let lost = read(changed(8192 + 8 + 5, &[1]));
    assert_eq!(paths(lost.tree()), ["/k1", "/k2", "/k3"]);
    assert_eq!(problems(&lost), [&Problem::ObjectEntry]);
    assert_eq!(lost.warnings().listed[0].offset, 8192 + 8);
    assert_eq!(damage_of(changed(LAST_ENTRY + 5, &[1])), Damage::ObjectTableChain);
    // The chain leads past the end of the file.
    for offset in [sound.len() as u64 - 4, sound.len() as u64, u64::MAX - 3, u64::MAX] {
        let mut bytes = sound.clone();
        bytes[LAST_ENTRY + 5..LAST_ENTRY + 13].copy_from_slice(&offset.to_le_bytes());
        seal_crc32(&mut bytes[LAST_ENTRY..LAST_ENTRY + 18], 1);
        assert_eq!(damage_of(bytes), Damage::ObjectTable);
    }
    assert_eq!(damage_of(sound[..8192].to_vec()), Damage::ReplayLog);
}

#[test]
fn entries_of_other_types_are_skipped() {
    let mut bytes = with_tables(1).build();
    for (slot, object_type) in [(1, 4), (2, 5), (3, 6), (4, 7), (5, 8), (6, 1)] {
        let entry = 8192 + 8 + 18 * slot;
        bytes[entry] = object_type;
        seal_crc32(&mut bytes[entry..entry + 18], 1);
    }
    let configuration = read(bytes);
    assert_eq!(paths(configuration.tree()), ["/k0"]);
    assert_eq!(problems(&configuration), [&Problem::ObjectType(8), &Problem::ObjectType(1)]);
}

#[test]
fn the_highest_sequence_of_one_index_is_current() {
    for (first, second, expected) in
        [(1, 2, "/k1"), (2, 1, "/k0"), (u16::MAX, 1, "/k0"), (0x7fff, 0x8000, "/k1")]
    {
        assert_eq!(paths(read_soundly(&versions(&[first, second])).tree()), [expected]);
    }
}

/// The rule of the headers: `the_header_with_the_higher_sequence_is_current`.
#[test]
fn equal_and_wrapped_sequences_of_one_index_are_ambiguous() {
    for (sequences, expected) in
        [([1, 1], [1, 1]), ([u16::MAX, 0], [0, u16::MAX]), ([0, u16::MAX], [0, u16::MAX])]
    {
        let damage = damage_of(versions(&sequences).build());
        assert_eq!(damage, Damage::AmbiguousKeyTables { index: 1, sequences: expected });
    }
}

#[test]
fn the_newest_of_three_key_tables_is_found_in_any_order() {
    for (sequences, expected) in [([1, 1, 2], "/k2"), ([1, 2, 1], "/k1"), ([2, 1, 1], "/k0")] {
        assert_eq!(paths(read_soundly(&versions(&sequences)).tree()), [expected]);
    }
    for sequences in [[2, 2, 1], [2, 1, 2], [1, 2, 2]] {
        let expected = Damage::AmbiguousKeyTables { index: 1, sequences: [2, 2] };
        assert_eq!(damage_of(versions(&sequences).build()), expected);
    }
    for sequences in [[0, 7, u16::MAX], [u16::MAX, 0, 7], [7, u16::MAX, 0]] {
        let expected = Damage::AmbiguousKeyTables { index: 1, sequences: [0, u16::MAX] };
        assert_eq!(damage_of(versions(&sequences).build()), expected);
    }
}

#[test]
fn a_key_table_that_is_named_twice_is_read_once() {
    let mut bytes = with_tables(1).build();
    bytes.copy_within(8192 + 8..8192 + 26, 8192 + 26);
    let configuration = read(bytes);
    assert_eq!(paths(configuration.tree()), ["/k0"]);
    assert_eq!(configuration.warnings().listed, []);
}

/// A table of an older version looks current if the header of the newer one is damaged.
#[test]
fn keys_may_be_old_if_the_newer_key_table_is_damaged() {
    let container = versions(&[1, 2]);
    let (older, newer) = (container.table_offset(0), container.table_offset(1));
    for field in 0..10 {
        let mut bytes = container.build();
        bytes[newer as usize + field] ^= 1;
        let configuration = read(bytes);
        assert_eq!(paths(configuration.tree()), ["/k0"]);
        let warnings = &configuration.warnings().listed;
        assert_eq!((warnings[0].offset, &warnings[0].problem), (newer, &Problem::KeyTable));
        assert!(warnings[0].to_string().contains("may be old"));
        // If the index itself is damaged, it is not known which keys are old.
        if (2..4).contains(&field) {
            assert_eq!(warnings.len(), 1);
        } else {
            assert_eq!((warnings[1].offset, &warnings[1].problem), (older, &Problem::OldKeys(1)));
            assert!(warnings[1].to_string().contains("may be old"));
            assert_eq!(warnings.len(), 2);
        }
    }
}

#[test]
fn object_tables_with_too_few_entries_are_reported() {
    let container = Container { object_slots: 3, ..with_tables(4) };
    for (table, is_first) in [(8192, true), (container.object_table_offset(1), false)] {
        for count in [0u32, 1, 226] {
            let mut bytes = container.build();
            bytes[table as usize + 4..table as usize + 8].copy_from_slice(&count.to_le_bytes());
            let configuration = read(bytes);
            let expected = Problem::ObjectTableCount { count, expected: 227 };
            assert_eq!(problems(&configuration), [&expected]);
            assert_eq!(configuration.warnings().listed[0].offset, table);
            let found = if is_first { count.min(2) } else { 2 + count.min(2) };
            assert_eq!(configuration.tree().len(), found as usize);
        }
    }
}

#[test]
fn damaged_key_tables_lose_only_their_own_keys() {
    let container = with_tables(3);
    let sound = container.build();
    let middle = container.table_offset(1) as usize;
    for field in 0..10 {
        let mut bytes = sound.clone();
        bytes[middle + field] ^= 0x10;
        let configuration = read(bytes);
        assert_eq!(paths(configuration.tree()), ["/k0", "/k2"]);
        assert_eq!(problems(&configuration), [&Problem::KeyTable]);
        assert_eq!(configuration.warnings().listed[0].offset, middle as u64);
    }
    let mut no_index = container.clone();
    no_index.tables[1].index = 0;
    assert_eq!(problems(&read(no_index.build())), [&Problem::KeyTable]);
}

#[test]
fn key_tables_at_the_end_of_the_file_may_be_cut() {
    let container = with_tables(2);
    let sound = container.build();
    let last = container.table_offset(1) as usize;
    for (len, keys, problem) in [
        (last + 10 + 32, 2, Problem::KeyTableCut),
        (last + 40, 1, Problem::KeyTableCut),
        (last + 10, 1, Problem::KeyTableCut),
        (last + 9, 1, Problem::KeyTable),
        (last, 1, Problem::KeyTable),
    ] {
        let configuration = read(sound[..len].to_vec());
        assert_eq!(configuration.tree().len(), keys, "{len}");
        assert_eq!(*problems(&configuration)[0], problem, "{len}");
    }
}

#[test]
fn key_tables_that_overlap_are_an_error() {
    let container = with_tables(2);
    let mut bytes = container.build();
    let entry = 8192 + 8;
    bytes[entry + 13..entry + 17].copy_from_slice(&4097u32.to_le_bytes());
    seal_crc32(&mut bytes[entry..entry + 18], 1);
    assert_eq!(damage_of(bytes.clone()), Damage::OverlappingKeyTables);
    bytes[entry + 13..entry + 17].copy_from_slice(&u32::MAX.to_le_bytes());
    seal_crc32(&mut bytes[entry..entry + 18], 1);
    // Nothing is allocated by a size in the file.
    let first = container.table_offset(0);
    assert_eq!(limit(Configuration::read(bytes)), (Limit::KeyTables, Some(first)));
}
