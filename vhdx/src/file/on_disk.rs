//! Checks that a range that a caller asks for is part of the disk.

use std::ops::Range;

use crate::error::InvalidArgument;
use crate::units::DiskOffset;

/// Checks that a range is part of a disk of `virtual_size` bytes.
///
/// # Errors
/// [`InvalidArgument::RangeReversed`] and [`InvalidArgument::PastEndOfDisk`].
pub(crate) fn ensure_on_disk(range: &Range<DiskOffset>, virtual_size: u64) -> Result<(), InvalidArgument> {
    let Range { start, end } = *range;
    let Some(len) = end.get().checked_sub(start.get()) else {
        return Err(InvalidArgument::RangeReversed { start, end });
    };
    range_on_disk(start, len, virtual_size).map(drop)
}

/// Returns the range of `len` bytes from `start` on.
///
/// # Errors
/// [`InvalidArgument::PastEndOfDisk`] if it ends past the end of a disk of `virtual_size` bytes.
pub(crate) fn range_on_disk(
    start: DiskOffset,
    len: u64,
    virtual_size: u64,
) -> Result<Range<DiskOffset>, InvalidArgument> {
    match start.checked_add(len).filter(|end| end.get() <= virtual_size) {
        Some(end) => Ok(start..end),
        None => Err(InvalidArgument::PastEndOfDisk { start, len, virtual_size }),
    }
}
