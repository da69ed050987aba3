use super::super::testing::{for_each_flip, hex, some_guid, validated};
use super::*;
use crate::error::ErrorKind;

const LOG: (FileOffset, u64) = (FileOffset::new(MIB), MIB);
const FILE_LEN: u64 = 16 * MIB;

fn region(id: Uuid, offset_mib: u64, length_mib: u64) -> Region {
    Region { id, offset: FileOffset::new(offset_mib * MIB), length: length_mib * MIB, required: true }
}

fn optional(region: Region) -> Region {
    Region { required: false, ..region }
}

fn sound() -> RegionTable {
    RegionTable { regions: vec![region(BAT_REGION, 3, 1), region(METADATA_REGION, 2, 1)] }
}

fn with(more: &[Region]) -> RegionTable {
    let mut table = sound();
    table.regions.extend(more);
    table
}

fn validate(table: &RegionTable) -> (Option<Regions>, Vec<Rule>) {
    validated(|violations| table.validate(1, LOG, FILE_LEN, violations))
}

fn rules(table: &RegionTable) -> Vec<Rule> {
    let (regions, rules) = validate(table);
    assert_eq!(
        regions.is_some(),
        rules.iter().all(|rule| rule.severity() <= crate::rules::Severity::Tolerated)
    );
    rules
}

#[test]
fn golden_bytes_that_windows_wrote() {
    let mut bytes = hex("72656769ae8c6bc6 0200000000000000
        6677c22d23f600429d64115e9bfd4a08 0000300000000000 0000100001000000
        06a27c8b90479a4bb8fe575f050f886e 0000200000000000 0000100001000000");
    bytes.resize(SIZE, 0);
    assert_eq!(sound().encode().unwrap(), bytes);
    assert_eq!(validated(|violations| validate_copy(&bytes, 1, violations)), (Some(sound()), vec![]));
}

#[test]
fn every_field_is_read_as_it_was_written() {
    let table = RegionTable { regions: vec![optional(region(some_guid(1), u64::MAX / MIB, 1)); MAX_ENTRIES] };
    assert_eq!(RegionTable::parse(&table.encode().unwrap()), Some(table));
}

#[test]
fn values_that_exceed_their_field_are_not_encoded() {
    let long = RegionTable { regions: vec![region(BAT_REGION, 3, 4096)] };
    assert_eq!(long.encode().unwrap_err().kind(), ErrorKind::Internal);
    let many = RegionTable { regions: vec![region(BAT_REGION, 3, 1); MAX_ENTRIES + 1] };
    assert_eq!(many.encode().unwrap_err().kind(), ErrorKind::Internal);
}

#[test]
fn a_table_with_too_many_entries_is_rejected() {
    let mut bytes = RegionTable { regions: vec![region(BAT_REGION, 3, 1); MAX_ENTRIES] }.encode().unwrap();
    bytes[8..12].copy_from_slice(&(MAX_ENTRIES as u32 + 1).to_le_bytes());
    bytes::seal(&mut bytes);
    let found = validated(|violations| validate_copy(&bytes, 1, violations));
    assert_eq!(found, (None, vec![Rule::RegionCount]));
}

#[test]
fn a_change_of_any_byte_is_detected() {
    for_each_flip(&sound().encode().unwrap(), |position, bytes| {
        let rule = if position < 4 { Rule::RegionTableSignature } else { Rule::RegionTableChecksum };
        assert_eq!(
            validated(|violations| validate_copy(bytes, 2, violations)),
            (None, vec![rule]),
            "{position}"
        );
    });
}

#[test]
fn a_short_copy_is_rejected() {
    let bytes = sound().encode().unwrap();
    for len in [0, 3, 16, SIZE - 1] {
        let (table, rules) = validated(|violations| validate_copy(&bytes[..len], 1, violations));
        assert_eq!((table, rules), (None, vec![Rule::Truncated]), "{len}");
    }
}

#[test]
fn reserved_bits_are_tolerated_and_do_not_change_the_required_bit() {
    for (position, required) in [(12, true), (16 + 28, true), (16 + 31, true)] {
        let mut bytes = sound().encode().unwrap();
        bytes[position] |= 0x80;
        bytes::seal(&mut bytes);
        let (table, rules) = validated(|violations| validate_copy(&bytes, 1, violations));
        assert_eq!(rules, [Rule::RegionTableReserved], "{position}");
        assert_eq!(table.unwrap().regions[0].required, required);
    }
}

#[test]
fn the_first_valid_copy_is_chosen() {
    let number = |first, second| validated(|violations| choose(first, second, violations).map(|(n, _)| n));
    let other = with(&[optional(region(some_guid(1), 5, 1))]);
    assert_eq!(number(Some(sound()), Some(sound())), (Some(1), vec![]));
    assert_eq!(number(Some(sound()), Some(other)), (Some(1), vec![Rule::RegionTablesUnequal]));
    let other = with(&[Region { required: true, ..region(some_guid(1), 5, 1) }]);
    assert_eq!(number(Some(sound()), Some(other)), (None, vec![Rule::RegionTablesDiffer]));
    for index in [0, 1] {
        let mut moved = sound();
        moved.regions[index].offset = FileOffset::new(64 * MIB);
        assert_eq!(number(Some(sound()), Some(moved)), (None, vec![Rule::RegionTablesDiffer]));
    }
    assert_eq!(number(None, Some(sound())), (Some(2), vec![]));
    assert_eq!(number(Some(sound()), None), (Some(1), vec![]));
    assert_eq!(number(None, None), (None, vec![Rule::NoRegionTable]));
}

#[test]
fn a_valid_table_returns_its_regions() {
    let unknown = optional(region(some_guid(1), 20, 1));
    let (regions, rules) = validate(&with(&[unknown]));
    let regions = regions.unwrap();
    assert_eq!(rules, []);
    assert_eq!((regions.bat.offset.get(), regions.metadata.offset.get()), (3 * MIB, 2 * MIB));
    assert_eq!(regions.all.len(), 3);
}

#[test]
fn single_regions_are_validated() {
    let unaligned = Region { offset: FileOffset::new(5 * MIB + 4096), ..region(some_guid(1), 5, 1) };
    let odd_length = Region { length: 4096, ..region(some_guid(1), 5, 1) };
    assert_eq!(rules(&with(&[optional(unaligned)])), [Rule::RegionOffset]);
    assert_eq!(rules(&with(&[optional(region(some_guid(1), 0, 1))])), [Rule::RegionOffset]);
    assert_eq!(rules(&with(&[optional(odd_length)])), [Rule::RegionLength]);
    assert_eq!(rules(&with(&[optional(region(some_guid(1), 5, 0))])), [Rule::RegionLength]);
    assert_eq!(rules(&with(&[region(some_guid(1), 5, 1)])), [Rule::RegionUnknown]);

    let mut table = sound();
    table.regions[1].required = false;
    assert_eq!(rules(&table), [Rule::RegionNotRequired]);
    table = sound();
    table.regions[1] = region(METADATA_REGION, 15, 2);
    assert_eq!(rules(&table), [Rule::RegionPastEnd]);
    table.regions[1] = region(METADATA_REGION, 15, 1);
    assert_eq!(rules(&table), []);
    table.regions[0] = region(BAT_REGION, u64::MAX / MIB, 1);
    assert_eq!(rules(&table), [Rule::RegionPastEnd]);
}

#[test]
fn a_metadata_region_of_more_than_128_mib_is_rejected() {
    for (length, expected) in [(128, vec![]), (129, vec![Rule::MetadataRegionTooLarge])] {
        let table =
            RegionTable { regions: vec![region(BAT_REGION, 3, 1), region(METADATA_REGION, 4, length)] };
        assert_eq!(validated(|violations| table.validate(1, LOG, 1 << 40, violations)).1, expected);
    }
}

#[test]
fn both_regions_must_occur_exactly_once() {
    let only = |region| RegionTable { regions: vec![region] };
    assert_eq!(rules(&only(region(BAT_REGION, 3, 1))), [Rule::MetadataRegionMissing]);
    assert_eq!(rules(&only(region(METADATA_REGION, 3, 1))), [Rule::BatRegionMissing]);
    assert_eq!(rules(&RegionTable::default()), [Rule::BatRegionMissing, Rule::MetadataRegionMissing]);
    assert_eq!(rules(&with(&[region(BAT_REGION, 5, 1)])), [Rule::RegionDuplicate]);
}

#[test]
fn regions_overlap_neither_each_other_nor_the_log() {
    let found = |regions: &[Region]| {
        let mut violations = Violations::new();
        assert_eq!(with(regions).validate(2, LOG, FILE_LEN, &mut violations), None);
        let [violation] = violations.as_slice() else { panic!("{violations:?}") };
        assert_eq!(violation.rule, Rule::RegionOverlap);
        (violation.structure, violation.offset.get(), violation.found.clone())
    };
    use crate::violation::Found;
    let place = 256 * KIB + 16 + 2 * 32;
    let log = Found::Other(Structure::Log);
    assert_eq!(found(&[optional(region(some_guid(1), 1, 1))]), (Structure::RegionTableEntry(2), place, log));
    let bat = Found::Other(Structure::RegionTableEntry(0));
    assert_eq!(found(&[optional(region(some_guid(1), 3, 4))]), (Structure::RegionTableEntry(2), place, bat));
    let huge = Region { length: u64::MAX, ..optional(region(some_guid(1), 4, 1)) };
    assert_eq!(rules(&with(&[huge])), [Rule::RegionLength]);
}
