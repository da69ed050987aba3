//! Measures space on the host: what a file takes, and what is free.

use std::io;
use std::path::Path;

/// Returns how many bytes the host's file system allocates for a file.
///
/// # Errors
/// The operating system's error.
#[cfg(unix)]
pub fn allocated_bytes(path: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    const BLOCK: u64 = 512; // the unit of `st_blocks`, for every block size of a file system
    Ok(path.metadata()?.blocks().saturating_mul(BLOCK))
}

/// Returns how many bytes the host's file system allocates for a file.
///
/// # Errors
/// The operating system's error.
#[cfg(windows)]
pub fn allocated_bytes(path: &Path) -> io::Result<u64> {
    filesize::file_real_size(path)
}

/// Returns how many bytes this user may still allocate on the file system of a folder.
///
/// Returns `None` if the host does not report it.
///
/// # Errors
/// The operating system's error.
#[cfg(unix)]
pub fn free_space(folder: &Path) -> io::Result<Option<u64>> {
    let found = rustix::fs::statvfs(folder)?;
    let is_known = found.f_blocks > 0; // some network file systems report nothing
    Ok(is_known.then(|| found.f_bavail.saturating_mul(found.f_frsize)))
}

/// Returns how many bytes this user may still allocate on the file system of a folder.
///
/// Returns `None` if the host does not report it.
///
/// # Errors
/// The operating system's error.
#[cfg(windows)]
pub fn free_space(folder: &Path) -> io::Result<Option<u64>> {
    super::windows::free_space(folder).map(Some)
}

/// Returns whether the file system of a file overwrites bytes in place.
///
/// A file system that copies on write allocates new space first.
///
/// # Errors
/// The operating system's error.
#[cfg(target_os = "linux")]
pub(crate) fn overwrites_in_place(file: &Path) -> io::Result<bool> {
    super::linux::overwrites_in_place(&std::fs::File::open(file)?)
}

/// Returns `true`: the file systems of this host are assumed to overwrite bytes in place.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub(crate) fn overwrites_in_place(_: &Path) -> io::Result<bool> {
    Ok(true)
}
