use super::*;
use crate::file::Vhdx;
use crate::format::bat_entry::PayloadBlockState;
use crate::ops::merge::testing::{base, child, full, open};

const LARGE: MergeOptions = MergeOptions {
    ignore_undetermined: false,
    delete_merged: false,
    shrink_target: false,
    ignore_space: false,
    batch_bytes: u64::MAX,
    pages: usize::MAX,
    jobs: crate::transfer::Jobs::AUTO,
};

fn place(mib: u64) -> FileOffset {
    FileOffset::new(mib * MIB)
}

/// A block of 1 MiB whose first `sectors` sectors are copied.
struct Work {
    block: u64,
    action: BlockAction,
    place: Option<u64>,
    sectors: u64,
    long: u64,
}

fn work(block: u64, action: BlockAction, place: Option<u64>) -> Work {
    Work { block, action, place, sectors: 2048, long: 0 }
}

/// The batches and what they take.
struct Done {
    batches: Vec<Batch>,
    file_size: u64,
    overwritten: u64,
}

/// Batches this work on a file that has no sector bitmap block.
fn batches(vhdx: &Vhdx, virtual_size: u64, options: &MergeOptions, work: &[Work]) -> Done {
    batches_of(false, vhdx, virtual_size, options, work)
}

fn batches_of(
    shares_blocks: bool,
    vhdx: &Vhdx,
    virtual_size: u64,
    options: &MergeOptions,
    work: &[Work],
) -> Done {
    let geometry = vhdx.geometry();
    let geometry = Geometry::new(geometry.block_size(), 512, virtual_size, geometry.has_parent()).unwrap();
    let space = Space::from_validated_bat(vhdx).unwrap();
    let batcher = Batcher::new(geometry, space, vhdx.file_len(), *options).sharing(shares_blocks);
    let (mut batcher, mut batches) = (batcher.counting(SpaceCount::new(vhdx.holes())), Vec::new());
    for work in work {
        let block = BlockIndex::new(work.block);
        let start = geometry.block_start(block);
        let ranges = [start..start.saturating_add(work.sectors * 512)];
        // The batcher does not use the state.
        let before = Before { state: PayloadBlockState::NotPresent, place: work.place.map(place) };
        let (action, copied) = (work.action, work.sectors * 512);
        let decided = Decided {
            block,
            action,
            before,
            copied,
            long: work.long,
            zeroed: 0,
            ranges: &ranges,
            has_bitmap: false,
        };
        batches.extend(batcher.add(&decided).unwrap());
    }
    batches.extend(batcher.close());
    let file_size = batcher.file_size();
    Done { batches, file_size, overwritten: batcher.into_count().unwrap().overwritten }
}

/// The places in MiB of the blocks of each batch, and whether they are fresh.
fn places(batches: &Done) -> Vec<Vec<(u64, bool)>> {
    let places =
        |batch: &Batch| batch.blocks.iter().map(|block| (block.place.get() / MIB, block.is_fresh)).collect();
    batches.batches.iter().map(places).collect()
}

fn sizes(batches: &Done) -> Vec<usize> {
    batches.batches.iter().map(|batch| batch.blocks.len()).collect()
}

#[test]
fn freed_places_are_used_from_the_next_batch_on() {
    let mut image = base(8 * MIB);
    image.blocks = [(0, full(1)), (1, full(2))].into();
    let vhdx = open(&image);
    let len = vhdx.file_len() / MIB;
    let work = [
        work(0, BlockAction::Zero, Some(len - 2)),
        work(2, BlockAction::Fill, None),
        work(3, BlockAction::Fill, None),
        work(4, BlockAction::Fill, None),
    ];
    let done = batches(&vhdx, 8 * MIB, &MergeOptions { batch_bytes: 2 * MIB, ..LARGE }, &work);
    assert_eq!(places(&done), [vec![(0, false), (len, true), (len + 1, true)], vec![(len - 2, false)]]);
    let sizes: Vec<_> = done.batches.iter().map(|batch| batch.file_size / MIB).collect();
    assert_eq!(sizes, [len + 2, len + 2]);
    assert_eq!((done.file_size, done.overwritten), ((len + 2) * MIB, MIB));
}

#[test]
fn a_reserved_place_is_used_if_it_lies_inside_the_file() {
    let mut image = base(8 * MIB);
    image.blocks = [(1, full(1))].into();
    let vhdx = open(&image);
    let len = vhdx.file_len() / MIB;
    let fill = |mib| batches(&vhdx, 8 * MIB, &LARGE, &[work(0, BlockAction::Fill, Some(mib))]);
    let inside = fill(len - 1);
    assert_eq!((places(&inside), inside.overwritten), (vec![vec![(len - 1, false)]], MIB));
    let outside = fill(len + 100);
    assert_eq!((places(&outside), outside.overwritten), (vec![vec![(len, true)]], 0));
    assert_eq!(outside.file_size, (len + 1) * MIB);
}

/// An eighth of a shared byte counts. Short runs are copied.
#[test]
fn more_blocks_that_are_shared_fit_into_a_batch() {
    let vhdx = open(&base(64 * MIB));
    let options = MergeOptions { batch_bytes: MIB, ..LARGE };
    let fills = |long| (0..20).map(move |block| Work { long, ..work(block, BlockAction::Fill, None) });
    let (long, short): (Vec<_>, Vec<_>) = (fills(MIB).collect(), fills(0).collect());
    assert_eq!(sizes(&batches_of(true, &vhdx, 64 * MIB, &options, &long)), [8, 8, 4]);
    assert_eq!(sizes(&batches_of(true, &vhdx, 64 * MIB, &options, &short)), [1; 20]);
    assert_eq!(sizes(&batches_of(false, &vhdx, 64 * MIB, &options, &long)), [1; 20]);
}

#[test]
fn a_batch_ends_where_it_has_enough_bytes() {
    let vhdx = open(&base(8 * MIB));
    let fills: Vec<_> = (0..5).map(|block| work(block, BlockAction::Fill, None)).collect();
    let of_size =
        |batch_bytes| sizes(&batches(&vhdx, 8 * MIB, &MergeOptions { batch_bytes, ..LARGE }, &fills));
    assert_eq!(of_size(2 * MIB), [2, 2, 1]);
    assert_eq!(of_size(2 * MIB - 1), [1; 5]);
    assert_eq!(of_size(0), [1; 5]);
    assert_eq!(of_size(u64::MAX), [5]);
    // Nothing is written to blocks that become ZERO.
    let zeros: Vec<_> = (0..5).map(|block| work(block, BlockAction::Zero, None)).collect();
    assert_eq!(sizes(&batches(&vhdx, 8 * MIB, &MergeOptions { batch_bytes: MIB, ..LARGE }, &zeros)), [5]);
}

#[test]
fn a_batch_ends_where_its_transaction_is_full() {
    const SIZE: u64 = 4 << 30;
    let vhdx = open(&base(SIZE));
    // A page holds 512 entries.
    let fills = [0, 511, 512, 1024].map(|block| work(block, BlockAction::Fill, None));
    let of_pages = |pages| {
        let done = batches(&vhdx, SIZE, &MergeOptions { pages, ..LARGE }, &fills);
        done.batches.iter().map(|batch| (batch.blocks.len(), batch.pages)).collect::<Vec<_>>()
    };
    assert_eq!(of_pages(1), [(2, 1), (1, 1), (1, 1)]);
    assert_eq!(of_pages(2), [(3, 2), (1, 1)]);
    assert_eq!(of_pages(3), [(4, 3)]);
    let overwritten =
        [work(0, BlockAction::Overwrite, Some(9)), work(1024, BlockAction::Overwrite, Some(10))];
    let done = batches(&vhdx, SIZE, &MergeOptions { pages: 1, ..LARGE }, &overwritten);
    assert_eq!((sizes(&done), done.batches[0].pages), (vec![2], 0));
}

#[test]
fn bits_are_counted_with_the_entries() {
    let parent = base(MIB);
    let vhdx = open(&child(&parent));
    const SIZE: u64 = 9 << 30;
    let pages = |work: &[Work]| batches(&vhdx, SIZE, &LARGE, work).batches[0].pages;
    // A page holds the bits of 16 MiB.
    let mark = |block| work(block, BlockAction::Mark, Some(9));
    assert_eq!(pages(&[mark(0), mark(15)]), 1);
    assert_eq!(pages(&[mark(15), mark(16)]), 2);
    assert_eq!(pages(&[Work { sectors: 1, ..mark(15) }]), 1);
    // The same position in another chunk is another page.
    assert_eq!(pages(&[mark(0), mark(4096)]), 2);
    // The block's entry, the entry of the sector bitmap block, and the bits. The second block only adds bits.
    let part = |block| work(block, BlockAction::FillPart, None);
    assert_eq!(pages(&[part(0)]), 3);
    assert_eq!(pages(&[part(0), part(16)]), 4);
    assert_eq!(pages(&[work(0, BlockAction::Promote, Some(9))]), 1);
}

#[test]
fn the_largest_block_changes_17_pages_if_both_entries_share_one() {
    let mut image = child(&base(MIB));
    image.block_size = 256 << 20;
    let part = [work(0, BlockAction::FillPart, None)];
    let done = batches(&open(&image), 1 << 30, &MergeOptions { pages: 1, ..LARGE }, &part);
    assert_eq!((sizes(&done), done.batches[0].pages), (vec![1], 17));
}

#[test]
fn each_chunk_gets_one_sector_bitmap_block() {
    let vhdx = open(&child(&base(MIB)));
    let len = vhdx.file_len() / MIB;
    let part = |block| work(block, BlockAction::FillPart, None);
    let parts = [part(0), part(1), part(4096), part(4097)];
    let done = batches(&vhdx, 9 << 30, &MergeOptions { batch_bytes: MIB, ..LARGE }, &parts);
    assert_eq!(sizes(&done), [1; 4]);
    let bitmap =
        |chunk, mib| vec![NewBitmap { chunk: ChunkIndex::new(chunk), place: place(mib), is_fresh: true }];
    let bitmaps: Vec<_> = done.batches.iter().map(|batch| batch.bitmaps.clone()).collect();
    assert_eq!(bitmaps, [bitmap(0, len), vec![], bitmap(1, len + 3), vec![]]);
}

#[test]
fn a_batch_has_a_bounded_number_of_blocks() {
    let vhdx = open(&base(1 << 40));
    let blocks = MOST_BLOCKS as u64 + 1;
    let work: Vec<_> = (0..blocks)
        .map(|block| Work { sectors: 1, ..work(block, BlockAction::Overwrite, Some(9)) })
        .collect();
    assert_eq!(sizes(&batches(&vhdx, 1 << 40, &LARGE, &work)), [MOST_BLOCKS, 1]);
}
