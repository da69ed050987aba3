use super::*;
use crate::file::{DiskType, NewDisk};
use crate::format::bat_entry::PayloadBlockState;
use crate::ops::testing::{image, link, set_entry};
use crate::rules::Rule;
use crate::units::{BatIndex, MIB};
use crate::violation::{Structure, Violation};

const BAT: usize = 3 << 20;
const FIRST_BLOCK: u64 = 4;

/// Checks a fixed disk of 4 blocks of 1 MiB after replacing BAT entries: `(index, state, offset in MiB)`.
fn check(changes: &[(usize, u8, u64)]) -> FileReport {
    check_cut(changes, 0)
}

fn check_cut(changes: &[(usize, u8, u64)], missing: usize) -> FileReport {
    let mut file = image(&disk(), &[(0, &[1])]);
    changes.iter().for_each(|&(index, state, mib)| set_entry(&mut file, index, state, mib));
    file.truncate(file.len() - missing);
    check_storage(Arc::new(file)).files.remove(0)
}

fn disk() -> NewDisk {
    NewDisk { block_size: 1 << 20, disk_type: DiskType::Fixed, ..NewDisk::new(4 * MIB - 512) }
}

fn broken(report: &FileReport) -> Vec<(u64, Rule)> {
    assert!(report.error.is_none(), "{report:?}");
    let entry = |violation: &Violation| match violation.structure {
        Structure::BatEntry(index) => {
            assert_eq!(violation.offset.get(), BAT as u64 + 8 * index.get());
            index.get()
        }
        structure => panic!("{structure}"),
    };
    report.violations.as_slice().iter().map(|violation| (entry(violation), violation.rule)).collect()
}

#[test]
fn a_sound_table_is_valid() {
    let report = check(&[]);
    assert!(report.is_valid() && report.violations.as_slice().is_empty(), "{report:?}");
}

#[test]
fn every_broken_entry_is_listed() {
    let report = check(&[(0, 4, 4), (1, 7, 5), (2, 6, 1), (3, 6, 9)]);
    let rules = [
        (0, Rule::BatStateReserved),
        (1, Rule::BatPartialWithoutParent),
        (2, Rule::BlockOverlapsLog),
        (3, Rule::BlockPastEnd),
    ];
    assert_eq!(broken(&report), rules);
    assert!(!report.is_valid());
}

#[test]
fn blocks_at_one_place_are_named_in_pairs() {
    let report = check(&[(2, 6, FIRST_BLOCK), (3, 6, FIRST_BLOCK)]);
    assert_eq!(broken(&report), [(2, Rule::BlockOverlapsBlock), (3, Rule::BlockOverlapsBlock)]);
    let others = report.violations.as_slice().iter().map(|violation| violation.found.clone());
    let first = crate::violation::Found::Other(Structure::BatEntry(BatIndex::new(0)));
    assert!(others.eq([first.clone(), first]));
}

#[test]
fn a_reserved_place_counts_as_taken() {
    for state in [PayloadBlockState::Undefined, PayloadBlockState::Unmapped] {
        let taken = check(&[(3, state.bits(), FIRST_BLOCK)]);
        assert_eq!(broken(&taken), [(3, Rule::BlockOverlapsBlock)]);
        let in_region = check(&[(3, state.bits(), 2)]);
        assert_eq!(broken(&in_region), [(3, Rule::BlockOverlapsRegion)]);
        assert!(check(&[(3, state.bits(), 0)]).is_valid());
        assert!(check(&[(3, state.bits(), FIRST_BLOCK + 3)]).is_valid());
    }
}

#[test]
fn states_without_a_place_take_none() {
    let not_present = check(&[(3, 0, FIRST_BLOCK)]);
    assert_eq!(broken(&not_present), [(3, Rule::BatNotPresentOffset)]);
    assert!(not_present.is_valid());
    let zero = check(&[(3, 2, FIRST_BLOCK)]);
    assert_eq!(broken(&zero), [(3, Rule::BatZeroOffset)]);
    assert!(zero.is_valid());
}

#[test]
fn only_the_unused_tail_of_the_last_block_may_be_missing() {
    let tail = check_cut(&[], 512);
    assert_eq!(broken(&tail), [(3, Rule::BlockTailPastEnd)]);
    assert!(tail.is_valid());
    assert_eq!(broken(&check_cut(&[], 513)), [(3, Rule::BlockPastEnd)]);
}

/// Checks a child whose blocks are all fully present, except the second one, which is partially present.
fn check_child(bitmap: Option<u64>) -> FileReport {
    const BITMAP_ENTRY: usize = 4096; // the chunk ratio
    let parent = image(&disk(), &[]);
    let mut child = image(&disk(), &[]);
    link(&mut child, &parent, "parent.vhdx");
    set_entry(&mut child, 1, 7, FIRST_BLOCK + 1);
    if let Some(place) = bitmap {
        set_entry(&mut child, BITMAP_ENTRY, 6, place);
    }
    child.resize(child.len() + (1 << 20), 0);
    check_storage(Arc::new(child)).files.remove(0)
}

#[test]
fn a_partial_block_needs_a_sector_bitmap_block() {
    assert_eq!(broken(&check_child(None)), [(4096, Rule::BatBitmapMissing)]);
    assert!(check_child(Some(FIRST_BLOCK + 4)).is_valid());
}

#[test]
fn the_place_of_a_sector_bitmap_block_is_checked() {
    assert_eq!(broken(&check_child(Some(FIRST_BLOCK))), [(4096, Rule::BlockOverlapsBlock)]);
    assert_eq!(broken(&check_child(Some(2))), [(4096, Rule::BlockOverlapsRegion)]);
    assert_eq!(broken(&check_child(Some(FIRST_BLOCK + 5))), [(4096, Rule::BlockPastEnd)]);
}
