//! File operations of macOS and the BSDs. No safe crate offers their calls for zeroing and holes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::Range;
use std::path::Path;

use rustix::fs::OFlags;

use super::unix::open_waiting_for_nothing;

pub(in crate::storage) fn open_readable(path: &Path) -> io::Result<File> {
    open_waiting_for_nothing(OpenOptions::new().read(true), path, OFlags::empty())
}

pub(in crate::storage) fn open_unchanging(path: &Path) -> io::Result<File> {
    open_readable(path)
}

/// Locks a file exclusively until [`unlock`]; keeps out programs that use `flock`.
///
/// A file system without locks is not an error.
pub(in crate::storage) fn lock(file: &File) -> io::Result<()> {
    flock(file.try_lock())
}

/// Keeps out writers that use `flock`, until [`unlock`].
pub(in crate::storage) fn lock_shared(file: &File) -> io::Result<()> {
    flock(file.try_lock_shared())
}

/// As [`lock_shared`], for a file that is already open.
///
/// No other handle is needed, so it returns `None`.
pub(in crate::storage) fn hold_shared(file: &File) -> io::Result<Option<File>> {
    lock_shared(file).map(|()| None)
}

/// Releases the lock.
pub(in crate::storage) fn unlock(file: &File) {
    let _ = file.unlock();
}

fn flock(locked: Result<(), TryLockError>) -> io::Result<()> {
    let has_no_locks = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
            || error.raw_os_error() == Some(rustix::io::Errno::NOLCK.raw_os_error())
    };
    match locked {
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(error)) if !has_no_locks(&error) => Err(error),
        Err(TryLockError::Error(_)) | Ok(()) => Ok(()),
    }
}

/// Returns `false`: the zeros must be written.
pub(in crate::storage) fn zero_range(_: &File, _: u64, _: u64) -> io::Result<bool> {
    Ok(false)
}

/// Returns `false`: the zeros must be written.
pub(in crate::storage) fn punch_hole(_: &File, _: u64, _: u64) -> io::Result<bool> {
    Ok(false)
}

/// Returns `None`: not all of these hosts report holes.
pub(in crate::storage) fn hole_after(_: &File, _: u64) -> io::Result<Option<Range<u64>>> {
    Ok(None)
}

/// Has no effect, because nothing is shared.
pub(in crate::storage) const SHARED_UNIT: u64 = 1;

/// Returns `false`: the bytes must be copied.
pub(in crate::storage) fn shares_blocks(_: &File) -> bool {
    false
}

/// Returns 0: the bytes must be copied.
pub(in crate::storage) fn share(_: &File, _: u64, _: &File, _: u64, _: u64) -> io::Result<u64> {
    Ok(0)
}

/// Returns whether `set_len` would make the file sparse.
///
/// The extension must then be written instead.
pub(in crate::storage) fn set_len_makes_sparse(_: &File, _: u64) -> io::Result<bool> {
    Ok(false)
}

/// Returns `true`: the file systems of this host are assumed to overwrite bytes in place.
pub(in crate::storage) fn overwrites_in_place(_: &Path) -> io::Result<bool> {
    Ok(true)
}
