use super::super::metadata_item::*;
use super::super::region_table::METADATA_REGION;
use super::super::testing::{hex, some_guid, validated};
use super::*;
use crate::error::ErrorKind;
use crate::units::FileOffset;

fn region() -> Region {
    Region { id: METADATA_REGION, offset: FileOffset::new(2 * MIB), length: 4 * MIB, required: true }
}

fn entry(id: Uuid, offset: u32, length: u32, flags: u32) -> MetadataEntry {
    MetadataEntry {
        id,
        offset,
        length,
        is_user: flags & IS_USER != 0,
        is_virtual_disk: flags & IS_VIRTUAL_DISK != 0,
        is_required: flags & IS_REQUIRED != 0,
    }
}

fn sound() -> MetadataTable {
    let entries = vec![
        entry(FILE_PARAMETERS, 0x10000, 8, 4),
        entry(VIRTUAL_DISK_SIZE, 0x10008, 8, 6),
        entry(LOGICAL_SECTOR_SIZE, 0x10010, 4, 6),
        entry(PHYSICAL_SECTOR_SIZE, 0x10014, 4, 6),
        entry(VIRTUAL_DISK_ID, 0x10018, 16, 6),
        entry(PARENT_LOCATOR, 0x10028, 730, 4),
    ];
    MetadataTable { entries }
}

fn with(more: &[MetadataEntry]) -> MetadataTable {
    let mut table = sound();
    table.entries.extend(more);
    table
}

fn validate(bytes: &[u8]) -> (Option<MetadataTable>, Vec<Rule>) {
    validated(|violations| MetadataTable::validate(bytes, &region(), violations))
}

fn rules(table: &MetadataTable) -> Vec<Rule> {
    let (found, rules) = validate(&table.encode().unwrap());
    let tolerated = rules.iter().all(|rule| rule.severity() <= crate::rules::Severity::Tolerated);
    assert_eq!(found.as_ref(), tolerated.then_some(table));
    rules
}

#[test]
fn golden_bytes_that_windows_wrote() {
    let mut bytes = hex("6d65746164617461 0000060000000000 00000000000000000000000000000000
        3767a1ca36fa434db3b633f0aa44e76b 0000010008000000 0400000000000000
        2442a52f1bcd7648b2115dbed83bf4b8 0800010008000000 0600000000000000
        1dbf41816fa90947ba47f233a8faab5f 1000010004000000 0600000000000000
        c748a3cd5d4471449cc9e9885251c556 1400010004000000 0600000000000000
        ab12cabee6b2234593efc309e000c746 1800010010000000 0600000000000000
        2d5fd3a80bb34d45abf7d3d84834ab0c 28000100da020000 0400000000000000");
    bytes.resize(SIZE, 0);
    assert_eq!(sound().encode().unwrap(), bytes);
    assert_eq!(validate(&bytes), (Some(sound()), vec![]));
}

#[test]
fn every_field_is_read_as_it_was_written() {
    let flags = (0..8).map(|flags| entry(some_guid(flags as u8), flags + 1, u32::MAX - flags, flags));
    let table = MetadataTable { entries: flags.collect() };
    assert_eq!(MetadataTable::parse(&table.encode().unwrap()), Some(table));
}

#[test]
fn the_signature_the_size_and_the_count_are_validated() {
    let bytes = sound().encode().unwrap();
    assert_eq!(validate(&bytes[..SIZE - 1]), (None, vec![Rule::Truncated]));
    for position in 0..8 {
        let mut bytes = bytes.clone();
        bytes[position] ^= 1;
        assert_eq!(validate(&bytes), (None, vec![Rule::MetadataSignature]));
    }
    let mut many = MetadataTable { entries: vec![entry(some_guid(1), 0, 0, 0); MAX_ENTRIES] };
    let mut bytes = many.encode().unwrap();
    bytes[10..12].copy_from_slice(&(MAX_ENTRIES as u16 + 1).to_le_bytes());
    assert_eq!(validate(&bytes), (None, vec![Rule::MetadataCount]));
    many.entries.push(many.entries[0]);
    assert_eq!(many.encode().unwrap_err().kind(), ErrorKind::Internal);
}

#[test]
fn user_and_system_entries_are_counted_separately() {
    let empty = |n: usize, flags| entry(Uuid::from_u128(n as u128), 0, 0, flags);
    let of_each = |user, system| MetadataTable {
        entries: (0..user).map(|n| empty(n, IS_USER)).chain((0..system).map(|n| empty(n, 0))).collect(),
    };
    assert_eq!(rules(&of_each(1024, 1023)), []);
    assert_eq!(rules(&of_each(1025, 0)), [Rule::MetadataUserCount]);
    assert_eq!(rules(&of_each(0, 1024)), [Rule::MetadataSystemCount]);
}

#[test]
fn reserved_bits_are_fatal() {
    for position in [8, 12, 31, 32 + 24, 32 + 27, 32 + 28, 32 + 31] {
        let mut bytes = sound().encode().unwrap();
        bytes[position] |= 0x08;
        assert_eq!(validate(&bytes), (None, vec![Rule::MetadataReserved]), "{position}");
    }
}

#[test]
fn an_id_is_unique_among_user_items_and_among_system_items() {
    let twin = entry(FILE_PARAMETERS, 0x20000, 8, IS_REQUIRED);
    assert_eq!(rules(&with(&[twin])), [Rule::MetadataDuplicate]);
    let user = entry(FILE_PARAMETERS, 0x20000, 8, IS_USER);
    let table = with(&[user]);
    assert_eq!(rules(&table), []);
    assert_eq!(table.system_item(FILE_PARAMETERS), Some(&sound().entries[0]));
    assert_eq!(MetadataTable { entries: vec![user] }.system_item(FILE_PARAMETERS), None);
}

#[test]
fn items_lie_within_the_region_and_past_the_table() {
    let placed = |offset, length| rules(&with(&[entry(some_guid(1), offset, length, 0)]));
    assert_eq!(placed(0x20000, 1 << 20), []);
    assert_eq!(placed(0x20000, (1 << 20) + 1), [Rule::MetadataItemLength]);
    assert_eq!(placed(0xffff, 1), [Rule::MetadataItemPlace]);
    assert_eq!(placed((4 << 20) - 1, 1), []);
    assert_eq!(placed((4 << 20) - 1, 2), [Rule::MetadataItemPlace]);
    assert_eq!(placed(u32::MAX, u32::MAX), [Rule::MetadataItemLength, Rule::MetadataItemPlace]);
    assert_eq!(placed(0, 0), []);
    assert_eq!(placed(0x20000, 0), [Rule::MetadataItemEmpty]);
}

#[test]
fn items_do_not_overlap() {
    let mut violations = Violations::new();
    let table = with(&[entry(some_guid(1), 0x10017, 1, 0)]);
    assert_eq!(MetadataTable::validate(&table.encode().unwrap(), &region(), &mut violations), None);
    let [violation] = violations.as_slice() else { panic!("{violations:?}") };
    assert_eq!(violation.rule, Rule::MetadataItemOverlap);
    assert_eq!(violation.structure, Structure::MetadataTableEntry(6));
    assert_eq!(violation.offset.get(), 2 * MIB + 32 + 6 * 32);
    assert_eq!(violation.found, crate::violation::Found::Other(Structure::MetadataTableEntry(3)));
}

#[test]
fn required_items_must_be_known() {
    let item = |id, flags| rules(&with(&[entry(id, 0x20000, 4, flags)]));
    assert_eq!(item(some_guid(1), 0), []);
    assert_eq!(item(some_guid(1), IS_REQUIRED), [Rule::MetadataItemUnknown]);
    assert_eq!(item(some_guid(1), IS_REQUIRED | IS_USER), [Rule::MetadataItemUnknown]);
    assert_eq!(item(FILE_PARAMETERS, IS_REQUIRED | IS_USER), [Rule::MetadataItemUnknown]);
    assert_eq!(item(PMEM_LABELS, IS_REQUIRED), [Rule::MetadataItemUnknown]);
    assert_eq!(item(CHS_PARAMETERS, IS_REQUIRED), []);
}

#[test]
fn an_unfinished_creation_is_reported_first() {
    let unknown = entry(some_guid(1), 0x20000, 4, IS_REQUIRED);
    let incomplete = entry(INCOMPLETE_FILE, 0, 0, IS_REQUIRED);
    assert_eq!(rules(&with(&[incomplete])), [Rule::CreationIncomplete]);
    assert_eq!(rules(&with(&[unknown, incomplete])), [Rule::CreationIncomplete, Rule::MetadataItemUnknown]);
    let user = MetadataEntry { is_user: true, is_required: false, ..incomplete };
    assert_eq!(rules(&with(&[user])), []);
}

#[test]
fn known_items_must_have_the_specified_flags() {
    for index in 0..6 {
        for flags in [0, 2, 4, 6] {
            let mut table = sound();
            let right = table.entries[index].flags();
            table.entries[index] = entry(table.entries[index].id, table.entries[index].offset, 4, flags);
            let expected = if flags == right { vec![] } else { vec![Rule::MetadataItemFlags] };
            assert_eq!(rules(&table), expected, "{index} {flags}");
        }
    }
}
