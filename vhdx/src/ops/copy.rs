//! The one loop that copies the content of a disk and leaves out zeros.

use std::ops::Range;

use super::ranges::{WINDOW, windows};
use super::zeros::nonzero_runs;
use crate::disk::Disk;
use crate::error::{Bounded, Error, Result};
use crate::progress::Progress;
use crate::storage::Buffer;
use crate::units::DiskOffset;

/// Reads `ranges` of the disk and passes everything that is not zero to `write`, in disk order.
///
/// Returns how many bytes were passed.
pub(super) fn copy_nonzero(
    disk: &dyn Disk,
    ranges: impl Iterator<Item = Result<Range<DiskOffset>>>,
    progress: &dyn Progress,
    mut write: impl FnMut(DiskOffset, &[u8]) -> Result<()>,
) -> Result<u64> {
    let mut buffer = Buffer::new(WINDOW);
    let mut written = 0u64;
    for window in windows(ranges) {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let window = window?;
        let bytes = &mut buffer[..window.len];
        disk.read_exact_at(bytes, window.start)?;
        for run in nonzero_runs(bytes, window.start) {
            written = written.plus(run.len() as u64)?;
            write(window.start.plus(run.start as u64)?, &bytes[run])?;
        }
        progress.advance(window.data);
    }
    Ok(written)
}
