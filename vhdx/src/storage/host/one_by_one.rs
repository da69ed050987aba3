//! Reads several ranges of a file on hosts without a call that announces reads.

use std::fs::File;
use std::io;

use super::read_exact_at;
use crate::storage::ReadRange;

/// Fills the buffers of several ranges.
pub(in crate::storage) fn read_many(file: &File, ranges: &mut [ReadRange<'_>]) -> io::Result<()> {
    ranges.iter_mut().try_for_each(|range| read_exact_at(file, range.buf, range.offset.get()))
}
