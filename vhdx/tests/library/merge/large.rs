//! Disks so large that the target's block allocation table has to move before it can grow, or that the target loses
//! sector bitmap blocks. Only some ranges of them are read: where data are, and around everything that ends somewhere.

use std::path::{Path, PathBuf};

use vhdx::format::bat_entry::PayloadBlockState::{Unmapped, Zero};
use vhdx::format::region_table::BAT_REGION;
use vhdx::ops::{BlockAction, MergeOptions};
use vhdx::{DiskOffset, Error, Guid, Vhdx};
use vhdx_testkit::crash::{CrashWorld, Images, Sweep};
use vhdx_testkit::{Block, Expected, Image, Random, SparseImage, windows_locator};

use super::faults::CancelAt;
use super::scene::{Content, Scene};
use super::space::assert_enough;

const MIB: u64 = 1 << 20;
const READ: u64 = 8192;

fn path(name: &str) -> PathBuf {
    Path::new("/vm").join(name)
}

/// A disk with blocks of 1 MiB.
fn disk(number: u128, size: u64, parent: Option<(u128, &str)>) -> Image {
    let mut image = Image::dynamic(size, 1 << 20);
    image.data_write_guid = Guid::from_u128(number);
    image.file_write_guid = Guid::from_u128(100 + number);
    image.virtual_disk_id = Guid::from_u128(7);
    image.parent_locator =
        parent.map(|(guid, name)| windows_locator(Guid::from_u128(guid), Guid::nil(), name));
    image
}

fn data(seed: u64) -> Block {
    Block::full(Random::new(seed).bytes(8192))
}

/// The first sectors of a block, but for the very first one.
fn few(seed: u64) -> Block {
    Block::partial(Random::new(seed).bytes(4096), (0..8).map(|sector| sector > 0).collect())
}

/// Returns the content of a disk in the places that differ between the layers.
fn content(world: &CrashWorld, disk: &Path, places: &[u64]) -> Content {
    let chain = world.chain(disk).unwrap();
    let size = chain.virtual_size();
    let read = |&place: &u64| {
        let start = place.saturating_sub(READ / 2).min(size - READ) / 512 * 512;
        let mut bytes = vec![0; READ as usize];
        chain.read_exact_at(&mut bytes, DiskOffset::new(start)).unwrap();
        (start, Expected::Bytes(bytes))
    };
    Content { size, parts: places.iter().map(read).collect() }
}

fn has_a_longer_table(target: &Vhdx, _: &SparseImage) {
    let bat = target.regions().iter().find(|region| region.id == BAT_REGION).unwrap();
    assert_eq!(bat.length, 2 << 20, "the table has moved");
}

/// The merge of `merged` into `target`; `top` is the child, `parent` the parent of the target.
fn scene(name: &str, parent: Option<Image>, target: Image, merged: Image, top: Image) -> Scene {
    let names = ["base.vhdx", "target.avhdx", "merged.avhdx", "top.avhdx"].map(path);
    let present = [parent, Some(target.clone()), Some(merged), Some(top)];
    let files = names.iter().zip(&present);
    let images: Images =
        files.filter_map(|(name, image)| Some((name.clone(), image.as_ref()?.sparse()))).collect();
    let world = CrashWorld::new(images.clone());
    let mut places: Vec<u64> = (0..8).map(|block| block * MIB).collect();
    for image in present.iter().flatten() {
        places.extend([image.virtual_size / MIB * MIB, image.virtual_size]);
        let with_bytes = image.blocks.iter().filter(|(_, block)| !block.bytes.is_empty());
        places.extend(with_bytes.map(|(block, _)| block * MIB));
    }
    places.extend([(target.virtual_size / MIB + 1) * MIB, 64 << 30]);
    Scene {
        name: name.into(),
        images,
        layers: vec![names[1].clone(), names[2].clone()],
        options: MergeOptions { shrink_target: true, ..MergeOptions::default() },
        leaves: vec![(names[3].clone(), content(&world, &names[3], &places))],
        between: Vec::new(),
        content: content(&world, &names[2], &places),
        then: |_, _| (),
    }
}

fn sweep(scene: &Scene) {
    assert_enough(scene);
    let swept = scene.sweep(&Sweep { exhaustive: 7, samples: Sweep::default().samples / 4, seed: 3 }, |_| ());
    assert!(swept.images >= 50, "{swept:?}");
}

#[test]
fn a_bat_that_moves_late() {
    const BLOCKS: u64 = 131_040; // the most for which a table of 1 MiB has room
    let mut target = disk(1, BLOCKS * MIB - 512 * 9, None);
    assert_eq!((target.bat_entries() * 8).div_ceil(MIB), 1);
    target.blocks.extend([(0, data(1)), (3, Block::empty(Unmapped, true)), (BLOCKS - 1, data(2))]);
    let mut merged = disk(2, (BLOCKS + 5) * MIB + 512, Some((1, "target.avhdx")));
    let blocks = [
        (0, few(3)),
        (2, few(4)),
        (3, Block::empty(Zero, false)),
        (BLOCKS - 1, few(5)),
        (BLOCKS, data(6)),
        (BLOCKS + 5, few(7)),
    ];
    merged.blocks.extend(blocks);
    let mut top = disk(3, merged.virtual_size, Some((2, "merged.avhdx")));
    top.blocks.insert(BLOCKS, few(8));
    let scene = scene("a BAT that moves late", None, target, merged, top);
    sweep(&Scene { then: has_a_longer_table, ..scene });
}

/// Its last block, which its parent answers for, becomes partially present because of what lies past its end.
#[test]
fn the_bat_of_a_differencing_disk_that_moves_late() {
    const BLOCKS: u64 = 31 * 4096;
    let mut parent = disk(1, (BLOCKS + 9) * MIB, None);
    parent.blocks.extend([(0, data(1)), (BLOCKS - 1, data(2)), (BLOCKS, data(3))]);
    let mut target = disk(2, BLOCKS * MIB - 512 * 9, Some((1, "base.vhdx")));
    assert_eq!((target.bat_entries() * 8).div_ceil(MIB), 1);
    target.blocks.extend([(0, few(4)), (5, few(5))]);
    let mut merged = disk(3, (BLOCKS + 5) * MIB + 512, Some((2, "target.avhdx")));
    merged.blocks.extend([(0, few(6)), (5, Block::empty(Zero, false)), (BLOCKS + 1, few(7))]);
    let mut top = disk(4, merged.virtual_size - MIB, Some((3, "merged.avhdx")));
    top.blocks.insert(1, few(8));
    let scene = scene("the BAT of a differencing disk that moves late", Some(parent), target, merged, top);
    sweep(&Scene { then: has_a_longer_table, ..scene });
}

/// Blocks and a sector bitmap block past the new end are forgotten, for they would come back if the disk grew again.
#[test]
fn a_differencing_disk_that_loses_a_chunk() {
    const CHUNK: u64 = 4096;
    let mut parent = disk(1, (2 * CHUNK + 7) * MIB, None);
    parent.blocks.extend([(0, data(1)), (CHUNK, data(2)), (2 * CHUNK, data(3))]);
    let mut target = disk(2, 2 * CHUNK * MIB + 512, Some((1, "base.vhdx")));
    target.blocks.extend([
        (0, few(4)),
        (1, data(5)),
        (11, few(6)),
        (CHUNK + 3, few(7)),
        (2 * CHUNK, data(8)),
    ]);
    let mut merged = disk(3, 10 * MIB + 512 * 3, Some((2, "target.avhdx")));
    merged.blocks.extend([(0, few(9)), (1, Block::empty(Zero, false)), (7, data(10))]);
    let mut top = disk(4, 11 * MIB, Some((3, "merged.avhdx")));
    top.blocks.insert(10, few(11));
    fn forgets(target: &Vhdx, file: &SparseImage) {
        let bat = target.regions().iter().find(|region| region.id == BAT_REGION).unwrap();
        let mut table = file.read(bat.offset.get(), bat.length as usize);
        table[CHUNK as usize * 8..][..8].fill(0); // the bitmap that is still needed
        assert!(table[11 * 8..].iter().all(|&byte| byte == 0), "something is left past the end");
    }
    let scene = scene("a differencing disk that loses a chunk", Some(parent), target, merged, top);
    sweep(&Scene { then: forgets, ..scene });
}

/// Small batches, some limited by bytes and some by pages. The second chunk has a sector bitmap block.
///
/// The others need one. They get it at the start of a batch, in the middle of one, or by growth.
fn several_chunks(name: &str, chunk: u64, sector_size: u32, is_growing: bool) -> Scene {
    let size = 4 * chunk * MIB;
    let with_sectors = |image: Image| Image { logical_sector_size: sector_size, ..image };
    let part = |seed: u64| {
        let sector = sector_size as usize;
        Block::partial(Random::new(seed).bytes(4 * sector), vec![false, true, true, false])
    };
    let mut parent = with_sectors(disk(1, size, None));
    parent.blocks.extend([0, chunk - 1, chunk, 3 * chunk].map(|block| (block, data(block))));
    let target_size = if is_growing { 3 * chunk * MIB + u64::from(sector_size) } else { size };
    let mut target = with_sectors(disk(2, target_size, Some((1, "base.vhdx"))));
    target.blocks.extend([(chunk + 3, part(1)), (chunk + 4, Block::empty(Unmapped, true))]);
    let mut merged = with_sectors(disk(3, size, Some((2, "target.avhdx"))));
    // Neighbours on both sides of the windows of 8192 entries in which the table is read, if the chunk is that long.
    let blocks = [0, 8190, 8191, 8192, 8193, chunk - 1, chunk, chunk + 3, 2 * chunk - 1, 2 * chunk];
    let blocks = blocks.into_iter().chain([2 * chunk + 7, 3 * chunk - 1, 3 * chunk, 4 * chunk - 1]);
    merged.blocks.extend(blocks.map(|block| (block, part(100 + block))));
    merged.blocks.insert(chunk + 4, data(2));
    let mut top = with_sectors(disk(4, size, Some((3, "merged.avhdx"))));
    top.blocks.insert(1, part(3));
    let scene = scene(name, Some(parent), target, merged, top);
    // Three blocks of two sectors each.
    let options = MergeOptions { batch_bytes: 6 * u64::from(sector_size), pages: 5, ..scene.options };
    let scene = Scene { options, then: has_bitmaps, ..scene };
    let plan = scene.world().plan_merge(scene.child(), scene.target(), &options).unwrap();
    assert!(plan.batch_count() > 4, "{}", plan.batch_count());
    scene
}

fn has_bitmaps(target: &Vhdx, file: &SparseImage) {
    let bat = target.regions().iter().find(|region| region.id == BAT_REGION).unwrap();
    let ratio = (u64::from(target.logical_sector_size()) << 23) / target.block_size();
    for chunk in 1..=4 {
        let entry = file.read(bat.offset.get() + (chunk * (ratio + 1) - 1) * 8, 8);
        assert_eq!(entry[0] & 7, 6, "chunk {chunk} has no sector bitmap block");
    }
}

#[test]
fn new_bitmaps_in_several_chunks_and_batches() {
    sweep(&several_chunks("new bitmaps in several chunks and batches", 4096, 512, false));
}

#[test]
fn new_bitmaps_in_chunks_of_a_disk_that_grows() {
    sweep(&several_chunks("new bitmaps in chunks of a disk that grows", 4096, 512, true));
}

/// The sector bitmap entry of a chunk of 32768 blocks lies outside the window of its first blocks.
#[test]
fn chunks_that_are_longer_than_a_window() {
    for is_growing in [false, true] {
        let scene = several_chunks("chunks that are longer than a window", 32768, 4096, is_growing);
        assert_enough(&scene);
        let world = scene.world();
        scene.complete(&world, "without a failure");
        scene.assert_valid(&world, "without a failure");
    }
}

/// Blocks that are only overwritten change no metadata, so nothing else ends a batch.
#[test]
fn a_batch_with_the_most_blocks() {
    const MOST: u64 = 1 << 16;
    let size = (MOST + 9) * MIB;
    let mut target = disk(1, size, None);
    (target.leave_blocks_allocated, target.litter) = (true, false);
    target.blocks = (0..MOST + 9).map(|block| (block, Block::full(Vec::new()))).collect();
    target.blocks.extend([0, 1, MOST - 1, MOST, MOST + 5, MOST + 8].map(|block| (block, data(block))));
    let mut merged = disk(2, size, Some((1, "target.avhdx")));
    merged.blocks = (0..MOST + 6).map(|block| (block, Block::empty(Zero, false))).collect();
    merged.blocks.extend([(1, few(1)), (MOST, few(2)), (MOST + 8, few(3))]);
    let mut top = disk(3, size, Some((2, "merged.avhdx")));
    top.blocks.insert(MOST - 1, few(4));
    let scene = scene("a batch with the most blocks", None, target, merged, top);
    let options = MergeOptions { batch_bytes: u64::MAX, ..scene.options };
    let scene = Scene { options, ..scene };
    let world = scene.world();
    let plan = world.plan_merge(scene.child(), scene.target(), &options).unwrap();
    assert_eq!((plan.batch_count(), plan.block_counts()), (2, [(BlockAction::Overwrite, MOST + 7)].into()));
    // Cancelled between the two batches.
    let error = scene.merge(&world, &CancelAt::question(1)).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    scene.check(&world, "after a cancel");
    scene.complete(&CrashWorld::new(world.images()), "after a cancel and another run");
}
