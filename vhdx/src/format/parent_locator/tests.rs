use super::super::testing::{hex, validated};
use super::*;

const AT: FileOffset = FileOffset::new(0x21_0028);
const GUID: &str = "{0e382594-bdb1-4949-b894-da2d82312c32}";
const ZERO: &str = "{00000000-0000-0000-0000-000000000000}";

fn locator(entries: &[(&str, &str)]) -> ParentLocator {
    ParentLocator { entries: entries.iter().map(|&(key, value)| (key.into(), value.into())).collect() }
}

fn sound() -> ParentLocator {
    locator(&[(PARENT_LINKAGE, GUID), (RELATIVE_PATH, r".\base.vhdx")])
}

fn with(more: &[(&str, &str)]) -> ParentLocator {
    let mut locator = sound();
    locator.entries.extend(more.iter().map(|&(key, value)| (key.into(), value.into())));
    locator
}

fn validate(bytes: &[u8]) -> (Option<ParentLocator>, Vec<Rule>) {
    validated(|violations| ParentLocator::validate(bytes, AT, violations))
}

/// Validates `sound()` after `change`.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> (Option<ParentLocator>, Vec<Rule>) {
    let mut bytes = sound().encode();
    change(&mut bytes);
    validate(&bytes)
}

#[test]
fn golden_bytes_that_windows_wrote() {
    let expected = locator(&[
        (PARENT_LINKAGE, GUID),
        (ABSOLUTE_WIN32_PATH, r"C:\virtdisk-acceptance\20261007T172747Z\sector-512\base.vhdx"),
        (RELATIVE_PATH, r".\base.vhdx"),
        (
            VOLUME_PATH,
            concat!(
                r"\\?\Volume{f8ca6cb5-12a2-470c-bfdf-fe35d8c84a63}",
                r"\virtdisk-acceptance\20261007T172747Z\sector-512\base.vhdx"
            ),
        ),
        (PARENT_LINKAGE2, ZERO),
    ]);
    let mut bytes = hex("b7ef4ab09ed1814ab78925b8e9445913 0000 0500
        50000000 6c000000 1c00 4c00   b8000000 de000000 2600 7800
        56010000 70010000 1a00 1600   86010000 9c010000 1600 d400
        70020000 8e020000 1e00 4c00");
    for (key, value) in &expected.entries {
        bytes.extend(key.encode_utf16().chain(value.encode_utf16()).flat_map(u16::to_le_bytes));
    }
    assert_eq!(bytes.len(), 730);
    assert_eq!(expected.encode(), bytes);
    assert_eq!(validate(&bytes), (Some(expected.clone()), vec![Rule::ParentPathPrefix]));
    assert_eq!(expected.linkages(), [uuid!("0e382594-bdb1-4949-b894-da2d82312c32")]);
    let paths: Vec<_> = expected.paths().map(|(key, _)| key).collect();
    assert_eq!(paths, [RELATIVE_PATH, VOLUME_PATH, ABSOLUTE_WIN32_PATH]);
}

#[test]
fn text_beyond_the_basic_plane_is_read_as_it_was_written() {
    let locator = with(&[("ключ 🖴", "é")]);
    assert_eq!(ParentLocator::parse(&locator.encode()), Some(locator.clone()));
    assert_eq!(validate(&locator.encode()), (Some(locator), vec![]));
}

#[test]
fn values_that_exceed_their_field_are_rejected_by_a_reader() {
    let long = with(&[("long", &"x".repeat(40_000))]);
    assert_eq!(validate(&long.encode()), (Some(sound()), vec![Rule::ParentLocatorEntry]));
    assert_eq!(long.encode_sound(), None);
    let many = ParentLocator { entries: vec![("k".into(), "v".into()); 65_536 + 2] };
    assert_eq!(validate(&many.encode()), (None, vec![Rule::ParentLocatorCount]));
}

#[test]
fn an_item_that_is_cut_at_any_length_is_reported() {
    let bytes = with(&[(ABSOLUTE_WIN32_PATH, r"\\?\C:\base.vhdx")]).encode();
    assert_eq!(validate(&bytes).1, []);
    for len in 0..bytes.len() {
        let (value, rules) = validate(&bytes[..len]);
        let rule = match len {
            0..20 => Rule::MetadataItemSize,
            20..56 => Rule::ParentLocatorCount,
            _ => Rule::ParentLocatorEntry,
        };
        assert_eq!(rules[0], rule, "{len}");
        // The linkage is the first entry, and the only one that is needed.
        let linkage_end = 56 + 2 * (PARENT_LINKAGE.len() + GUID.len());
        assert_eq!(value.is_some(), len >= linkage_end, "{len}: {rules:?}");
        assert!(value.is_none_or(|value| value.linkages() == sound().linkages()));
        assert_eq!(ParentLocator::parse(&bytes[..len]), None);
    }
}

#[test]
fn the_type_the_reserved_bytes_and_the_count_are_validated() {
    assert_eq!(changed(|bytes| bytes[0] ^= 1), (None, vec![Rule::ParentLocatorType]));
    assert_eq!(changed(|bytes| bytes[17] = 1), (Some(sound()), vec![Rule::ParentLocatorReserved]));
    let keys: Vec<String> = (0..255).map(|n| n.to_string()).collect();
    let more: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "v")).collect();
    assert_eq!(validate(&with(&more[..254]).encode()), (Some(with(&more[..254])), vec![]));
    assert_eq!(validate(&with(&more).encode()), (None, vec![Rule::ParentLocatorCount]));
}

#[test]
fn keys_and_values_lie_inside_the_item_and_are_not_empty() {
    let zero = |place: std::ops::Range<usize>| {
        move |bytes: &mut Vec<u8>| bytes[32..44][place].iter_mut().for_each(|byte| *byte = 0)
    };
    let path = Rule::ParentPathMissing;
    let (of_key, of_value) =
        (vec![Rule::ParentLocatorEntry, Rule::ParentLinkageLost, path], vec![Rule::ParentLocatorEntry, path]);
    for (place, rules) in [(0..4, &of_key), (4..8, &of_value), (8..10, &of_key), (10..12, &of_value)] {
        let (value, found) = changed(zero(place.clone()));
        assert_eq!(found, *rules, "{place:?}");
        assert_eq!(value.unwrap().linkages(), sound().linkages());
    }
    assert_eq!(changed(|bytes| bytes[32 + 8] -= 1).1, of_key);
    assert_eq!(changed(|bytes| bytes[32 + 10] += 2).1, of_value);
    assert_eq!(changed(|bytes| bytes[32..36].fill(0xff)).1, of_key);
}

/// Only `parent_linkage2` could have named another parent.
#[test]
fn an_ignored_entry_that_may_be_parent_linkage2_is_reported() {
    let unreadable = |entries: &[(&str, &str)]| {
        let mut bytes = with(entries).encode();
        let last = 20 + 12 * (with(entries).entries.len() - 1);
        bytes[last..last + 4].fill(0);
        validate(&bytes).1
    };
    let entry = Rule::ParentLocatorEntry;
    assert_eq!(unreadable(&[("key", "value")]), [entry, Rule::ParentLinkageLost]);
    assert_eq!(unreadable(&[(PARENT_LINKAGE2, ZERO), ("key", "value")]), [entry]);
    for second in ["x", "", "{}"] {
        let (value, rules) = validate(&with(&[(PARENT_LINKAGE2, second), ("key", "value")]).encode());
        assert!(rules.contains(&Rule::ParentLinkageLost), "{second:?}: {rules:?}");
        assert_eq!(value, Some(with(&[("key", "value")])), "{second:?}");
    }
}

#[test]
fn the_first_of_several_entries_with_one_key_is_used() {
    let other = "{11111111-2222-3333-4444-555555555555}";
    let duplicate = Rule::ParentLocatorDuplicate;
    let validated = |entries: &[(&str, &str)]| validate(&with(entries).encode());
    assert_eq!(validated(&[("key", "a"), ("key", "b")]), (Some(with(&[("key", "a")])), vec![duplicate]));
    let same = GUID.to_uppercase();
    assert_eq!(validated(&[(PARENT_LINKAGE, &same)]), (Some(sound()), vec![duplicate]));
    assert_eq!(validated(&[(PARENT_LINKAGE, other)]), (None, vec![Rule::ParentLinkageAmbiguous]));
    assert_eq!(validated(&[(PARENT_LINKAGE, "x")]), (None, vec![Rule::ParentLinkageAmbiguous]));
    let second = with(&[(PARENT_LINKAGE2, ZERO)]);
    let twice = validated(&[(PARENT_LINKAGE2, ZERO), (PARENT_LINKAGE2, ZERO)]);
    assert_eq!(twice, (Some(second.clone()), vec![duplicate]));
    let different = validated(&[(PARENT_LINKAGE2, ZERO), (PARENT_LINKAGE2, other)]);
    assert_eq!(different, (Some(second), vec![duplicate, Rule::ParentLinkageLost]));
}

#[test]
fn a_violation_has_the_offset_of_its_entry() {
    let mut violations = Violations::new();
    let locator = with(&[("relative_path", "x")]);
    assert_eq!(ParentLocator::validate(&locator.encode(), AT, &mut violations), Some(sound()));
    let [violation] = violations.as_slice() else { panic!("{violations:?}") };
    assert_eq!(violation.rule, Rule::ParentLocatorDuplicate);
    assert_eq!(violation.structure, Structure::ParentLocatorEntry(2));
    assert_eq!(violation.offset.get(), AT.get() + 20 + 2 * 12);
}

#[test]
fn keys_are_case_sensitive() {
    let locator = with(&[("Relative_Path", "x")]);
    assert_eq!(validate(&locator.encode()), (Some(locator), vec![]));
}

#[test]
fn an_unpaired_surrogate_is_not_text() {
    let (value, rules) = changed(|bytes| {
        let last = bytes.len() - 2;
        bytes[last..].copy_from_slice(&[0x00, 0xd8]);
    });
    assert_eq!(rules, [Rule::ParentLocatorText, Rule::ParentPathMissing]);
    assert_eq!(value.unwrap().linkages(), sound().linkages());
}

#[test]
fn parent_linkage_must_exist_and_be_a_guid() {
    let path = (RELATIVE_PATH, "base.vhdx");
    let validated = |entries: &[(&str, &str)]| validate(&locator(entries).encode()).1;
    assert_eq!(validated(&[path]), [Rule::ParentLinkageMissing]);
    assert_eq!(validated(&[path, (PARENT_LINKAGE2, GUID)]), [Rule::ParentLinkageMissing]);
    for malformed in ["x", "{}", "{0e382594-bdb1-4949-b894-da2d82312c32", "0e382594bdb14949b894da2d82312c32"]
    {
        assert_eq!(validated(&[path, (PARENT_LINKAGE, malformed)]), [Rule::ParentLinkageMalformed]);
    }
    for spelling in [GUID, &GUID.to_uppercase(), GUID.trim_matches(['{', '}'])] {
        let locator = locator(&[(PARENT_LINKAGE, spelling), path]);
        assert_eq!(validate(&locator.encode()).1, []);
        assert_eq!(locator.linkages(), sound().linkages());
    }
}

#[test]
fn linkages_leave_out_zeros_and_duplicates() {
    let other = uuid!("11111111-2222-3333-4444-555555555555");
    let first = sound().linkages();
    assert_eq!(with(&[(PARENT_LINKAGE2, ZERO)]).linkages(), first);
    assert_eq!(with(&[(PARENT_LINKAGE2, &GUID.to_uppercase())]).linkages(), first);
    assert_eq!(with(&[(PARENT_LINKAGE2, &other.to_string())]).linkages(), [first[0], other]);
    assert!(locator(&[(PARENT_LINKAGE, ZERO)]).linkages().is_empty());
}

#[test]
fn missing_paths_are_tolerated() {
    let validated = |entries: &[(&str, &str)]| validate(&locator(entries).encode());
    let (value, rules) = validated(&[(PARENT_LINKAGE, GUID)]);
    assert_eq!((value.is_some(), rules), (true, vec![Rule::ParentPathMissing]));
    let (value, rules) = validated(&[(PARENT_LINKAGE, GUID), (ABSOLUTE_WIN32_PATH, r"\\?\C:\base.vhdx")]);
    assert_eq!((value.is_some(), rules), (true, vec![]));
}

#[test]
fn a_locator_tells_the_guids_of_merges_from_others() {
    let guid = "6d726732-0102-0304-0506-0708090a0b0c";
    let names = |first: &str, second: &str| {
        let entries = [(PARENT_LINKAGE, first), (PARENT_LINKAGE2, second)];
        let entries = entries.map(|(key, value)| (key.to_owned(), format!("{{{value}}}"))).to_vec();
        ParentLocator { entries }.names_incomplete_merge()
    };
    let other = "00112233-4455-6677-8899-aabbccddeeff";
    assert!(names(guid, other));
    assert!(!names(other, guid));
    assert!(!ParentLocator::default().names_incomplete_merge());
    assert!(ParentLocator::is_mark(Uuid::from_u128(MARK | 1)));
    assert!(!ParentLocator::is_mark(Uuid::nil()));
}
