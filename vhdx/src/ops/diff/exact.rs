//! Finds the sectors that differ between two points in time of one disk.

use std::collections::VecDeque;

use super::changed::{ChangedRanges, changed_ranges};
use super::joined::Joined;
use super::range::ChangedRange;
use crate::disk::{Chain, Disk};
use crate::error::{Bounded, Error, Result};
use crate::format::bytes::is_zero;
use crate::progress::Progress;
use crate::storage::Buffer;
use crate::units::{DiskOffset, MIB, at_most};

/// The most bytes that are compared at once.
const WINDOW: usize = MIB as usize;

/// Returns the ranges in which `new` reads differently from `old`, in ascending order: whole sectors that differ.
///
/// Reads the ranges of [`changed_ranges`] from both disks, and leaves out each logical sector that is equal. A shorter
/// disk counts as zeros past its end. [`ChangedRange::is_zero`] says whether the bytes of the newer disk are zeros.
/// `progress` counts the bytes that are compared.
///
/// The iterator ends after an error. Call [`Chain::ensure_unchanged`] for both disks after the last range.
///
/// # Errors
/// Those of [`changed_ranges`], and of [`Chain::validate_placement`]. The iterator returns those of reading, and
/// [`Error::Cancelled`].
pub fn differing_ranges<'a>(
    old: &'a Chain,
    new: &'a Chain,
    progress: &'a dyn Progress,
) -> Result<DifferingRanges<'a>> {
    old.validate_placement()?;
    new.validate_placement()?;
    let mut total = 0_u64;
    for range in changed_ranges(old, new)? {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        total = total.plus(range?.len)?;
    }
    progress.start(total);
    let compared = Compared {
        changed: changed_ranges(old, new)?,
        old,
        new,
        progress,
        sector: at_most(new.logical_sector_size().into(), WINDOW),
        buffers: [Buffer::new(WINDOW), Buffer::new(WINDOW)],
        rest: None,
        found: VecDeque::new(),
    };
    Ok(DifferingRanges(Joined::new(compared)))
}

/// An iterator over the ranges that differ between two disks. See [`differing_ranges`].
pub struct DifferingRanges<'a>(Joined<Compared<'a>>);

impl Iterator for DifferingRanges<'_> {
    type Item = Result<ChangedRange>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

struct Compared<'a> {
    changed: ChangedRanges<'a>,
    old: &'a Chain,
    new: &'a Chain,
    progress: &'a dyn Progress,
    sector: usize,
    buffers: [Buffer; 2],
    /// The part of a changed range that is not compared yet.
    rest: Option<ChangedRange>,
    found: VecDeque<ChangedRange>,
}

impl Compared<'_> {
    fn find(&mut self) -> Result<Option<ChangedRange>> {
        loop {
            if let Some(found) = self.found.pop_front() {
                return Ok(Some(found));
            }
            let Some(range) = self.rest.take().map(Ok).or_else(|| self.changed.next()).transpose()? else {
                return Ok(None);
            };
            if self.progress.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let len = at_most(range.len, WINDOW);
            if range.len > len as u64 {
                let start = range.start.plus(len as u64)?;
                self.rest = Some(ChangedRange { start, len: range.len - len as u64, ..range });
            }
            self.compare(range.start, len)?;
            self.progress.advance(len as u64);
        }
    }

    /// Compares a window, and queues the sectors that differ.
    fn compare(&mut self, start: DiskOffset, len: usize) -> Result<()> {
        let [of_old, of_new] = &mut self.buffers;
        read_with_zeros(self.old, &mut of_old[..len], start)?;
        read_with_zeros(self.new, &mut of_new[..len], start)?;
        if of_old[..len] == of_new[..len] {
            return Ok(());
        }
        let pairs = of_old[..len].chunks(self.sector).zip(of_new[..len].chunks(self.sector));
        for (number, (old, new)) in pairs.enumerate() {
            if old != new {
                let start = start.plus((number * self.sector) as u64)?;
                let sector = ChangedRange { start, len: new.len() as u64, is_zero: is_zero(new) };
                match self.found.back_mut() {
                    Some(last) if last.end() == start && last.is_zero == sector.is_zero => {
                        last.len += sector.len;
                    }
                    _ => self.found.push_back(sector),
                }
            }
        }
        Ok(())
    }
}

impl Iterator for Compared<'_> {
    type Item = Result<ChangedRange>;

    fn next(&mut self) -> Option<Self::Item> {
        self.find().transpose()
    }
}

/// Reads from a disk that counts as zeros past its end.
fn read_with_zeros(disk: &dyn Disk, buffer: &mut [u8], start: DiskOffset) -> Result<()> {
    // Nothing is left of a disk that ends before: it counts as zeros.
    let left = disk.virtual_size().saturating_sub(start.get());
    let (inside, past) = buffer.split_at_mut(at_most(left, buffer.len()));
    past.fill(0);
    match inside.is_empty() {
        true => Ok(()),
        false => disk.read_exact_at(inside, start),
    }
}
