//! Metadata: the table and the items, at and past their limits.

use vhdx::format::metadata_item as item;
use vhdx::{Guid, OpenOptions, Rule, Structure, Vhdx};
use vhdx_testkit::{Counting, ExtraItem, Image, Part, Random};

use super::damage::BadSector;
use super::{assert_listed, assert_refused, item_place, patch, sample};
use crate::common::MIB;

const TIB: u64 = 1 << 40;

fn with_item(id: Guid, bytes: &[u8]) -> Vec<u8> {
    let image = sample();
    let mut file = image.build();
    patch(&mut file, item_place(&image, id).0, bytes);
    file
}

fn with_entry(id: Guid, at: u64, bytes: &[u8]) -> (Vec<u8>, Structure, u64) {
    let image = sample();
    let mut file = image.build();
    let index = item_place(&image, id).1;
    let place = image.layout().offset(Part::Metadata) + 32 + 32 * u64::from(index);
    patch(&mut file, place + at, bytes);
    (file, Structure::MetadataTableEntry(index), place)
}

#[track_caller]
fn assert_item_refused(id: Guid, bytes: &[u8], rule: Rule) {
    let place = item_place(&sample(), id).0;
    assert_refused(with_item(id, bytes), (rule, Structure::MetadataItem(id), place));
}

#[test]
fn numbers_in_the_items() {
    for size in [0, 1, 512 << 10, 3 << 20, 512 << 20, u32::MAX] {
        assert_item_refused(item::FILE_PARAMETERS, &size.to_le_bytes(), Rule::BlockSize);
    }
    for size in [0, 513, 64 * TIB + 512, u64::MAX, u64::MAX - 511] {
        assert_item_refused(item::VIRTUAL_DISK_SIZE, &size.to_le_bytes(), Rule::VirtualDiskSize);
    }
    for size in [0u32, 1, 513, 520, 1024, 8192, u32::MAX] {
        assert_item_refused(item::LOGICAL_SECTOR_SIZE, &size.to_le_bytes(), Rule::LogicalSectorSize);
    }
    let file = with_item(item::PHYSICAL_SECTOR_SIZE, &520u32.to_le_bytes());
    let place = item_place(&sample(), item::PHYSICAL_SECTOR_SIZE).0;
    Vhdx::open_with(file.clone(), &OpenOptions::default()).unwrap();
    assert_listed(
        file,
        (Rule::PhysicalSectorSize, Structure::MetadataItem(item::PHYSICAL_SECTOR_SIZE), place),
    );
}

#[test]
fn a_disk_that_the_bat_has_no_room_for() {
    let bat = sample().layout().offset(Part::Bat);
    let room = (MIB / 8) * MIB; // too short by the bitmap entries
    for size in [room, 64 * TIB] {
        let file = with_item(item::VIRTUAL_DISK_SIZE, &size.to_le_bytes());
        assert_refused(file, (Rule::BatTooShort, Structure::Bat, bat));
    }
}

#[test]
fn numbers_in_the_table() {
    let id = item::VIRTUAL_DISK_SIZE;
    let (offset, length) = (16, 20);
    for place in [1u32, (64 << 10) - 8, (1 << 20) - 7, 1 << 20, u32::MAX] {
        let (file, structure, at) = with_entry(id, offset, &place.to_le_bytes());
        assert_refused(file, (Rule::MetadataItemPlace, structure, at));
    }
    for len in [(1u32 << 20) - (64 << 10) + 1, u32::MAX] {
        let (file, structure, at) = with_entry(id, length, &len.to_le_bytes());
        assert_listed(file, (Rule::MetadataItemPlace, structure, at));
    }
    let (file, structure, at) = with_entry(id, length, &((1u32 << 20) + 1).to_le_bytes());
    assert_listed(file, (Rule::MetadataItemLength, structure, at));
    let (file, ..) = with_entry(id, length, &7u32.to_le_bytes());
    let place = item_place(&sample(), id).0;
    assert_refused(file, (Rule::MetadataItemSize, Structure::MetadataItem(id), place));
    let (file, structure, at) = with_entry(item::VIRTUAL_DISK_ID, 0, &id.to_bytes_le());
    assert_refused(file, (Rule::MetadataDuplicate, structure, at));

    let metadata = sample().layout().offset(Part::Metadata);
    let (other, _, _) = with_entry(item::VIRTUAL_DISK_ID, offset, &(64u32 << 10).to_le_bytes());
    let report = vhdx::ops::check_storage(std::sync::Arc::new(other));
    let rules: Vec<Rule> = report.files[0].violations.as_slice().iter().map(|v| v.rule()).collect();
    assert!(rules.contains(&Rule::MetadataItemOverlap), "{rules:?}");

    for count in [2048u16, u16::MAX] {
        let mut file = sample().build();
        patch(&mut file, metadata + 10, &count.to_le_bytes());
        assert_refused(file, (Rule::MetadataCount, Structure::MetadataTable, metadata));
    }
    let mut file = sample().build();
    file[metadata as usize] ^= 1;
    assert_refused(file, (Rule::MetadataSignature, Structure::MetadataTable, metadata));
}

fn extra(id: Guid, is_user: bool, is_required: bool, bytes: Vec<u8>) -> ExtraItem {
    ExtraItem { id, is_user, is_virtual_disk: false, is_required, bytes }
}

#[test]
fn items_that_are_not_known() {
    let id = Random::new(5).guid();
    let with = |item| Image { extra_items: vec![item], ..sample() };
    Vhdx::open_with(with(extra(id, false, false, vec![1; 9])).build(), &OpenOptions::default()).unwrap();
    Vhdx::open_with(
        with(extra(item::VIRTUAL_DISK_SIZE, true, false, vec![1; 9])).build(),
        &OpenOptions::default(),
    )
    .unwrap();
    let image = with(extra(id, false, true, vec![1; 9]));
    let index = item_place(&image, id).1;
    let entry = image.layout().offset(Part::Metadata) + 32 + 32 * u64::from(index);
    let structure = Structure::MetadataTableEntry(index);
    assert_refused(image.build(), (Rule::MetadataItemUnknown, structure, entry));

    let incomplete = with(extra(item::INCOMPLETE_FILE, false, true, Vec::new()));
    let error = Vhdx::open_with(incomplete.build(), &OpenOptions::default()).unwrap_err();
    assert_eq!(error.violation().unwrap().rule(), Rule::CreationIncomplete);
}

#[test]
fn as_many_items_as_the_format_has_room_for() {
    let many = |users, systems| {
        let mut random = Random::new(3);
        let user = (0..users).map(|_| true);
        let kinds = user.chain((0..systems).map(|_| false));
        let extra_items = kinds.map(|is_user| extra(random.guid(), is_user, false, vec![7; 8])).collect();
        Image { extra_items, ..sample() }
    };
    let known = 5;
    let vhdx = Vhdx::open_with(many(1024, 1023 - known).build(), &OpenOptions::default()).unwrap();
    assert_eq!(vhdx.metadata_entries().len(), 2047);
    for entry in vhdx.metadata_entries() {
        assert_eq!(vhdx.read_metadata_item(entry).unwrap().len(), entry.length as usize);
    }
    let table = sample().layout().offset(Part::Metadata);
    let refused = |image: Image, rule| assert_refused(image.build(), (rule, Structure::MetadataTable, table));
    refused(many(1025, 0), Rule::MetadataUserCount);
    refused(many(0, 1024 - known), Rule::MetadataSystemCount);
}

/// Items that lie close together are read in one go; what lies between them may be unreadable all the same.
#[test]
fn items_that_lie_anywhere_in_the_region() {
    let id = item::VIRTUAL_DISK_SIZE;
    let image = sample();
    let items = image.layout().offset(Part::Metadata) + (64 << 10);
    for distance in [256u32, 4096 - 8, 4096 - 7, 4096, 900 << 10] {
        let moved = (64 << 10) + distance;
        let (mut file, ..) = with_entry(id, 16, &moved.to_le_bytes());
        patch(&mut file, item_place(&image, id).0, &[0xee; 8]);
        patch(&mut file, items + u64::from(distance), &image.virtual_size.to_le_bytes());
        let (file, counts) = Counting::new(file);
        let vhdx = Vhdx::open_with(BadSector(file, items + 250), &OpenOptions::default()).unwrap();
        assert_eq!(vhdx.virtual_size(), image.virtual_size, "{distance}");
        assert!(counts.bytes() <= 80 << 10, "{distance}: {counts:?}");
        let beside = items + u64::from(distance) + 8..items + MIB;
        assert!(!counts.touched(beside), "{distance}: {counts:?}");
    }
}

#[test]
fn items_that_are_missing() {
    for id in [item::FILE_PARAMETERS, item::VIRTUAL_DISK_SIZE, item::LOGICAL_SECTOR_SIZE] {
        let (mut file, _, place) = with_entry(id, 0, &[8; 16]);
        patch(&mut file, place + 24, &[0]);
        let table = sample().layout().offset(Part::Metadata);
        assert_refused(file, (Rule::MetadataItemMissing, Structure::MetadataItem(id), table));
    }
    let (mut file, _, place) = with_entry(item::VIRTUAL_DISK_ID, 0, &[8; 16]);
    patch(&mut file, place + 24, &[0]);
    assert_eq!(Vhdx::open_with(file, &OpenOptions::default()).unwrap().virtual_disk_id(), None);
}
