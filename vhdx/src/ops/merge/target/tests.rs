use super::*;
use crate::file::{OpenOptions, Space};
use crate::ops::merge::testing::{base, child, full, open, partial, with_entries};
use crate::units::MIB;
use PayloadBlockState::{FullyPresent, NotPresent, PartiallyPresent, Unmapped, Zero};
use vhdx_testkit::{Block, Image, Part};

/// A view of the target once its disk has at least `virtual_size` bytes.
fn view<'a>(vhdx: &Vhdx, growth: Option<&'a ResizePlan>, virtual_size: u64) -> Target<'a> {
    let (size, has_parent) = (virtual_size.max(vhdx.virtual_size()), vhdx.geometry().has_parent());
    Target::new(
        growth,
        Geometry::new(vhdx.block_size(), vhdx.logical_sector_size(), size, has_parent).unwrap(),
    )
}

fn block(index: u64) -> BlockIndex {
    BlockIndex::new(index)
}

#[test]
fn only_blocks_that_take_space_have_a_place() {
    let mut image = base(5 * MIB);
    image.blocks = [(0, full(1)), (1, full(2))].into();
    let taken = image.layout().len / MIB;
    // Only UNMAPPED and UNDEFINED blocks keep a place without content.
    let entries = [(2, Unmapped, taken), (3, NotPresent, taken + 1), (4, Unmapped, 0)];
    let vhdx = Vhdx::open_with(with_entries(&image, entries), &OpenOptions::default()).unwrap();
    let mut target = view(&vhdx, None, MIB);
    let mut before = |index| {
        let Before { state, place } = target.before(&vhdx, block(index)).unwrap();
        (state, place.map(|place| place.get() / MIB))
    };
    assert_eq!(before(1), (FullyPresent, Some(taken - 1)));
    assert_eq!(before(2), (Unmapped, Some(taken)));
    assert_eq!(before(3), (NotPresent, None));
    assert_eq!(before(4), (Unmapped, None));
}

#[test]
fn bits_of_a_partial_block() {
    let base = base(2 * MIB);
    let mut image = child(&base);
    image.blocks = [(1, partial(1, 8))].into();
    let vhdx = open(&image);
    let target = view(&vhdx, None, 0);
    let bits = |sectors: &[(u64, u64)]| {
        let at = |sector: u64| DiskOffset::new(MIB + sector * 512);
        target.bits(&vhdx, block(1), sectors.iter().map(|&(start, end)| at(start)..at(end))).unwrap()
    };
    assert_eq!(bits(&[(0, 8)]), Bits::Same);
    assert_eq!(bits(&[(2, 3), (7, 8)]), Bits::Same);
    assert_eq!(bits(&[(2, 3), (8, 9)]), Bits::More);
    assert_eq!(bits(&[(9, 2048)]), Bits::More);
    assert_eq!(bits(&[(8, 2048)]), Bits::All);
    assert_eq!(bits(&[(0, 100), (100, 2048)]), Bits::All);
}

#[test]
fn a_grown_target_has_new_blocks_and_a_tail() {
    let base = base(2 * MIB + 1024);
    let image = child(&base);
    let vhdx = open(&image);
    let mut space = Space::from_validated_bat(&vhdx).unwrap();
    let end = space.end().get();
    let growth = ResizePlan::new(&vhdx, &mut space, 5 * MIB).unwrap();
    let mut target = view(&vhdx, Some(&growth), 5 * MIB);
    assert_eq!(target.before(&vhdx, block(1)).unwrap(), Before { state: NotPresent, place: None });
    let tail = target.before(&vhdx, block(2)).unwrap();
    assert_eq!((tail.state, tail.place.unwrap().get()), (PartiallyPresent, end));
    assert_eq!(target.before(&vhdx, block(3)).unwrap(), Before { state: Zero, place: None });
    assert!(target.has_bitmap(&vhdx, ChunkIndex::new(0)).unwrap());

    let at = |sector: u64| DiskOffset::new(2 * MIB + sector * 512);
    let bits = |range: Range<u64>| {
        target.bits(&vhdx, block(2), [at(range.start)..at(range.end)].into_iter()).unwrap()
    };
    assert_eq!(bits(0..2), Bits::All);
    assert_eq!(bits(0..1), Bits::More);
    assert_eq!(bits(2..5), Bits::Same);
}

#[test]
fn the_last_block_is_complete_with_all_sectors_inside_the_disk() {
    let base = base(MIB + 1024);
    let mut image = child(&base);
    image.blocks = [(1, partial(1, 1))].into();
    let vhdx = open(&image);
    let mut target = view(&vhdx, None, 0);
    let range = DiskOffset::new(MIB + 512)..DiskOffset::new(MIB + 1024);
    assert_eq!(target.bits(&vhdx, block(1), [range].into_iter()).unwrap(), Bits::All);
    assert!(target.has_bitmap(&vhdx, ChunkIndex::new(0)).unwrap());
    assert!(!target.has_bitmap(&vhdx, ChunkIndex::new(1)).unwrap());
}

/// A chunk has 32768 blocks, so its sector bitmap entry lies outside the window of most of them.
#[test]
fn blocks_and_bitmaps_on_both_sides_of_a_window() {
    const CHUNK: u64 = 32768;
    let base = Image { logical_sector_size: 4096, ..base(2 * CHUNK * MIB) };
    let mut image = Image { logical_sector_size: 4096, ..child(&base) };
    let blocks = [0, WINDOW - 1, WINDOW, 2 * WINDOW, CHUNK - 1, CHUNK + 1, CHUNK + WINDOW, 2 * CHUNK - 1];
    let part = || Block::partial(vec![1; 4096], vec![true]);
    let block_at = |block| (block, if block < CHUNK { full(1) } else { part() });
    image.blocks = blocks.into_iter().map(block_at).collect();
    let (vhdx, layout) = (open(&image), image.layout());
    let expected = |index| {
        let place = image.blocks.contains_key(&index).then(|| layout.offset(Part::Payload(index)));
        let state = match place {
            None => NotPresent,
            Some(_) if index < CHUNK => FullyPresent,
            Some(_) => PartiallyPresent,
        };
        Before { state, place: place.map(FileOffset::new) }
    };
    let edges = blocks.into_iter().flat_map(|block| block.saturating_sub(2)..=(block + 2).min(2 * CHUNK - 1));
    let edges: Vec<u64> = edges.collect();
    for first in 0..edges.len() {
        let (mut alone, mut with_bitmaps) = (view(&vhdx, None, 0), view(&vhdx, None, 0));
        for &index in &edges[first..] {
            assert_eq!(alone.before(&vhdx, block(index)).unwrap(), expected(index), "{index}");
            assert_eq!(with_bitmaps.before(&vhdx, block(index)).unwrap(), expected(index), "{index}");
            let chunk = ChunkIndex::new(index / CHUNK);
            assert_eq!(with_bitmaps.has_bitmap(&vhdx, chunk).unwrap(), index >= CHUNK, "{index}");
        }
    }
}
