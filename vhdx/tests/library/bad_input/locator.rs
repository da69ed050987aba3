//! Parent locators whose entries make no sense.

use vhdx::format::metadata_item;
use vhdx::format::parent_locator as keys;
use vhdx::{OpenOptions, Rule, Structure, Vhdx};
use vhdx_testkit::Image;

use super::{assert_listed, assert_refused, child, item_place, patch};

const OTHER: &str = "{11111111-2222-3333-4444-555555555555}";
const LINKAGE: &str = "{f88d4d92-6fcc-408d-9bef-9b7c89f15c89}";

fn with_entries(entries: &[(&str, &str)]) -> Image {
    let own = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
    Image { parent_locator: Some(entries.iter().map(own).collect()), ..child() }
}

fn locator(image: &Image) -> u64 {
    item_place(image, metadata_item::PARENT_LOCATOR).0
}

#[track_caller]
fn assert_locator_refused(entries: &[(&str, &str)], rule: Rule) {
    let image = with_entries(entries);
    assert_refused(image.build(), (rule, Structure::ParentLocator, locator(&image)));
}

#[test]
fn linkages() {
    let path = (keys::RELATIVE_PATH, r".\base.vhdx");
    assert_locator_refused(&[path], Rule::ParentLinkageMissing);
    assert_locator_refused(&[(keys::PARENT_LINKAGE2, LINKAGE), path], Rule::ParentLinkageMissing);
    assert_locator_refused(&[("Parent_Linkage", LINKAGE), path], Rule::ParentLinkageMissing);
    for malformed in ["x", "{}", "{f88d4d92-6fcc-408d-9bef-9b7c89f15c8}", "f88d4d926fcc408d9bef9b7c89f15c89"]
    {
        assert_locator_refused(&[(keys::PARENT_LINKAGE, malformed), path], Rule::ParentLinkageMalformed);
        let second = [(keys::PARENT_LINKAGE, LINKAGE), (keys::PARENT_LINKAGE2, malformed), path];
        assert_ignored(with_entries(&second).build(), &[Rule::ParentLinkageLost]);
    }
    let upper = LINKAGE.to_uppercase();
    Vhdx::open_with(with_entries(&[(keys::PARENT_LINKAGE, &upper), path]).build(), &OpenOptions::default())
        .unwrap();
}

#[test]
fn without_any_path_the_file_still_opens() {
    let image = with_entries(&[(keys::PARENT_LINKAGE, LINKAGE)]);
    Vhdx::open_with(image.build(), &OpenOptions::default()).unwrap();
    assert_listed(image.build(), (Rule::ParentPathMissing, Structure::ParentLocator, locator(&image)));
}

#[test]
fn as_many_entries_as_the_format_allows() {
    let many = |count: usize| {
        let mut entries = vec![(keys::PARENT_LINKAGE.to_owned(), LINKAGE.to_owned())];
        entries.extend((1..count).map(|n| (format!("key{n}"), "value".to_owned())));
        Image { parent_locator: Some(entries), ..child() }
    };
    let vhdx = Vhdx::open_with(many(256).build(), &OpenOptions::default()).unwrap();
    assert_eq!(vhdx.parent_locator().unwrap().entries.len(), 256);
    let image = many(257);
    let place = locator(&image);
    assert_refused(image.build(), (Rule::ParentLocatorCount, Structure::ParentLocator, place));
    let with_count = |count: u16| {
        let image = with_entries(&[(keys::PARENT_LINKAGE, LINKAGE)]);
        let mut file = image.build();
        patch(&mut file, locator(&image) + 18, &count.to_le_bytes());
        file
    };
    // The texts of the only entry are taken for entries: what they say is no text, and may have been any key.
    assert_ignored(with_count(6), &[Rule::ParentLinkageLost]);
    for count in [255, u16::MAX] {
        let file = with_count(count);
        let report = vhdx::ops::check_storage(std::sync::Arc::new(file));
        assert!(!report.is_valid(), "{count}");
    }
}

#[test]
fn entries_that_point_outside_or_hold_no_text() {
    let image = child();
    let place = locator(&image);
    let (key_offset, value_offset, key_length, value_length) = (0, 4, 8, 10);
    let (second, structure) = (place + 20 + 12, Structure::ParentLocatorEntry(1));
    let with = |at: u64, bytes: &[u8]| {
        let mut file = image.build();
        patch(&mut file, second + at, bytes);
        file
    };
    for (at, bytes) in [
        (key_offset, u32::MAX.to_le_bytes().as_slice()),
        (value_offset, &u32::MAX.to_le_bytes()),
        (value_offset, &0u32.to_le_bytes()),
        (key_length, &0u16.to_le_bytes()),
        (value_length, &0u16.to_le_bytes()),
        (value_length, &3u16.to_le_bytes()),
        (value_length, &0xfffeu16.to_le_bytes()),
    ] {
        let file = with(at, bytes);
        assert_listed(file.clone(), (Rule::ParentLocatorEntry, structure, second));
        assert_ignored(file, &[Rule::ParentLocatorEntry]);
    }
    let value = u32::from_le_bytes(image.build()[second as usize + 4..][..4].try_into().unwrap());
    let mut file = image.build();
    patch(&mut file, place + u64::from(value), &0xd800u16.to_le_bytes());
    assert_listed(file.clone(), (Rule::ParentLocatorText, structure, second));
    assert_ignored(file, &[Rule::ParentLocatorText]);

    let path = (keys::RELATIVE_PATH, r".\base.vhdx");
    let twice = [(keys::PARENT_LINKAGE, LINKAGE), (keys::PARENT_LINKAGE, LINKAGE), path];
    assert_ignored(with_entries(&twice).build(), &[Rule::ParentLocatorDuplicate]);
    let different = [(keys::PARENT_LINKAGE, LINKAGE), (keys::PARENT_LINKAGE, OTHER), path];
    let image = with_entries(&different);
    let at = locator(&image) + 20 + 12;
    assert_refused(image.build(), (Rule::ParentLinkageAmbiguous, structure, at));
}

/// The entry with a broken rule is reported, and the file opens without it.
#[track_caller]
fn assert_ignored(file: Vec<u8>, rules: &[Rule]) {
    let vhdx = Vhdx::open_with(file, &OpenOptions::default()).unwrap();
    assert_eq!(vhdx.parent_locator().unwrap().linkages().len(), 1);
    let found: Vec<Rule> = vhdx.tolerated().iter().map(|violation| violation.rule()).collect();
    assert!(rules.iter().all(|rule| found.contains(rule)), "{found:?}");
}

#[test]
fn another_kind_of_locator() {
    let image = child();
    let mut file = image.build();
    patch(&mut file, locator(&image), &[5; 16]);
    assert_refused(file, (Rule::ParentLocatorType, Structure::ParentLocator, locator(&image)));
}
