//! Reads several ranges of a file on hosts without a call that announces reads.

use std::fs::File;
use std::io;
use std::ops::Range;

use super::read_exact_at;
use crate::storage::ReadRange;
use crate::units::FileOffset;

/// Nothing is known about the page cache on these hosts.
#[derive(Debug, Default)]
pub(in crate::storage) struct CacheUse;

/// Does nothing.
pub(in crate::storage) fn announce(_: &File, _: &CacheUse, _: &mut [Range<FileOffset>]) {}

/// Fills the buffers of several ranges.
pub(in crate::storage) fn read_many(
    file: &File,
    _: &CacheUse,
    ranges: &mut [ReadRange<'_>],
) -> io::Result<()> {
    ranges.iter_mut().try_for_each(|range| read_exact_at(file, range.buf, range.offset.get()))
}
