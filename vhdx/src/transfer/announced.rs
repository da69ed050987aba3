//! Announces the reads of batches before they are read, so that a device always has requests to work on.

use std::collections::VecDeque;
use std::ops::Range;

use super::batch::Batch;
use crate::disk::Disk;
use crate::error::Result;
use crate::file::{Extent, Source};
use crate::units::{DiskOffset, KIB, MIB};

/// How much is announced ahead of the batch that is taken, in bytes. The page cache holds it until it is read.
const AHEAD: u64 = 32 * MIB;
/// A short piece counts as so many bytes.
const LEAST_PIECE: u64 = 32 * KIB;
/// The most pieces of a range that are announced.
const MOST_PIECES: usize = 1024;

/// Returns the same items, after `announce` was called for them and for some later ones.
///
/// `announce` returns the weight of what it has announced.
pub(crate) fn announced<W: Send>(
    mut items: impl Iterator<Item = Result<W>> + Send,
    announce: impl Fn(&W) -> Weight + Send,
) -> impl Iterator<Item = Result<W>> + Send {
    let mut waiting: VecDeque<(Result<W>, u64)> = VecDeque::new();
    let mut ahead: u64 = 0;
    let mut is_ended = false;
    std::iter::from_fn(move || {
        while !is_ended && (ahead < AHEAD || waiting.is_empty()) {
            let Some(item) = items.next() else {
                is_ended = true;
                break;
            };
            is_ended = item.is_err();
            // An item without reads counts too, so that not all of them are taken at once.
            let weight = item.as_ref().map_or(0, |item| announce(item).0).max(LEAST_PIECE);
            ahead += weight;
            waiting.push_back((item, weight));
        }
        let (item, weight) = waiting.pop_front()?;
        ahead -= weight;
        Some(item)
    })
}

/// How much of [`AHEAD`] the announced reads of an item take, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weight(u64);

impl Weight {
    /// No other item is announced before this one is taken.
    const MOST: Self = Self(AHEAD);

    /// Returns the weight of reads of `bytes` bytes in so many pieces.
    pub(crate) fn new(bytes: u64, pieces: usize) -> Self {
        let most_pieces = AHEAD / LEAST_PIECE;
        Self(bytes.max((pieces as u64).min(most_pieces) * LEAST_PIECE).min(AHEAD))
    }

    /// Returns the weight of the reads of two disks.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 + other.0) // both are at most `AHEAD`
    }
}

impl<const N: usize> Batch<N> {
    /// Announces the reads of the batch.
    pub(crate) fn announce(&self, disks: [&dyn Disk; N]) -> Weight {
        for (disk, extents) in disks.iter().zip(self.extents()) {
            disk.announce(extents);
        }
        // A buffer holds the bytes of all disks, so their sum is in range.
        // The runs count too: a batch of many short ones takes memory while it waits.
        Weight::new((self.len() * N) as u64, self.pieces())
    }
}

/// Announces the reads of the first bytes of a range of a disk, at most [`AHEAD`].
pub(crate) fn announce_range(disk: &dyn Disk, range: Range<DiskOffset>) -> Weight {
    // For a server, announcing has no effect, and the threads that read find the metadata sooner.
    if disk.hint().is_answering_many() {
        return Weight::MOST;
    }
    let end = range.start.checked_add(AHEAD).map_or(range.end, |most| most.min(range.end));
    // The read reports the error. Until then nothing else is announced: it may fail in the same way, and slowly.
    let Ok(extents) = disk.extents(range.start..end).take(MOST_PIECES).collect::<Result<Vec<Extent>>>()
    else {
        return Weight::MOST;
    };
    disk.announce(&extents);
    let data = extents.iter().filter(|extent| matches!(extent.source, Source::Data { .. }));
    // They do not overlap, so the sum is at most the size of the disk.
    Weight::new(data.map(|extent| extent.len).sum(), extents.len())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::disk::Chain;
    use crate::error::Error;
    use crate::file::{NewDisk, OpenOptions, Vhdx};
    use crate::progress::NoProgress;
    use crate::storage::Memory;

    /// Takes `count` of the items, and returns how many were announced before the first, and before each later one.
    fn announced_before(items: Vec<Result<Weight>>, count: usize) -> Vec<usize> {
        let seen = Mutex::new(0);
        let announce = |item: &Weight| {
            *seen.lock().unwrap() += 1;
            *item
        };
        let mut items = announced(items.into_iter(), announce);
        (0..count)
            .map(|_| {
                items.next().unwrap().unwrap();
                *seen.lock().unwrap()
            })
            .collect()
    }

    #[test]
    fn reads_are_announced_up_to_a_number_of_bytes_or_pieces() {
        let of = |bytes, pieces| (0..2000).map(|_| Ok(Weight::new(bytes, pieces))).collect();
        assert_eq!(announced_before(of(MIB, 1), 3), [32, 33, 34]);
        assert_eq!(announced_before(of(MIB, 512), 3), [2, 3, 4]);
        assert_eq!(announced_before(of(64 * MIB, 1), 3), [1, 2, 3]);
        assert_eq!(announced_before(of(0, 0), 3), [1024, 1025, 1026]);
    }

    /// Otherwise a thousand later ranges would be announced, and each might take minutes to fail.
    #[test]
    fn nothing_is_announced_after_a_range_without_known_places() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [1; MIB as usize]).unwrap();
        let disk = crate::disk::RawDisk::open(file.path()).unwrap();
        let weight = |start, end| announce_range(&disk, DiskOffset::new(start)..DiskOffset::new(end));
        assert_eq!(weight(MIB, 2 * MIB), Weight::MOST);
        assert_eq!(weight(0, MIB), Weight::new(MIB, 1));
    }

    /// Zeros are not read.
    #[test]
    fn only_data_counts() {
        let storage = Memory::default();
        crate::ops::create(&NewDisk::new(64 * MIB), &storage, &NoProgress).unwrap();
        let disk = Vhdx::open_with(storage, &OpenOptions::default()).unwrap();
        let disk = Chain::from_layers(vec![disk]).unwrap();
        let all = DiskOffset::new(0)..DiskOffset::new(32 * MIB);
        assert_eq!(announce_range(&disk, all), Weight::new(0, 1));
    }

    #[test]
    fn all_items_come_in_order_and_an_error_is_the_last_one() {
        let items = |count: u64, end: u64| {
            let item = move |n| if n == end { Err(Error::Cancelled) } else { Ok(n) };
            announced((0..count).map(item), |_| Weight::new(MIB, 1))
        };
        assert!(items(100, 100).map(Result::unwrap).eq(0..100));
        let until_error: Vec<_> = items(100, 50).collect();
        assert_eq!(until_error.len(), 51);
        assert!(until_error[50].is_err() && until_error[..50].iter().flatten().copied().eq(0..50));
    }
}
