//! Tests how blocks get their places, and how much one commit may contain.

use std::sync::Arc;

use vhdx::format::bat_entry::PayloadBlockState::{FullyPresent, Undefined, Unmapped, Zero};
use vhdx::ops::check_storage;
use vhdx::{BlockIndex, Chain, Memory, OpenOptions, ReadAt, Result, Storage, Vhdx, VhdxMut};
use vhdx_testkit::crash::{CrashWorld, Images};
use vhdx_testkit::{Block, Image, Part};

use crate::common::{MIB, at};

type Change = fn(&mut VhdxMut) -> Result<()>;

/// Block 1 of a disk of four loses whatever it had; then all blocks are written to.
fn assert_sound(image: &Image, what: &str, change: Change) {
    let file = Arc::new(Memory::new(image.build()));
    let mut disk =
        VhdxMut::open_with(Arc::clone(&file) as Arc<dyn Storage>, &OpenOptions::default()).unwrap();
    let place =
        |disk: &VhdxMut, block| disk.staged().payload_entry(BlockIndex::new(block)).unwrap().file_offset();
    let before = place(&disk, 1);
    change(&mut disk).unwrap();
    disk.flush().unwrap();
    for block in 0..4 {
        disk.write_all_at(&[block as u8 + 1; 512], at(block * MIB)).unwrap();
    }
    let places = [0, 1, 2, 3].map(|block| place(&disk, block));
    assert!(places.iter().all(|place| place.get() >= MIB), "{what}: {places:?}");
    let is_reused = places.contains(&before);
    assert_eq!(is_reused, before.get() != 0, "{what}: {before:?} {places:?}");
    disk.close().unwrap();

    let report = check_storage(Arc::clone(&file) as Arc<dyn ReadAt>);
    assert!(report.is_valid(), "{what}: {report:?}");
    let chain = Chain::from_layers(vec![Vhdx::open_with(file, &OpenOptions::default()).unwrap()]).unwrap();
    for block in 0..4 {
        let mut bytes = [0; 1024];
        chain.read_exact_at(&mut bytes, at(block * MIB)).unwrap();
        let expected = [[block as u8 + 1; 512], [0; 512]].concat();
        assert!(bytes == *expected, "{what}: block {block}");
    }
}

/// A block without data may have a place or none. None is 0 in its BAT entry, and the header lies there.
#[test]
fn only_a_place_that_a_block_has_is_freed() {
    let changes: [(&str, Change); 4] = [
        ("zero", |disk| disk.write_zeros(at(MIB)..at(2 * MIB))),
        ("zero in part", |disk| disk.write_zeros(at(MIB + 512)..at(2 * MIB))),
        ("unmap", |disk| disk.unmap(at(MIB)..at(2 * MIB))),
        ("write", |disk| disk.write_all_at(&[2; 512], at(MIB))),
    ];
    for (state, placed) in
        [(Unmapped, false), (Unmapped, true), (Undefined, false), (Undefined, true), (Zero, false)]
    {
        let mut image = Image::dynamic(4 * MIB, 1 << 20);
        image.blocks.insert(1, Block::empty(state, placed));
        for (what, change) in changes {
            assert_sound(&image, &format!("{what}, {state:?}, placed: {placed}"), change);
        }
    }
    let mut image = Image::dynamic(4 * MIB, 1 << 20);
    image.blocks.insert(1, Block::full(vec![7; 4096]));
    assert_sound(&image, "zero a full block", changes[0].1);
    assert_sound(&image, "unmap a full block", changes[2].1);
}

/// The bitmap block holds old bits of blocks that are not present, so each write stages all bits of its block. Six blocks
/// take more pages than an entry of the log.
#[test]
fn one_change_of_many_large_blocks_is_committed_in_time() {
    const NAME: &str = "child.vhdx";
    const BLOCKS: u64 = 9;
    let parent = Image::dynamic(16 * 256 * MIB, 1 << 20);
    let mut image = Image { litter: false, ..Image::child_of(&parent, "base.vhdx", 256 << 20) };
    image.blocks.insert(15, Block::partial(Vec::new(), vec![true; 8]));
    let mut file = image.sparse();
    file.write(image.layout().offset(Part::Bitmap(0)), &[0xe5; 15 << 16]);
    let world = CrashWorld::new(Images::from([(NAME.into(), file)]));
    let mut disk = VhdxMut::open_with(world.storage(NAME), &OpenOptions::default()).unwrap();
    for block in 0..BLOCKS {
        disk.write_all_at(&[block as u8 + 1; 512], at(block * 256 * MIB + MIB)).unwrap();
    }
    disk.close().unwrap();

    let child = Vhdx::open_with(world.storage(NAME), &OpenOptions::default()).unwrap();
    assert_ne!(child.payload_entry(BlockIndex::new(0)).unwrap().payload_state(), Some(FullyPresent));
    let parent = Vhdx::open_with(parent.sparse(), &OpenOptions::default()).unwrap();
    let chain = Chain::from_layers(vec![child, parent]).unwrap();
    for block in 0..BLOCKS {
        let mut bytes = [0xaa; 1536];
        chain.read_exact_at(&mut bytes, at(block * 256 * MIB + MIB - 512)).unwrap();
        let expected = [[0; 512], [block as u8 + 1; 512], [0; 512]].concat();
        assert!(bytes == *expected, "block {block}");
    }
}
