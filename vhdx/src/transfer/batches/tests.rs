use std::num::NonZero;

use super::*;
use crate::file::{Extent, Source};
use crate::storage::ReadHint;
use crate::transfer::{Content, Jobs};
use crate::units::FileOffset;

const CAPACITY: u64 = MIB;

fn workers() -> Workers {
    Workers::new(Jobs::new(NonZero::new(4).unwrap()), &ReadHint::default(), 1)
}

/// Makes extents of these lengths, one after the other: data if positive, else unallocated.
fn extents(lengths: &[i64]) -> Vec<Extent> {
    let mut at = 0;
    let extent = |&len: &i64| {
        let (start, offset) = (DiskOffset::new(at), FileOffset::new(1 << 40 | at));
        at += len.unsigned_abs();
        let source = if len > 0 { Source::Data { layer: 0, offset } } else { Source::Unallocated };
        Extent { start, len: len.unsigned_abs(), source }
    };
    lengths.iter().map(extent).collect()
}

fn batches(extents: &[Extent], zeros: Zeros) -> Vec<Batch<1>> {
    let batches = Batches::new(workers(), extents.iter().copied().map(Ok), zeros);
    batches.map(|batch| batch.unwrap()).collect()
}

/// Returns the runs of each batch: start, length, and whether it is read.
fn runs(lengths: &[i64], zeros: Zeros) -> Vec<Vec<(u64, u64, bool)>> {
    let buffer = vec![0; CAPACITY as usize];
    let of_batch = |batch: Batch<1>| {
        let contents = batch.contents(&buffer[..batch.len()]).map(|content| match content.unwrap() {
            (start, Content::Bytes(bytes)) => (start.get(), bytes.len() as u64, true),
            (start, Content::Zeros(len)) => (start.get(), len, false),
        });
        contents.collect()
    };
    batches(&extents(lengths), zeros).into_iter().map(of_batch).collect()
}

#[test]
fn zeros_between_data_are_read_over_if_they_are_few() {
    let lengths = [4096, -4096, 4096, -8192, 512];
    assert_eq!(runs(&lengths, Zeros::LeftOut), [[(0, 12288, true), (20480, 512, true)]]);
    assert_eq!(runs(&lengths, Zeros::Kept), [[(0, 20992, true)]]);
    let lengths = [-512, 512, -65536, 512, -65537, 512];
    let kept = [[(0, 512, false), (512, 66560, true), (67072, 65537, false), (132_609, 512, true)]];
    assert_eq!(runs(&lengths, Zeros::Kept), kept);
}

#[test]
fn long_runs_are_cut_at_multiples_of_a_batch() {
    let mib = CAPACITY as i64;
    let cut = runs(&[-512, 2 * mib], Zeros::LeftOut);
    let rest = [
        vec![(512, CAPACITY - 512, true)],
        vec![(CAPACITY, CAPACITY, true)],
        vec![(2 * CAPACITY, 512, true)],
    ];
    assert_eq!(cut, rest);
    // The second run does not fit, and has no boundary within the room that is left.
    let cut = runs(&[mib - 512, -8192, 1024], Zeros::LeftOut);
    assert_eq!(cut, [[(0, CAPACITY - 512, true)], [(CAPACITY + 7680, 1024, true)]]);
}

#[test]
fn long_zeros_are_cut_and_only_kept_if_wanted() {
    let zeros = 3 * LONGEST_ZEROS as i64;
    assert_eq!(runs(&[-zeros, -512], Zeros::LeftOut), Vec::<Vec<_>>::new());
    let kept = runs(&[-512, -zeros], Zeros::Kept).concat();
    assert_eq!(kept.iter().map(|run| run.1).sum::<u64>(), 3 * LONGEST_ZEROS + 512);
    assert!(kept.iter().all(|run| run.1 <= LONGEST_ZEROS && !run.2));
}

/// Runs of many lengths: every byte is in one batch, in order, and no batch is too large.
#[test]
fn batches_cover_the_disk_within_their_bounds() {
    for step in [1, 7, 64, 5000] {
        let lengths: Vec<i64> =
            (1..6000).map(|n| (n * step % 700_001 + 1) * if n % 2 == 0 { -1 } else { 1 }).collect();
        let extents = extents(&lengths);
        let end = extents.last().unwrap().end();
        let data: u64 = lengths.iter().filter(|&&len| len > 0).map(|&len| len as u64).sum();
        for zeros in [Zeros::Kept, Zeros::LeftOut] {
            let batches = batches(&extents, zeros);
            assert_eq!(batches.iter().map(Batch::data).sum::<u64>(), data);
            assert!(
                batches
                    .iter()
                    .all(|batch| batch.len() as u64 <= CAPACITY && batch.pieces() <= MOST_PIECES + 1)
            );
            let buffer = vec![0; CAPACITY as usize];
            let mut at = DiskOffset::new(0);
            for batch in &batches {
                for content in batch.contents(&buffer[..batch.len()]) {
                    let (start, content) = content.unwrap();
                    assert!(start == at || zeros == Zeros::LeftOut && start > at);
                    let len = match content {
                        Content::Bytes(bytes) => bytes.len() as u64,
                        Content::Zeros(len) => len,
                    };
                    at = start.checked_add(len).unwrap();
                }
            }
            assert!(at == end || zeros == Zeros::LeftOut);
        }
    }
}

#[test]
fn an_error_comes_after_what_was_found_before() {
    let extents = extents(&[512, -512]).into_iter().map(Ok).chain([Err(Error::Cancelled)]);
    let mut batches: Batches<_, 1> = Batches::new(workers(), extents, Zeros::Kept);
    assert_eq!(batches.next().unwrap().unwrap().data(), 512);
    assert!(matches!(batches.next(), Some(Err(Error::Cancelled))));
    assert!(batches.next().is_none());
}
