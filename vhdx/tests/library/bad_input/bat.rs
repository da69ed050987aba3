//! Entries of the block allocation table: one matters when it is used, all of them in `check`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vhdx::format::bat_entry::PayloadBlockState;
use vhdx::{
    BatIndex, Chain, DiskOffset, Error, Memory, OpenOptions, ReadAt, Rule, Storage, Structure, Vhdx, VhdxMut,
    Violations, ops,
};
use vhdx_testkit::{Block, ExtraRegion, Image, Part, Random, SparseImage};

use super::{Expected, assert_listed, block_content, child, patch, sample, violation};
use crate::common::{MIB, assert_same, at, read_all};

/// Block 2's entry, and what it is made to say.
const INDEX: u64 = 2;

fn entry(rule: Rule, image: &Image, index: u64) -> Expected {
    (rule, Structure::BatEntry(BatIndex::new(index)), image.layout().bat_entry(index))
}

fn with_entry(image: &Image, index: u64, value: u64) -> Vec<u8> {
    let mut file = image.build();
    patch(&mut file, image.layout().bat_entry(index), &value.to_le_bytes());
    file
}

pub(crate) fn base(file: Vec<u8>) -> Chain {
    Chain::from_layers(vec![Vhdx::open_with(file, &OpenOptions::default()).unwrap()]).unwrap()
}

fn on_base(file: Vec<u8>) -> Chain {
    let layers = [file, sample().build()].map(|file| Vhdx::open_with(file, &OpenOptions::default()).unwrap());
    Chain::from_layers(layers.into()).unwrap()
}

fn read(chain: &Chain, block: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; 4096];
    chain.read_exact_at(&mut bytes, at(block * MIB + MIB / 2 * u64::from(block < 3))).map(|()| bytes)
}

/// The rest of the disk reads as ever, the damaged block is an error, and `check` lists it.
#[track_caller]
fn assert_unusable(image: &Image, value: u64, rule: Rule) {
    let file = with_entry(image, INDEX, value);
    let chain = base(file.clone());
    let half = MIB as usize / 2;
    assert_same(&read(&chain, 0).unwrap(), &block_content(0)[half..half + 4096], "the block before");
    assert_same(&read(&chain, 3).unwrap(), &[0; 4096], "the block after");
    let expected = entry(rule, image, INDEX);
    assert_eq!(violation(&read(&chain, INDEX).unwrap_err()), expected);
    let extents: Result<Vec<_>, _> = chain.extents(at(0)..at(chain.virtual_size())).collect();
    assert_eq!(violation(&extents.unwrap_err()), expected);
    assert_listed(file, expected);
}

#[test]
fn blocks_where_no_block_may_be() {
    let region = ExtraRegion { id: Random::new(2).guid(), mib: 3, required: false };
    let image = Image { extra_regions: vec![region], ..sample() };
    let layout = image.layout();
    let present = 6;
    assert_unusable(&image, present, Rule::BlockInHeader);
    assert_unusable(&image, layout.offset(Part::Log) | present, Rule::BlockOverlapsLog);
    assert_unusable(&image, layout.offset(Part::Metadata) | present, Rule::BlockOverlapsRegion);
    assert_unusable(&image, layout.offset(Part::Bat) | present, Rule::BlockOverlapsRegion);
    assert_unusable(&image, (layout.offset(Part::Extra(0)) + 2 * MIB) | present, Rule::BlockOverlapsRegion);
    assert_unusable(&image, layout.len | present, Rule::BlockPastEnd);
    assert_unusable(&image, ((1 << 44) - 1) << 20 | present, Rule::BlockPastEnd);
}

#[test]
fn states_that_do_not_exist() {
    let image = sample();
    let place = image.layout().offset(Part::Payload(INDEX));
    assert_unusable(&image, place | 4, Rule::BatStateReserved);
    assert_unusable(&image, place | 7, Rule::BatPartialWithoutParent);
    let draft = with_entry(&image, INDEX, 5);
    assert_same(&read(&base(draft.clone()), INDEX).unwrap(), &[0; 4096], "unmapped by an early draft");
    assert_listed(draft, entry(Rule::BatStateDraft, &image, INDEX));
}

#[test]
fn what_is_odd_but_clear_is_read() {
    let image = sample();
    let place = image.layout().offset(Part::Payload(INDEX));
    let past_end = image.layout().len;
    let cases = [
        (place, Rule::BatNotPresentOffset),
        (place | 2, Rule::BatZeroOffset),
        (past_end, Rule::BlockPlacePastEnd),
        (past_end | 1, Rule::BlockPlacePastEnd),
        (past_end | 2, Rule::BlockPlacePastEnd),
        (past_end | 3, Rule::BlockPlacePastEnd),
        (past_end | 5, Rule::BlockPlacePastEnd),
    ];
    for (value, rule) in cases {
        let file = with_entry(&image, INDEX, value);
        assert_same(&read(&base(file.clone()), INDEX).unwrap(), &[0; 4096], "a place without data");
        assert_listed(file.clone(), entry(rule, &image, INDEX));
        assert!(ops::check_storage(Arc::new(file)).is_valid(), "{value:x}");
    }
}

/// A damaged entry must not pass for one that says that the block reads as zeros.
#[test]
fn garbage_in_an_entry_never_reads_as_zeros() {
    let image = sample();
    let place = image.layout().offset(Part::Payload(INDEX));
    for state in [0, 1, 2, 3, 5, 6] {
        for reserved in [8, 0x0008_0000, 0x000f_fff8] {
            assert_unusable(&image, place | reserved | state, Rule::BatEntryReserved);
            if state != 6 {
                assert_unusable(&image, reserved | state, Rule::BatEntryReserved);
            }
        }
        if state != 6 {
            for far in [1 << 47, u64::MAX << 20] {
                assert_unusable(&image, far | state, Rule::BlockPlaceFar);
            }
        }
    }
    let child = child();
    let index = child.bitmap_bat_index(0);
    let bitmap = child.layout().offset(Part::Bitmap(0)) | 6;
    let file = with_entry(&child, index, bitmap | 8);
    let error = read(&on_base(file.clone()), 0).unwrap_err();
    assert_eq!(violation(&error), entry(Rule::BatEntryReserved, &child, index));
    assert_listed(file, entry(Rule::BatEntryReserved, &child, index));
}

#[test]
fn an_entry_that_no_block_uses_may_hold_anything() {
    // The table of a child has a place for every block of a chunk.
    let image = child();
    let unused = with_entry(&image, 100, u64::MAX);
    assert_same(&read_all(&on_base(unused.clone())), &read_all(&on_base(image.build())), "the disk");
    assert_listed(unused.clone(), entry(Rule::BatEntryUnused, &image, 100));
    assert!(ops::check_storage(Arc::new(unused.clone())).is_valid());
    VhdxMut::open_with(Arc::new(Memory::new(unused)), &OpenOptions::default()).unwrap();
}

/// A disk of 64 TiB whose BAT of 512 MiB is full of garbage, none of which is kept in memory.
struct GarbageBat {
    image: SparseImage,
    bat: std::ops::Range<u64>,
    read: Arc<AtomicU64>,
}

impl ReadAt for GarbageBat {
    fn size(&self) -> io::Result<u64> {
        ReadAt::size(&self.image)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: vhdx::FileOffset) -> io::Result<()> {
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        if !self.bat.contains(&offset.get()) {
            return self.image.read_exact_at(buf, offset);
        }
        for (number, bytes) in buf.chunks_mut(8).enumerate() {
            let number = offset.get() / 8 + number as u64;
            let garbage = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
            bytes.copy_from_slice(&garbage.to_le_bytes()[..bytes.len()]);
        }
        Ok(())
    }
}

#[test]
fn a_large_bat_full_of_garbage_is_an_error() {
    let image = Image::dynamic(64 << 40, 1 << 20);
    let bat = image.layout().offset(Part::Bat);
    let read = Arc::new(AtomicU64::new(0));
    let garbage = GarbageBat { image: image.sparse(), bat: bat..bat + (512 << 20), read: Arc::clone(&read) };
    let garbage = Arc::new(garbage);
    let vhdx = Vhdx::open_with(Arc::clone(&garbage), &OpenOptions::default()).unwrap();
    let chain = Chain::from_layers(vec![vhdx]).unwrap();
    let mut block = vec![0; 4096];
    chain.read_exact_at(&mut block, at(0)).unwrap_err();
    chain.validate_placement().unwrap_err();
    assert!(read.load(Ordering::Relaxed) < 4 * MIB, "{read:?}");

    let report = ops::check_storage(garbage);
    assert!(!report.is_valid() && !report.is_complete());
    assert_eq!(report.files[0].violations.as_slice().len(), 2 * Violations::LIMIT);
    assert!(read.load(Ordering::Relaxed) < 8 * MIB, "{read:?}");
}

#[test]
fn two_blocks_at_one_place_are_found_by_check() {
    let image = sample();
    let place = image.layout().offset(Part::Payload(0));
    let file = with_entry(&image, INDEX, place | 6);
    assert_listed(file, entry(Rule::BlockOverlapsBlock, &image, INDEX));

    let large = Image { block_size: 2 << 20, ..child() };
    let half_way = large.layout().offset(Part::Payload(0)) + MIB;
    assert_listed(with_entry(&large, 1, half_way | 6), entry(Rule::BlockOverlapsBlock, &large, 1));
    let on_bitmap = large.layout().offset(Part::Bitmap(0)) | 6;
    let bitmap_index = large.bitmap_bat_index(0);
    assert_listed(with_entry(&large, 1, on_bitmap), entry(Rule::BlockOverlapsBlock, &large, bitmap_index));

    let mut kept = sample();
    kept.blocks.insert(1, Block::empty(PayloadBlockState::Unmapped, true));
    let reserved_place = kept.layout().offset(Part::Payload(1));
    let file = with_entry(&kept, INDEX, reserved_place | 6);
    assert_listed(file, entry(Rule::BlockOverlapsBlock, &kept, INDEX));
}

/// Reading asks for no such place, but a file that is written to could come to use both.
#[test]
fn two_places_past_the_end_that_are_kept_for_two_blocks() {
    let image = Image { block_size: 2 << 20, virtual_size: 10 * MIB, blocks: [].into(), ..sample() };
    let len = image.layout().len;
    let keeping = |places: [u64; 3]| {
        let mut file = image.build();
        for (index, place) in places.into_iter().enumerate() {
            let state = if index == 0 { 1 } else { 3 };
            patch(&mut file, image.layout().bat_entry(index as u64 * 2), &(place | state).to_le_bytes());
        }
        file
    };
    let far = 127 << 40;
    for places in [[len + MIB, len + 9 * MIB, len + 2 * MIB], [far, far + 2 * MIB, far + MIB]] {
        let file = keeping(places);
        assert!(read_all(&base(file.clone())).iter().all(|&byte| byte == 0));
        let expected = entry(Rule::BlockOverlapsBlock, &image, 4);
        let report = ops::check_storage(Arc::new(file.clone()));
        assert!(!report.is_valid());
        assert_listed(file.clone(), expected);
        let storage = Arc::new(Memory::new(file));
        let error = VhdxMut::open_with(Arc::clone(&storage) as Arc<dyn Storage>, &OpenOptions::default())
            .unwrap_err();
        assert_eq!(violation(&error).0, Rule::BlockOverlapsBlock, "{error}");
    }
    // A place that is clear of the others may lie anywhere up to the longest length of a file.
    for places in [[len, len + 2 * MIB, len + 4 * MIB], [far, len, far + 2 * MIB]] {
        let file = keeping(places);
        assert!(ops::check_storage(Arc::new(file.clone())).is_valid(), "{places:x?}");
        let mut disk = VhdxMut::open_with(Arc::new(Memory::new(file)), &OpenOptions::default()).unwrap();
        disk.write_all_at(&[1; 4096], at(0)).unwrap();
        disk.write_all_at(&[1; 4096], at(8 * MIB)).unwrap();
        disk.close().unwrap();
    }
    let beyond = 129 << 40;
    assert_listed(keeping([beyond, len, len + 2 * MIB]), entry(Rule::BlockPlaceFar, &image, 0));
}

#[test]
fn sector_bitmap_blocks_that_cannot_be_used() {
    let image = child();
    let index = image.bitmap_bat_index(0);
    let layout = image.layout();
    let cases = [
        (0, Rule::BatBitmapMissing),
        (layout.offset(Part::Bitmap(0)) | 1, Rule::BatBitmapState),
        (layout.offset(Part::Bitmap(0)) | 7, Rule::BatBitmapState),
        (6, Rule::BlockInHeader),
        (layout.offset(Part::Log) | 6, Rule::BlockOverlapsLog),
        (layout.offset(Part::Metadata) | 6, Rule::BlockOverlapsRegion),
        (layout.len | 6, Rule::BlockPastEnd),
    ];
    for (value, rule) in cases {
        let file = with_entry(&image, index, value);
        let chain = on_base(file.clone());
        let half = MIB as usize / 2;
        let full = read(&chain, 1).unwrap();
        assert_same(&full, &block_content(1)[half..half + 4096], "a fully present block needs no bitmap");
        assert_eq!(violation(&read(&chain, 0).unwrap_err()), entry(rule, &image, index));
        assert_listed(file, entry(rule, &image, index));
    }
}

#[test]
fn a_bitmap_without_a_parent_means_nothing() {
    let mut image = Image::dynamic((1 << 32) + MIB, 1 << 20); // more than one chunk
    image.blocks.insert(0, Block::full(block_content(0)));
    let index = image.bitmap_bat_index(0);
    let file = with_entry(&image, index, image.layout().offset(Part::Payload(0)) | 6);
    assert_same(&read(&base(file.clone()), 1).unwrap(), &[0; 4096], "no block");
    assert_listed(file, entry(Rule::BatBitmapWithoutParent, &image, index));
}

/// A window of sectors is resolved at once, but a block of the base that no sector of it needs is not looked at.
#[test]
fn a_damaged_block_that_nobody_needs_is_not_in_the_way() {
    let mut base = Image::dynamic(2 * MIB, 1 << 20);
    base.blocks.insert(0, Block::full(vec![1; 512]));
    base.blocks.insert(1, Block::full(vec![2; 1 << 20]));
    let mut leaf = Image::child_of(&base, "base.vhdx", 2 << 20);
    leaf.blocks.insert(0, Block::partial(vec![3; 1 << 20], vec![true; 2048]));
    let mut damaged = base.build();
    let entry = usize::try_from(base.layout().bat_entry(0)).unwrap();
    damaged[entry..entry + 8].copy_from_slice(&((1_u64 << 40) | 6).to_le_bytes());
    let layers = vec![
        Vhdx::open_with(leaf.build(), &OpenOptions::default()).unwrap(),
        Vhdx::open_with(damaged, &OpenOptions::default()).unwrap(),
    ];
    let chain = Chain::from_layers(layers).unwrap();
    let mut disk = vec![0; 2 << 20];
    chain.read_exact_at(&mut disk, DiskOffset::new(0)).unwrap();
    assert!(disk[..1 << 20].iter().all(|&byte| byte == 3) && disk[1 << 20..].iter().all(|&byte| byte == 2));
}
