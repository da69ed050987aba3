//! Disks of several chunks: each chunk has a sector bitmap block of its own, and one walk needs all of them.

use std::collections::BTreeSet;

use crate::common::at;
use vhdx::{DiskOffset, Extent, FileOffset, OpenOptions, Source, Vhdx};
use vhdx_testkit::{Block, Image, Part, Random};

/// A child whose partially present blocks lie at the ends of its chunks. No two of them have the same bits.
fn child(block_size: u32, sector_size: u32) -> Image {
    let parent = Image { logical_sector_size: sector_size, ..Image::dynamic(1 << 20, 1 << 20) };
    let ratio = parent_ratio(block_size, sector_size);
    let blocks = 4 * ratio + 2;
    let mut image = Image {
        litter: false,
        virtual_size: blocks * u64::from(block_size) - 3 * u64::from(sector_size),
        ..Image::child_of(&parent, "base.vhdx", block_size)
    };
    // The first and the last block of a chunk, neighbours across the border of two chunks, none of them in one chunk.
    let partial =
        [0, 1, ratio - 1, ratio, ratio + 2, 2 * ratio - 1, 3 * ratio, 4 * ratio - 1, 4 * ratio, blocks - 1];
    let mut random = Random::new(u64::from(block_size ^ sector_size));
    for block in BTreeSet::from(partial) {
        let sectors = (0..500).map(|_| random.below(4) != 0).collect();
        image.blocks.insert(block, Block::partial(Vec::new(), sectors));
    }
    image
}

fn parent_ratio(block_size: u32, sector_size: u32) -> u64 {
    (1 << 23) * u64::from(sector_size) / u64::from(block_size)
}

/// The extents of a whole disk, from what the image was made of, sector by sector.
fn expected(image: &Image) -> Vec<Extent> {
    let (layout, sector_size) = (image.layout(), u64::from(image.logical_sector_size));
    let mut extents: Vec<Extent> = Vec::new();
    let mut next = 0;
    let mut push = |start: u64, end: u64, source| {
        let extent = Extent { start: at(start), len: end - start, source };
        if start < end && !extents.last_mut().is_some_and(|last| last.try_join(&extent)) {
            extents.push(extent);
        }
    };
    for (&number, block) in &image.blocks {
        let start = number * u64::from(image.block_size);
        push(next, start, Source::Unallocated);
        let place = layout.offset(Part::Payload(number));
        for (sector, &is_present) in (0..).zip(&block.sectors) {
            let within = sector * sector_size;
            let data = Source::Data { layer: 0, offset: FileOffset::new(place + within) };
            let source = if is_present { data } else { Source::Unallocated };
            let from = (start + within).min(image.virtual_size);
            push(from, (start + within + sector_size).min(image.virtual_size), source);
        }
        next = (start + block.sectors.len() as u64 * sector_size).min(image.virtual_size);
    }
    push(next, image.virtual_size, Source::Unallocated);
    extents
}

fn extents(vhdx: &Vhdx, range: std::ops::Range<DiskOffset>) -> Vec<Extent> {
    vhdx.extents(range).collect::<vhdx::Result<_>>().unwrap()
}

#[test]
fn one_walk_uses_the_bitmap_of_each_chunk() {
    for (block_size, sector_size) in [(256 << 20, 512), (32 << 20, 512), (1 << 20, 512), (256 << 20, 4096)] {
        let image = child(block_size, sector_size);
        let expected = expected(&image);
        assert!(expected.len() > 1000);
        let vhdx = Vhdx::open_with(image.sparse(), &OpenOptions::default()).unwrap();
        assert_eq!(vhdx.geometry().chunk_ratio(), parent_ratio(block_size, sector_size));
        let whole = at(0)..at(image.virtual_size);
        assert_eq!(extents(&vhdx, whole), expected, "{block_size} {sector_size}");

        let mut random = Random::new(9);
        for _ in 0..20 {
            let mut edge = || expected[random.below(expected.len())].start;
            let (one, other) = (edge(), edge());
            let range = one.min(other)..one.max(other);
            let clipped: Vec<Extent> = expected.iter().filter_map(|extent| extent.clip(&range)).collect();
            assert_eq!(extents(&vhdx, range.clone()), clipped, "{range:?}");
        }
    }
}
