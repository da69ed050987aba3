//! Finds the ranges of a disk that hold data, in ascending order.

use std::ops::Range;

use crate::disk::Disk;
use crate::error::{Bounded, Error, Result};
use crate::file::Source;
use crate::progress::Progress;
use crate::units::DiskOffset;

/// Returns the range of all bytes of a disk.
pub(super) fn whole(disk: &dyn Disk) -> Range<DiskOffset> {
    DiskOffset::new(0)..DiskOffset::new(disk.virtual_size())
}

/// Returns the ranges of `within` that hold data. What lies between them reads as zeros.
pub(super) fn data<'a>(
    disk: &'a dyn Disk,
    within: Range<DiskOffset>,
) -> impl Iterator<Item = Result<Range<DiskOffset>>> + 'a {
    disk.extents(within).filter_map(|extent| match extent {
        Ok(extent) if extent.len == 0 => None,
        Ok(extent) => match extent.source {
            Source::Data { .. } => Some(extent.start.plus(extent.len).map(|end| extent.start..end)),
            Source::Zero { .. } | Source::Unallocated => None,
        },
        Err(error) => Some(Err(error)),
    })
}

/// Returns how many bytes the ranges hold.
///
/// # Errors
/// Those of [`sum`].
pub(super) fn total(
    ranges: impl Iterator<Item = Result<Range<DiskOffset>>>,
    progress: &dyn Progress,
) -> Result<u64> {
    sum(ranges.map(|range| range.and_then(|range| range.end.minus(range.start))), progress)
}

/// Adds lengths in bytes.
///
/// # Errors
/// The first error among the lengths, and [`Error::Cancelled`].
pub(super) fn sum(lens: impl Iterator<Item = Result<u64>>, progress: &dyn Progress) -> Result<u64> {
    let mut sum = 0u64;
    for len in lens {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        sum = sum.plus(len?)?;
    }
    Ok(sum)
}
