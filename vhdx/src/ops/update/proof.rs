//! Proves that a raw target holds the older disk.

use std::iter::Peekable;
use std::ops::Range;

use uuid::Uuid;

use super::samples::sampled;
use crate::disk::Chain;
use crate::error::{Bounded, Conflict, Error, InvalidArgument, Result, in_memory};
use crate::ops::diff::{ChangedRanges, changed_ranges};
use crate::progress::Progress;
use crate::storage::{Buffer, ReadAt, Storage, read_into};
use crate::units::{DiskOffset, FileOffset, MIB};

/// The most bytes that are compared at once.
const WINDOW: u64 = MIB;
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
    progress: &dyn Progress,
) -> Result<u64> {
    let proof = Proof::new(old, new, target, proof)?;
    progress.start(proof.len);
    proof.run(old, new, target, progress)?;
    Ok(proof.len)
}

/// The ranges of a target that are compared.
pub(super) struct Proof {
    samples: Vec<Range<DiskOffset>>,
    /// Their length in bytes.
    pub(super) len: u64,
}

impl Proof {
    pub(super) fn new(old: &Chain, new: &Chain, target: &dyn Storage, proof: BaseProof) -> Result<Self> {
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
                sampled(old, new, Uuid::new_v4().as_u64_pair().0)?
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
        progress: &dyn Progress,
    ) -> Result<()> {
        let window = || in_memory(WINDOW).map(Buffer::new);
        let buffers = [window()?, window()?, window()?];
        let mut comparison = Comparison { old, new, target, buffers };
        let mut changed = Changed { ranges: changed_ranges(old, new)?.peekable() };
        for sample in &self.samples {
            let mut at = sample.start;
            while at < sample.end {
                if progress.is_cancelled() {
                    return Err(Error::Cancelled);
                }
                let (end, is_changed) = changed.part_at(at)?;
                let end = end.min(sample.end).min(at.plus(WINDOW)?);
                comparison.compare(at..end, is_changed)?;
                progress.advance(end.minus(at)?);
                at = end;
            }
        }
        Ok(())
    }
}

/// The changed ranges, for questions in ascending order.
struct Changed<'a> {
    ranges: Peekable<ChangedRanges<'a>>,
}

impl Changed<'_> {
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
    buffers: [Buffer; 3],
}

impl Comparison<'_> {
    /// Compares a range of at most one window, which lies on the older disk.
    fn compare(&mut self, range: Range<DiskOffset>, is_changed: bool) -> Result<()> {
        let len = in_memory(range.end.minus(range.start)?)?;
        let [of_old, of_new, found] = &mut self.buffers;
        let (of_old, of_new, found) = (&mut of_old[..len], &mut of_new[..len], &mut found[..len]);
        let start = FileOffset::new(range.start.get());
        read_into(self.target as &dyn ReadAt, found, start)?;
        self.old.read_exact_at(of_old, range.start)?;
        if of_old == found {
            return Ok(());
        }
        // Past the end of a smaller newer disk, nothing is written.
        let of_new = match self.new.virtual_size().checked_sub(range.start.get()) {
            Some(left) if is_changed => {
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
