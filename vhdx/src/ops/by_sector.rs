//! Repeats a failed read sector by sector, to report the lowest offset with an error or a difference.

use std::ops::Range;

use crate::disk::Disk;
use crate::error::{Bounded, Error, Result};
use crate::progress::Progress;
use crate::units::{DiskOffset, at_most};

/// The unit of the work, in bytes. No logical sector is smaller.
const SECTOR: u64 = 512;

/// Calls `work` for each sector of a range in ascending order. The first error ends it.
///
/// A read of a longer range from one disk after the other fails with an error of the first disk, even if one of another
/// disk, or a difference, is at a lower offset. If no sector fails, the error of the longer range remains.
pub(super) fn by_sector<E: From<Error>>(
    range: Range<DiskOffset>,
    progress: &dyn Progress,
    mut work: impl FnMut(Range<DiskOffset>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let mut start = range.start;
    while start < range.end {
        if progress.is_cancelled() {
            return Err(Error::Cancelled.into());
        }
        let end = start.plus(SECTOR)?.min(range.end);
        work(start..end)?;
        start = end;
    }
    Ok(())
}

/// Reads from a disk that counts as zeros past its end.
pub(super) fn read_with_zeros(disk: &dyn Disk, buffer: &mut [u8], start: DiskOffset) -> Result<()> {
    // Nothing is left of a disk that ends before: it counts as zeros.
    let left = disk.virtual_size().saturating_sub(start.get());
    let (inside, past) = buffer.split_at_mut(at_most(left, buffer.len()));
    past.fill(0);
    match inside.is_empty() {
        true => Ok(()),
        false => disk.read_exact_at(inside, start),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::NoProgress;

    #[test]
    fn sectors_come_in_order_up_to_an_error() {
        let range = |start, end| DiskOffset::new(start)..DiskOffset::new(end);
        let mut seen = Vec::new();
        by_sector(range(512, 1300), &NoProgress, |sector| {
            seen.push(sector);
            Ok::<(), Error>(())
        })
        .unwrap();
        assert_eq!(seen, [range(512, 1024), range(1024, 1300)]);
        let mut count = 0;
        let ended = by_sector(range(0, 1024), &NoProgress, |_| {
            count += 1;
            Err(Error::Cancelled)
        });
        assert!(matches!(ended, Err(Error::Cancelled)) && count == 1);
    }
}
