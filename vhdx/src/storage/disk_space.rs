//! What files take on the host, and what they may still take.

use std::io;
use std::path::Path;

/// How many bytes the host's file system really spends on a file.
///
/// # Errors
/// Whatever the operating system says.
#[cfg(unix)]
pub fn allocated_bytes(path: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    const BLOCK: u64 = 512; // the unit of st_blocks, whatever the file system's own block size is
    Ok(path.metadata()?.blocks().saturating_mul(BLOCK))
}

/// How many bytes the host's file system really spends on a file.
///
/// # Errors
/// Whatever the operating system says.
#[cfg(windows)]
pub fn allocated_bytes(path: &Path) -> io::Result<u64> {
    filesize::file_real_size(path)
}

/// How many bytes a file of this user may still take on the file system of a folder; `None` where the host does not say.
///
/// # Errors
/// Whatever the operating system says.
#[cfg(unix)]
pub fn free_space(folder: &Path) -> io::Result<Option<u64>> {
    let found = rustix::fs::statvfs(folder)?;
    let is_known = found.f_blocks > 0; // some file systems of the network say nothing
    Ok(is_known.then(|| found.f_bavail.saturating_mul(found.f_frsize)))
}

/// How many bytes a file of this user may still take on the file system of a folder; `None` where the host does not say.
///
/// # Errors
/// Whatever the operating system says.
#[cfg(windows)]
pub fn free_space(folder: &Path) -> io::Result<Option<u64>> {
    super::windows::free_space(folder).map(Some)
}

/// Whether the file system of a file writes over its bytes where they are. One that copies on write takes new space first.
///
/// # Errors
/// Whatever the operating system says.
#[cfg(target_os = "linux")]
pub(crate) fn overwrites_in_place(file: &Path) -> io::Result<bool> {
    super::linux::overwrites_in_place(&std::fs::File::open(file)?)
}

/// Whether the file system of a file writes over its bytes where they are. Nothing else is known of other hosts.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub(crate) fn overwrites_in_place(_: &Path) -> io::Result<bool> {
    Ok(true)
}
