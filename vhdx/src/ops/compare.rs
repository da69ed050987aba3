//! Compares the content of two disks.

use super::by_sector::{by_sector, read_with_zeros};
use super::ranges::sum;
use crate::disk::Disk;
use crate::error::{Bounded, Error, Result, in_memory};
use crate::progress::Progress;
use crate::transfer::{Batch, Batches, Content, Jobs, Workers, Zeros, announced, in_any_order, paired};
use crate::units::DiskOffset;

/// The result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Comparison {
    /// Whether both disks read the same. A shorter disk is compared as if zeros followed.
    pub equal: bool,
    /// The offset of the first byte that differs.
    pub first_difference: Option<DiskOffset>,
    /// The sizes of both disks in bytes.
    pub virtual_sizes: [u64; 2],
}

/// Compares what a guest would read from two disks.
///
/// Ranges in which neither disk holds data are not read. `progress` counts the bytes of data that either disk holds.
///
/// # Errors
/// As [`Disk::validate_placement`] before anything is read, those of reading the disks, as [`Disk::ensure_unchanged`]
/// at the end, and [`Error::Cancelled`].
pub fn compare(a: &dyn Disk, b: &dyn Disk, jobs: Jobs, progress: &dyn Progress) -> Result<Comparison> {
    a.validate_placement()?;
    b.validate_placement()?;
    progress.start(sum(paired(a, b).map(|segment| segment.map(|segment| segment.data())), progress)?);
    let first_difference = first_difference(a, b, jobs, progress)?;
    a.ensure_unchanged()?;
    b.ensure_unchanged()?;
    let virtual_sizes = [a.virtual_size(), b.virtual_size()];
    Ok(Comparison { equal: first_difference.is_none(), first_difference, virtual_sizes })
}

/// Why a comparison ended early.
enum End {
    Difference(DiskOffset),
    Failure(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failure(error)
    }
}

fn first_difference(
    a: &dyn Disk,
    b: &dyn Disk,
    jobs: Jobs,
    progress: &dyn Progress,
) -> Result<Option<DiskOffset>> {
    let workers = Workers::new(jobs, &a.hint().with(b.hint()), 2);
    let batches = Batches::new(workers, paired(a, b), Zeros::LeftOut);
    let batches = announced(batches, |batch: &Batch<2>| batch.announce([a, b]));
    // The batch that ends it is the first one with a difference or an error.
    let ended = in_any_order(workers, batches, progress, |batch: Batch<2>, buffer: &mut [u8]| {
        let [of_a, of_b] = batch.read([a, b], buffer).or_else(|error| {
            in_turn(&batch, [a, b], progress)?;
            Err(End::Failure(error))
        })?;
        if of_a != of_b {
            return Err(first_in(&batch, of_a, of_b)?);
        }
        progress.advance(batch.data());
        Ok(())
    });
    match ended {
        Ok(()) => Ok(None),
        Err(End::Difference(at)) => Ok(Some(at)),
        Err(End::Failure(error)) => Err(error),
    }
}

/// Reads and compares each sector of a batch, to find out whether a difference or a failure comes first.
fn in_turn(batch: &Batch<2>, disks: [&dyn Disk; 2], progress: &dyn Progress) -> std::result::Result<(), End> {
    for run in batch.read_runs() {
        by_sector(run?, progress, |sector| {
            let mut bytes = [Vec::new(), Vec::new()];
            for (disk, bytes) in disks.into_iter().zip(&mut bytes) {
                bytes.resize(in_memory(sector.end.minus(sector.start)?)?, 0);
                read_with_zeros(disk, bytes, sector.start)?;
            }
            match bytes[0].iter().zip(&bytes[1]).position(|(a, b)| a != b) {
                Some(first) => Err(End::Difference(sector.start.plus(first as u64)?)),
                None => Ok(()),
            }
        })?;
    }
    Ok(())
}

/// Returns the first difference of a batch.
fn first_in(batch: &Batch<2>, of_a: &[u8], of_b: &[u8]) -> Result<End> {
    for (a, b) in batch.contents(of_a).zip(batch.contents(of_b)) {
        if let ((start, Content::Bytes(a)), (_, Content::Bytes(b))) = (a?, b?)
            && let Some(first) = a.iter().zip(b).position(|(a, b)| a != b)
        {
            return Ok(End::Difference(start.plus(first as u64)?));
        }
    }
    Err(Error::internal("a batch that differs has a difference"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Broken, Meter, Plain};

    const LEN: usize = 3 << 20;

    fn first_difference(a: &Plain, b: &Plain) -> Option<u64> {
        let comparison = compare(a, b, Jobs::default(), &Meter::new()).unwrap();
        assert_eq!(comparison.equal, comparison.first_difference.is_none());
        comparison.first_difference.map(DiskOffset::get)
    }

    #[test]
    fn every_difference_is_found_at_its_first_byte() {
        let a = Plain::new(LEN, &[(512, 1024), (1_500_000, 2_100_000)]);
        for at in [512, 1023, 1_500_000, (2 << 20) - 1, 2 << 20, 2_099_999] {
            let mut b = Plain::new(LEN, &[(512, 1024), (1_500_000, 2_100_000)]);
            assert_eq!(first_difference(&a, &b), None);
            b.bytes[at] ^= 1;
            assert_eq!(first_difference(&a, &b), Some(at as u64));
            assert_eq!(first_difference(&b, &a), Some(at as u64));
        }
    }

    #[test]
    fn data_on_one_side_are_compared_with_zeros() {
        let empty = Plain::new(LEN, &[]);
        let mut zeros = Plain::new(LEN, &[]);
        zeros.data.push((4096, LEN));
        assert_eq!(first_difference(&empty, &zeros), None);
        zeros.bytes[LEN - 1] = 1;
        assert_eq!(first_difference(&empty, &zeros), Some(LEN as u64 - 1));
    }

    #[test]
    fn a_longer_disk_is_equal_if_the_rest_is_zero() {
        let short = Plain::new(LEN, &[(0, 4096)]);
        let mut long = Plain::new(LEN + 8192, &[(0, 4096)]);
        assert_eq!(first_difference(&short, &long), None);
        long.data.push((LEN - 512, LEN + 8192));
        assert_eq!(first_difference(&short, &long), None);
        long.bytes[LEN + 1] = 7;
        assert_eq!(first_difference(&short, &long), Some(LEN as u64 + 1));
        assert_eq!(first_difference(&long, &short), Some(LEN as u64 + 1));
    }

    #[test]
    fn data_that_begin_past_the_end_of_the_shorter_disk_are_a_difference() {
        let short = Plain::new(1 << 20, &[]);
        let long = Plain::new(LEN, &[(2 << 20, (2 << 20) + 512)]);
        assert_eq!(first_difference(&short, &long), Some(2 << 20));
        assert_eq!(first_difference(&long, &short), Some(2 << 20));
    }

    #[test]
    fn the_progress_counts_the_data_of_either_disk() {
        let (mut a, mut b) = (Plain::new(LEN, &[]), Plain::new(LEN, &[]));
        a.data = vec![(0, 1024), (4096, 8192)];
        b.data = vec![(512, 2048), (1 << 20, LEN)];
        let meter = Meter::new();
        assert!(compare(&a, &b, Jobs::default(), &meter).unwrap().equal);
        assert_eq!(meter.total(), 2048 + 4096 + (2 << 20));
    }

    #[test]
    fn what_comes_first_is_reported_a_difference_or_the_failure_of_either_disk() {
        let outcome = |broken: [usize; 2], difference: usize| {
            let [a, mut b] = broken.map(|at| Broken { plain: Plain::new(LEN, &[(0, LEN)]), at });
            b.plain.bytes[difference] ^= 1;
            match compare(&a, &b, Jobs::default(), &Meter::new()) {
                Ok(comparison) => comparison.first_difference.unwrap().get() as usize,
                Err(Error::Io { offset: Some(offset), .. }) => offset.get() as usize,
                Err(other) => panic!("{other}"),
            }
        };
        let [first, second, third] = [100 * 512, 500 * 512 + 1, 1500 * 512];
        assert_eq!(outcome([first, second], third), first);
        assert_eq!(outcome([second, first], third), first);
        assert_eq!(outcome([second, third], first), first);
        assert_eq!(outcome([third, second], first), first);
        assert_eq!(outcome([LEN, third], second), second);
    }

    #[test]
    fn a_comparison_can_be_cancelled() {
        let a = Plain::new(LEN, &[(0, LEN)]);
        let cancelled = compare(&a, &a, Jobs::default(), &Meter::cancelling_at(1 << 20));
        assert!(matches!(cancelled, Err(Error::Cancelled)));
    }
}
