//! Files of hosts whose calls for ranges no safe crate offers: macOS, the BSDs.

use std::fs::{File, TryLockError};
use std::io;
use std::ops::Range;

/// Keeps others out until `unlock`: those that use `flock`. A file system without locks is no reason to
/// refuse.
pub(super) fn lock(file: &File) -> io::Result<()> {
    flock(file.try_lock())
}

/// Keeps those out that write, until `unlock`, if they use `flock`.
pub(super) fn lock_shared(file: &File) -> io::Result<()> {
    flock(file.try_lock_shared())
}

/// As [`lock_shared`], for a file that is open already.
pub(super) fn hold_shared(file: &File) -> io::Result<Option<File>> {
    lock_shared(file).map(|()| None)
}

/// Gives up what the functions above have taken.
pub(super) fn unlock(file: &File) {
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

/// Always `false`: the zeros are to be written.
pub(super) fn zero_range(_: &File, _: u64, _: u64) -> io::Result<bool> {
    Ok(false)
}

/// Always `false`: the zeros are to be written.
pub(super) fn punch_hole(_: &File, _: u64, _: u64) -> io::Result<bool> {
    Ok(false)
}

/// Always `None`: not every host that this is for can tell.
pub(super) fn hole_after(_: &File, _: u64) -> io::Result<Option<Range<u64>>> {
    Ok(None)
}

/// Whatever it is, nothing is shared.
pub(super) const SHARED_UNIT: u64 = 1;

/// Always 0: the bytes are to be copied.
pub(super) fn share(_: &File, _: u64, _: &File, _: u64, _: u64) -> io::Result<u64> {
    Ok(0)
}

/// Whether an extension must be written instead.
pub(super) fn set_len_makes_sparse(_: &File, _: u64) -> io::Result<bool> {
    Ok(false)
}
