//! Proves that a raw target holds the older disk.

use std::collections::VecDeque;
use std::iter::Peekable;
use std::ops::Range;

use uuid::Uuid;

use super::samples::sampled;
use crate::disk::{Chain, Disk};
use crate::error::{Bounded, Conflict, Error, Guaranteed, InvalidArgument, Result, in_memory};
use crate::ops::by_sector::by_sector;
use crate::ops::diff::{ChangedRanges, changed_ranges};
use crate::progress::Progress;
use crate::storage::{ReadAt, Storage, read_into};
use crate::transfer::{Jobs, Workers, in_any_order};
use crate::units::{DiskOffset, FileOffset, MIB};

/// The disks that are read at the same time: the older one, the newer one, and the target.
const DISKS: usize = 3;
/// The unit that an interrupted write leaves old or new, in bytes. No sector is smaller.
const UNIT: usize = 512;
/// A disk up to this size, in bytes, is always read in full.
const SMALL: u64 = 64 * MIB;

/// How much of a target is compared with the older disk before it is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseProof {
    /// At most 24 MiB, or the whole disk if it has at most 64 MiB.
    ///
    /// - The first and the last 1 MiB of the older disk
    /// - 8 KiB around the start and the end of each changed range, or of 1,024 of them if there are more
    /// - 4 KiB in each of 1,024 equal parts of the data that the older disk has, at random
    /// - 4 KiB in each of 256 equal parts of the older disk, at random
    Sampled,
    /// Every byte of the older disk.
    Full,
}

/// Checks that a target holds the older disk, or is partly updated to the newer one. Returns how many bytes were
/// compared.
///
/// Where the disks may differ ([`changed_ranges`]), each 512 bytes of the target must be those of one of the disks.
/// Everywhere else they must be those of the older disk. `progress` counts the compared bytes.
///
/// # Errors
/// - [`Conflict::OtherBase`] with the first offset that was found to differ
/// - [`InvalidArgument::TargetTooSmall`] if one of the disks does not fit
/// - those of [`changed_ranges`], of [`Chain::validate_placement`] and of reading the disks
/// - [`Error::Io`] from the target, [`Error::Cancelled`]
pub fn ensure_holds_base(
    old: &Chain,
    new: &Chain,
    target: &dyn Storage,
    proof: BaseProof,
    jobs: Jobs,
    progress: &dyn Progress,
) -> Result<u64> {
    let proof = Proof::new(old, new, target, proof, progress)?;
    progress.start(proof.len);
    proof.run(old, new, target, jobs, progress)?;
    Ok(proof.len)
}

/// The ranges of a target that are compared.
pub(super) struct Proof {
    samples: Vec<Range<DiskOffset>>,
    /// Their length in bytes.
    pub(super) len: u64,
}

impl Proof {
    pub(super) fn new(
        old: &Chain,
        new: &Chain,
        target: &dyn Storage,
        proof: BaseProof,
        progress: &dyn Progress,
    ) -> Result<Self> {
        drop(changed_ranges(old, new)?); // fails for disks that are not points in time of one disk
        let len = target.size().map_err(|error| Error::io("get its size", None, error))?;
        let virtual_size = old.virtual_size().max(new.virtual_size());
        if len < virtual_size {
            return Err(InvalidArgument::TargetTooSmall { len, virtual_size }.into());
        }
        old.validate_placement()?;
        new.validate_placement()?;
        let samples = match proof {
            BaseProof::Sampled if old.virtual_size() > SMALL => {
                sampled(old, new, Uuid::new_v4().as_u64_pair().0, progress)?
            }
            BaseProof::Sampled | BaseProof::Full => {
                vec![DiskOffset::new(0)..DiskOffset::new(old.virtual_size())]
            }
        };
        let mut len = 0_u64;
        for sample in &samples {
            len = len.plus(sample.end.minus(sample.start)?)?;
        }
        Ok(Self { samples, len })
    }

    /// Compares the target. `progress` counts the bytes, but is not started.
    pub(super) fn run(
        &self,
        old: &Chain,
        new: &Chain,
        target: &dyn Storage,
        jobs: Jobs,
        progress: &dyn Progress,
    ) -> Result<()> {
        let workers = Workers::new(jobs, &old.hint().with(new.hint()), DISKS);
        let comparison = Comparison { old, new, target, progress };
        let mut changed = Changed { ranges: changed_ranges(old, new)?.peekable() };
        let mut rest: VecDeque<Range<DiskOffset>> = self.samples.clone().into();
        let parts = std::iter::from_fn(|| changed.next_part(&mut rest, workers.batch as u64).transpose());
        // The first part with a difference ends it.
        in_any_order(workers, parts, progress, |part: Part, buffer: &mut [u8]| {
            comparison.compare(&part, buffer)?;
            progress.advance(part.range.end.minus(part.range.start)?);
            Ok::<(), Error>(())
        })
    }
}

/// A part of a sample that fits into a buffer.
struct Part {
    range: Range<DiskOffset>,
    /// Whether the disks may differ in it.
    is_changed: bool,
}

/// The changed ranges, for questions in ascending order.
struct Changed<'a> {
    ranges: Peekable<ChangedRanges<'a>>,
}

impl Changed<'_> {
    /// Returns the next part of the samples, of at most `most` bytes.
    fn next_part(&mut self, samples: &mut VecDeque<Range<DiskOffset>>, most: u64) -> Result<Option<Part>> {
        let Some(sample) = samples.front_mut() else { return Ok(None) };
        let (end, is_changed) = self.part_at(sample.start)?;
        let end = end.min(sample.end).min(sample.start.plus(most)?);
        let start = std::mem::replace(&mut sample.start, end);
        if end == sample.end {
            samples.pop_front();
        }
        Ok(Some(Part { range: start..end, is_changed }))
    }

    /// Returns whether the disks may differ at `at`, and the end of the range for which this is so.
    fn part_at(&mut self, at: DiskOffset) -> Result<(DiskOffset, bool)> {
        while self.ranges.next_if(|range| range.as_ref().is_ok_and(|range| range.end() <= at)).is_some() {}
        match self.ranges.peek() {
            None => Ok((DiskOffset::new(u64::MAX), false)),
            Some(Ok(range)) if range.start > at => Ok((range.start, false)),
            Some(Ok(range)) => Ok((range.end(), true)),
            // The error itself is returned, not a reference to it.
            Some(Err(_)) => match self.ranges.next() {
                Some(Err(error)) => Err(error),
                _ => Err(Error::internal("the next range is an error")),
            },
        }
    }
}

struct Comparison<'a> {
    old: &'a Chain,
    new: &'a Chain,
    target: &'a dyn Storage,
    progress: &'a dyn Progress,
}

impl Comparison<'_> {
    /// Compares a part, which lies on the older disk. An error is that of the lowest offset: a difference, or the
    /// failure of a disk or the target.
    fn compare(&self, part: &Part, buffer: &mut [u8]) -> Result<()> {
        self.compare_at_once(part, buffer).or_else(|error| {
            by_sector(part.range.clone(), self.progress, |range| {
                self.compare_at_once(&Part { range, is_changed: part.is_changed }, buffer)
            })?;
            Err(error)
        })
    }

    fn compare_at_once(&self, part: &Part, buffer: &mut [u8]) -> Result<()> {
        let Part { range, is_changed } = part;
        let len = in_memory(range.end.minus(range.start)?)?;
        if len == 0 {
            return Ok(());
        }
        let mut thirds = buffer.chunks_exact_mut(len);
        let mut next = || thirds.next().guaranteed("a part fits into its buffer");
        let (of_old, of_new, found) = (next()?, next()?, next()?);
        let start = FileOffset::new(range.start.get());
        read_into(self.target as &dyn ReadAt, found, start)?;
        self.old.read_exact_at(of_old, range.start)?;
        if of_old == found {
            return Ok(());
        }
        // Past the end of a smaller newer disk, nothing is written.
        let of_new = match self.new.virtual_size().checked_sub(range.start.get()) {
            Some(left) if *is_changed => {
                let inside = in_memory(left.min(len as u64))?;
                self.new.read_exact_at(&mut of_new[..inside], range.start)?;
                &of_new[..inside]
            }
            _ => &[],
        };
        let mut units = of_old.chunks(UNIT).zip(found.chunks(UNIT)).enumerate();
        let other = units.find_map(|(number, (old, found))| {
            let at = number * UNIT;
            let is_new = of_new.get(at..at + found.len()) == Some(found);
            let differs = old.iter().zip(found).position(|(old, found)| old != found)?;
            (!is_new).then_some(at + differs)
        });
        match other {
            Some(at) => Err(Conflict::OtherBase(start.plus(at as u64)?).into()),
            None => Ok(()),
        }
    }
}
