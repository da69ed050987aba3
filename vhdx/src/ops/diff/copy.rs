//! The one loop that reads what changed.

use std::ops::Range;

use super::range::ChangedRange;
use crate::disk::Chain;
use crate::error::{Bounded, Error, Result, in_memory};
use crate::progress::Progress;
use crate::storage::Buffer;
use crate::units::{DiskOffset, MIB};

/// The most bytes that are read at once.
const WINDOW: u64 = MIB;

/// A part of the newer disk that changed.
pub(in crate::ops) enum Piece<'a> {
    /// The range is zeros.
    Zeros(Range<DiskOffset>),
    /// The bytes at an offset: at most 1 MiB, which can also be zeros.
    Bytes(DiskOffset, &'a [u8]),
}

/// Passes the content of changed ranges of `new` to `write`, in disk order.
///
/// `progress` counts the bytes of ranges that are not zeros.
///
/// # Errors
/// Those of `ranges`, of reading the disk and of `write`, and [`Error::Cancelled`].
pub(in crate::ops) fn copy_changed(
    new: &Chain,
    ranges: impl Iterator<Item = Result<ChangedRange>>,
    progress: &dyn Progress,
    mut write: impl FnMut(Piece<'_>) -> Result<()>,
) -> Result<()> {
    let mut buffer = Buffer::new(in_memory(WINDOW)?);
    for range in ranges {
        let ChangedRange { mut start, len, is_zero } = range?;
        let end = start.plus(len)?;
        if is_zero {
            ensure_not_cancelled(progress)?;
            write(Piece::Zeros(start..end))?;
            continue;
        }
        while start < end {
            ensure_not_cancelled(progress)?;
            let len = end.minus(start)?.min(WINDOW);
            let bytes = &mut buffer[..in_memory(len)?];
            new.read_exact_at(bytes, start)?;
            write(Piece::Bytes(start, bytes))?;
            progress.advance(len);
            start = start.plus(len)?;
        }
    }
    Ok(())
}

fn ensure_not_cancelled(progress: &dyn Progress) -> Result<()> {
    if progress.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
}

/// Cuts ranges off at the end of a disk of `size` bytes.
pub(in crate::ops) fn within(
    ranges: impl Iterator<Item = Result<ChangedRange>>,
    size: u64,
) -> impl Iterator<Item = Result<ChangedRange>> {
    ranges.filter_map(move |range| match range {
        Ok(range) => {
            // Nothing is left of a range past the end.
            let len = size.checked_sub(range.start.get()).filter(|left| *left > 0)?.min(range.len);
            Some(Ok(ChangedRange { len, ..range }))
        }
        error => Some(error),
    })
}
