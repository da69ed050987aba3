//! Proves that files with the same GUIDs are copies of each other: compares their bytes.

use std::path::Path;

use crate::error::{Bounded, Error, Result};
use crate::file::Vhdx;
use crate::progress::{NoProgress, Progress};
use crate::storage::{Buffer, FileStorage, ReadAt};
use crate::units::{FileOffset, at_most};

/// The maximum length in bytes of files that are compared byte for byte.
pub(crate) const LONGEST_COMPARED: u64 = 1 << 30;

const WINDOW: usize = 1 << 20;

/// Returns whether two open files are proven to have the same bytes.
///
/// Returns `false` also if a file cannot be read or is too long to compare.
pub(super) fn are_copies(one: &Vhdx, other: &Vhdx) -> bool {
    let claim = |vhdx: &Vhdx| (vhdx.file_write_guid(), vhdx.data_write_guid(), vhdx.file_len());
    let (Some(a), Some(b)) = (one.path(), other.path()) else { return false };
    let len = one.file_len();
    claim(one) == claim(other)
        && len <= LONGEST_COMPARED
        && same_bytes(a, b, len, &NoProgress).is_ok_and(|are_equal| are_equal)
}

/// Returns whether the first `len` bytes of two files are equal.
///
/// # Errors
/// [`Error::Cancelled`] if `progress` asks for it; those of [`FileStorage::open`]; [`Error::Io`] if reading fails.
pub(crate) fn same_bytes(a: &Path, b: &Path, len: u64, progress: &dyn Progress) -> Result<bool> {
    let files = [FileStorage::open(a)?, FileStorage::open(b)?];
    let mut buffers = [Buffer::new(WINDOW), Buffer::new(WINDOW)];
    let mut at = FileOffset::new(0);
    while at.get() < len {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let window = at_most(len - at.get(), WINDOW);
        for (file, buffer) in files.iter().zip(&mut buffers) {
            file.read_exact_at(&mut buffer[..window], at).map_err(|e| Error::io("read", at, e))?;
        }
        if buffers[0][..window] != buffers[1][..window] {
            return Ok(false);
        }
        at = at.plus(window as u64)?;
    }
    Ok(true)
}
