use super::*;
use crate::error::ChainErrorKind;
use crate::ops::merge::testing::{base, chain, child, open, relatives};
use crate::ops::merge::{MergeOptions, MergePlan};
use crate::units::MIB;
use vhdx_testkit::{ExtraItem, Image};

fn item(id: u128, is_virtual_disk: bool, content: &[u8]) -> ExtraItem {
    let id = Uuid::from_u128(id);
    ExtraItem { id, is_user: true, is_virtual_disk, is_required: false, bytes: content.to_vec() }
}

fn user(id: u128) -> MetadataItemId {
    MetadataItemId { id: Uuid::from_u128(id), is_user: true }
}

fn system(id: Uuid) -> MetadataItemId {
    MetadataItemId { id, is_user: false }
}

#[test]
fn a_disk_with_the_same_metadata_changes_nothing() {
    let mut base = base(MIB);
    base.extra_items = vec![item(1, true, b"one"), item(2, false, b"two")];
    let mut child = child(&base);
    child.extra_items = vec![item(3, false, b"three"), item(1, true, b"one")];
    let changes = ItemChanges::new(&open(&child), &open(&base)).unwrap();
    assert!(changes.is_empty(), "{changes:?}");
}

#[test]
fn items_that_describe_the_disk_come_from_the_merged_disk() {
    let mut base = base(MIB);
    base.extra_items =
        vec![item(1, true, b"one"), item(2, true, b"lost"), item(3, false, b"kept"), item(4, false, b"own")];
    let mut child = child(&base);
    child.virtual_size = 2 * MIB;
    child.physical_sector_size = 512;
    child.extra_items =
        vec![item(1, true, b"two"), item(5, true, b"new"), item(6, false, b"stays"), item(4, true, b"own")];
    let changes = ItemChanges::new(&open(&child), &open(&base)).unwrap();
    let taken = [system(VIRTUAL_DISK_SIZE), system(PHYSICAL_SECTOR_SIZE), user(1), user(5), user(4)];
    assert_eq!(changes.taken, taken);
    assert_eq!(changes.lost, [user(2)]);
}

fn items(first: u128, count: u128, is_virtual_disk: bool) -> Vec<ExtraItem> {
    (first..first + count).map(|id| item(id, is_virtual_disk, b"x")).collect()
}

fn plan(merged: &Image, target: &Image) -> Result<MergePlan> {
    MergePlan::new(&chain([merged, target]), 1, &relatives(Vec::new()), &MergeOptions::default())
}

/// Each file is within the limits, but the result may not be.
///
/// The plan finds that before anything is copied.
#[test]
fn more_items_than_a_file_can_have_are_refused_by_the_plan() {
    let mut base = base(MIB);
    base.extra_items = items(1, 600, false);
    let mut child = child(&base);
    child.extra_items = items(1000, 424, true);
    assert_eq!(plan(&child, &base).unwrap().items.taken.len(), 424);
    child.extra_items = items(1000, 425, true);
    let error = plan(&child, &base).unwrap_err();
    assert_eq!(error.chain_error().unwrap().kind(), ChainErrorKind::NoRoomForMetadata, "{error}");
    // An item that the target loses needs no room.
    base.extra_items[599].is_virtual_disk = true;
    assert_eq!(plan(&child, &base).unwrap().items.lost.len(), 1);
}
