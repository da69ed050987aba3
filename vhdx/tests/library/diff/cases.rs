//! What counts as a change, and what is read to find it.

use std::sync::Arc;

use vhdx::format::bat_entry::PayloadBlockState;
use vhdx::ops::{changed_ranges, differing_ranges};
use vhdx::{Chain, Jobs, MAX_VIRTUAL_SIZE, NoProgress, OpenOptions, ReadAt, Vhdx};
use vhdx_testkit::{Block, Counting, Image, Part};

use crate::common::MIB;

const BLOCK: u32 = 1 << 20;

fn open(file: impl ReadAt + 'static) -> Vhdx {
    Vhdx::open_with(file, &OpenOptions::default()).unwrap()
}

/// The chains of a base and of each child. All share the base.
fn family<const N: usize>(base: &Image, children: [&Image; N]) -> (Chain, [Chain; N]) {
    let base = open(base.sparse());
    let chain = |child: &Image| Chain::from_layers(vec![open(child.sparse()), base.clone()]).unwrap();
    (Chain::from_layers(vec![base.clone()]).unwrap(), children.map(chain))
}

fn changed(old: &Chain, new: &Chain) -> Vec<(u64, u64, bool)> {
    let ranges = changed_ranges(old, new).unwrap().map(|range| range.unwrap());
    ranges.map(|range| (range.start.get(), range.len, range.is_zero)).collect()
}

fn differing(old: &Chain, new: &Chain) -> Vec<(u64, u64, bool)> {
    let mut found = Vec::new();
    differing_ranges(old, new, Jobs::default(), &NoProgress, |range| {
        found.push((range.start.get(), range.len, range.is_zero));
        Ok(())
    })
    .unwrap();
    found
}

fn base_of(blocks: u64) -> Image {
    let mut base = Image::dynamic(blocks * MIB, BLOCK);
    base.blocks.insert(1, Block::full(vec![1; MIB as usize]));
    base
}

fn child(base: &Image, blocks: u64, own: &[(u64, Block)]) -> Image {
    let mut child = Image::child_of(base, "base.vhdx", BLOCK);
    child.virtual_size = blocks * MIB;
    child.blocks.extend(own.iter().cloned());
    child
}

fn zero() -> Block {
    Block::empty(PayloadBlockState::Zero, false)
}

fn full(byte: u8) -> Block {
    Block::full(vec![byte; MIB as usize])
}

#[test]
fn a_disk_does_not_differ_from_itself() {
    let base = base_of(4);
    let (old, [new]) = family(&base, [&child(&base, 4, &[(0, full(7))])]);
    for disk in [&old, &new] {
        assert_eq!(changed(disk, disk), []);
        assert_eq!(differing(disk, disk), []);
    }
}

#[test]
fn blocks_sectors_and_zeros_of_a_descendant() {
    let base = base_of(6);
    let part = Block::partial(vec![3; 2048], vec![false, true, true, false]);
    let own = [(1, zero()), (2, zero()), (3, full(2)), (4, part)];
    let (old, [new]) = family(&base, [&child(&base, 6, &own)]);
    let expected = [(MIB, 2 * MIB, true), (3 * MIB, MIB, false), (4 * MIB + 512, 1024, false)];
    assert_eq!(changed(&old, &new), expected);
    // Block 2 is zero in both.
    let expected = [(MIB, MIB, true), (3 * MIB, MIB, false), (4 * MIB + 512, 1024, false)];
    assert_eq!(differing(&old, &new), expected);
}

#[test]
fn siblings_differ_where_either_has_content_of_its_own() {
    let base = base_of(6);
    let old = child(&base, 6, &[(0, full(2)), (1, full(3)), (2, zero()), (3, zero()), (4, full(4))]);
    let new = child(&base, 6, &[(3, zero()), (4, full(4)), (5, full(5))]);
    let (_, [old, new]) = family(&base, [&old, &new]);
    // The shared base has no data in blocks 0 and 2, and data in block 1.
    let expected = [(0, MIB, true), (MIB, MIB, false), (2 * MIB, MIB, true), (4 * MIB, 2 * MIB, false)];
    assert_eq!(changed(&old, &new), expected);
    assert_eq!(differing(&old, &new), [(0, MIB, true), (MIB, MIB, false), (5 * MIB, MIB, false)]);
}

#[test]
fn everything_past_the_end_of_the_older_disk_changed() {
    let base = base_of(2);
    let (old, [new]) = family(&base, [&child(&base, 5, &[(3, full(9))])]);
    let expected = [(2 * MIB, MIB, true), (3 * MIB, MIB, false), (4 * MIB, MIB, true)];
    assert_eq!(changed(&old, &new), expected);
    assert_eq!(differing(&old, &new), [(3 * MIB, MIB, false)]);
}

#[test]
fn what_a_smaller_disk_cuts_off_counts_as_zeros() {
    let mut base = base_of(5);
    base.blocks.insert(3, full(4));
    let (old, [new]) = family(&base, [&child(&base, 2, &[])]);
    assert_eq!(changed(&old, &new), [(2 * MIB, 3 * MIB, true)]);
    assert_eq!(differing(&old, &new), [(3 * MIB, MIB, true)]);
    // A sibling that is larger again does not bring the data back.
    let small = open(child(&base, 2, &[]).sparse());
    let again = open(child(&child(&base, 2, &[]), 5, &[]).sparse());
    let base = old.leaf().clone();
    let new = Chain::from_layers(vec![again, small, base]).unwrap();
    assert_eq!(changed(&old, &new), [(2 * MIB, 3 * MIB, true)]);
}

#[test]
fn shared_files_are_not_read_for_a_descendant() {
    let mut base = Image::dynamic(MAX_VIRTUAL_SIZE, BLOCK);
    base.blocks.insert(7, full(1));
    let (base_file, of_base) = Counting::new(base.sparse());
    let mut image = Image::child_of(&base, "base.vhdx", 2 << 20);
    // In the middle of the disk, and at its end.
    for block in [MAX_VIRTUAL_SIZE / MIB / 4, MAX_VIRTUAL_SIZE / MIB / 2 - 1] {
        image.blocks.insert(block, Block::full(vec![5; 512]));
    }
    let (child_file, of_child) = Counting::new(image.sparse());
    let base = open(base_file);
    let old = Chain::from_layers(vec![base.clone()]).unwrap();
    let new = Chain::from_layers(vec![open(child_file), base]).unwrap();
    let before = [of_base.reads(), of_child.bytes()];
    let expected = image.blocks.keys().map(|block| (2 * block * MIB, 2 * MIB, false)).collect::<Vec<_>>();
    assert_eq!(changed(&old, &new), expected);
    assert_eq!(of_base.reads(), before[0], "the base was read");
    let bat = image.layout().parts().find(|(part, ..)| *part == Part::Bat).unwrap().2;
    assert!(of_child.bytes() - before[1] <= bat, "more than the BAT was read");
}

#[test]
fn of_shared_files_only_the_ranges_of_the_older_sibling_are_read() {
    let base = Image::dynamic(MAX_VIRTUAL_SIZE, BLOCK);
    let (base_file, of_base) = Counting::new(base.sparse());
    let (mut old, mut new) = (child(&base, 0, &[]), child(&base, 0, &[]));
    (old.virtual_size, new.virtual_size) = (MAX_VIRTUAL_SIZE, MAX_VIRTUAL_SIZE);
    for block in (0..MAX_VIRTUAL_SIZE / MIB).step_by(1 << 22) {
        old.blocks.insert(block, Block::full(vec![5; 512]));
    }
    let base = open(base_file);
    let chain = |image: &Image| Chain::from_layers(vec![open(image.sparse()), base.clone()]).unwrap();
    let before = of_base.bytes();
    let found = changed(&chain(&old), &chain(&new));
    assert_eq!(found.len(), old.blocks.len());
    assert!(found.iter().all(|(_, len, is_zero)| *len == MIB && *is_zero), "{found:?}");
    assert!(of_base.bytes() - before <= old.blocks.len() as u64 * (64 << 10), "the whole BAT was read");
}

#[test]
fn an_iterator_ends_after_an_error() {
    let base = base_of(4);
    let image = child(&base, 4, &[(0, full(1)), (2, full(2))]);
    let mut file = image.sparse();
    let entry = image.layout().bat_entry(image.bat_index(2));
    file.write(entry, &((1_u64 << 40) | 6).to_le_bytes());
    let base = open(base.sparse());
    let old = Chain::from_layers(vec![base.clone()]).unwrap();
    let new = Chain::from_layers(vec![open(Arc::new(file)), base]).unwrap();
    let mut ranges = changed_ranges(&old, &new).unwrap();
    assert_eq!(ranges.next().unwrap().unwrap().len, MIB);
    assert_eq!(ranges.next().unwrap().unwrap_err().kind(), vhdx::ErrorKind::Corrupt);
    assert!(ranges.next().is_none());
    let exact = differing_ranges(&old, &new, Jobs::default(), &NoProgress, |range| panic!("{range:?}"));
    assert!(exact.is_err(), "damage is found before anything is compared");
}
