//! Finds the sectors that differ between two points in time of one disk.

use super::changed::changed_ranges;
use super::range::ChangedRange;
use crate::disk::{Chain, Disk};
use crate::error::{Bounded, Guaranteed, Result, in_memory};
use crate::format::bytes::is_zero;
use crate::ops::by_sector::{by_sector, read_with_zeros};
use crate::ops::ranges::sum;
use crate::progress::Progress;
use crate::transfer::{Jobs, Weight, Workers, announce_range, announced, in_order};
use crate::units::at_most;

/// Calls `found` for each range of whole sectors that differ between `old` and `new`, in ascending order.
///
/// Reads the ranges of [`changed_ranges`] from both disks, in several threads, and leaves out each logical sector that
/// is equal. A shorter disk counts as zeros past its end. [`ChangedRange::is_zero`] says whether the bytes of the newer
/// disk are zeros. `progress` counts the bytes that are compared. `found` is called in the caller's thread.
///
/// # Errors
/// Those of [`changed_ranges`], of [`Chain::validate_placement`], of reading the disks and of `found`; as
/// [`Chain::ensure_unchanged`] at the end; [`Error::Cancelled`](crate::Error::Cancelled).
pub fn differing_ranges(
    old: &Chain,
    new: &Chain,
    jobs: Jobs,
    progress: &dyn Progress,
    mut found: impl FnMut(ChangedRange) -> Result<()>,
) -> Result<()> {
    let changed = changed_ranges(old, new)?;
    old.validate_placement()?;
    new.validate_placement()?;
    progress.start(sum(changed.map(|range| range.map(|range| range.len)), progress)?);
    let workers = Workers::new(jobs, &old.hint().with(new.hint()), 2);
    let windows = windows(changed_ranges(old, new)?, workers.batch as u64);
    let windows = announced(windows, |window: &ChangedRange| {
        // The read of a range that no disk can have fails.
        let Some(end) = window.start.checked_add(window.len) else { return Weight::default() };
        let range = window.start..end;
        announce_range(old, range.clone()).and(announce_range(new, range))
    });
    let work = |window: ChangedRange, buffer: &mut [u8]| {
        let found = compare(old, new, &window, buffer, progress)?;
        progress.advance(window.len);
        Ok(found)
    };
    let mut last: Option<ChangedRange> = None;
    in_order(workers, windows, progress, work, |ranges, _| {
        for next in ranges {
            if !last.as_mut().is_some_and(|last| last.try_join(&next)) {
                last.replace(next).map_or(Ok(()), &mut found)?;
            }
        }
        Ok(())
    })?;
    last.map_or(Ok(()), found)?;
    old.ensure_unchanged()?;
    new.ensure_unchanged()
}

/// Cuts ranges into windows of at most `most` bytes.
fn windows(
    mut ranges: impl Iterator<Item = Result<ChangedRange>> + Send,
    most: u64,
) -> impl Iterator<Item = Result<ChangedRange>> + Send {
    let mut rest: Option<ChangedRange> = None;
    std::iter::from_fn(move || {
        let range = match rest.take().map(Ok).or_else(|| ranges.next())? {
            Ok(range) => range,
            error => return Some(error),
        };
        let len = range.len.min(most);
        if range.len > len {
            // Inside the range.
            rest =
                Some(ChangedRange { start: range.start.saturating_add(len), len: range.len - len, ..range });
        }
        Some(Ok(ChangedRange { len, ..range }))
    })
}

/// Returns the sectors of a window that differ. An error is that of the lowest offset, on either disk.
fn compare(
    old: &Chain,
    new: &Chain,
    window: &ChangedRange,
    buffer: &mut [u8],
    progress: &dyn Progress,
) -> Result<Vec<ChangedRange>> {
    compare_at_once(old, new, window, buffer).or_else(|error| {
        by_sector(window.start..window.end(), progress, |sector| {
            let sector =
                ChangedRange { start: sector.start, len: sector.end.minus(sector.start)?, ..*window };
            compare_at_once(old, new, &sector, buffer).map(drop)
        })?;
        Err(error)
    })
}

fn compare_at_once(
    old: &Chain,
    new: &Chain,
    window: &ChangedRange,
    buffer: &mut [u8],
) -> Result<Vec<ChangedRange>> {
    let len = in_memory(window.len)?;
    let (of_old, rest) = buffer.split_at_mut_checked(len).guaranteed("a window fits into its buffer")?;
    let of_new = rest.get_mut(..len).guaranteed("a window fits into its buffer")?;
    read_with_zeros(old, of_old, window.start)?;
    read_with_zeros(new, of_new, window.start)?;
    let mut found: Vec<ChangedRange> = Vec::new();
    if of_old == of_new {
        return Ok(found);
    }
    let size = at_most(new.logical_sector_size().into(), len);
    let mut start = window.start;
    for (old, new) in of_old.chunks(size).zip(of_new.chunks(size)) {
        let sector = ChangedRange { start, len: new.len() as u64, is_zero: is_zero(new) };
        start = start.plus(sector.len)?;
        if old != new && !found.last_mut().is_some_and(|last| last.try_join(&sector)) {
            found.push(sector);
        }
    }
    Ok(found)
}
