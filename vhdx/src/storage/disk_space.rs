//! Measures space on the host: what a file takes, and what is free.

use std::fs::Metadata;
use std::io;
use std::path::Path;

use super::{ReadAt, host};

/// Returns how many bytes the host's file system allocates for a file.
///
/// # Errors
/// The operating system's error.
pub fn allocated_bytes(path: &Path) -> io::Result<u64> {
    host::allocated_bytes(path, &path.metadata()?)
}

/// As [`allocated_bytes`], for a file whose `metadata` is known already.
///
/// # Errors
/// The operating system's error.
pub(crate) fn allocated_by(path: &Path, metadata: &Metadata) -> io::Result<u64> {
    host::allocated_bytes(path, metadata)
}

/// Returns how many bytes this user may still allocate on the file system of a folder.
///
/// Returns `None` if the host does not report it.
///
/// # Errors
/// The operating system's error.
pub fn free_space(folder: &Path) -> io::Result<Option<u64>> {
    Ok(volume_space(folder)?.map(|space| space.free))
}

/// The space of a volume in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VolumeSpace {
    /// The bytes that this user may still allocate.
    pub free: u64,
    /// The size of the volume.
    pub size: u64,
}

/// Returns the space of the file system of a folder.
///
/// Returns `None` if the host does not report it.
///
/// # Errors
/// The operating system's error.
pub fn volume_space(folder: &Path) -> io::Result<Option<VolumeSpace>> {
    Ok(host::volume_space(folder)?.map(|(free, size)| VolumeSpace { free, size }))
}

/// Returns whether a file system shares blocks between these storages instead of copying them.
///
/// If this cannot be determined, they are copied.
pub(crate) fn share_blocks<'a>(mut storages: impl Iterator<Item = &'a dyn ReadAt>) -> bool {
    let mut volume = None;
    storages.all(|storage| {
        let Some(file) = storage.as_file().filter(|file| host::shares_blocks(file)) else { return false };
        // Without its volume, nothing is known about the file.
        let Ok((of_file, _)) = host::identity(file) else { return false };
        // The volume of the first file is that of all.
        *volume.get_or_insert(of_file) == of_file
    })
}

/// Returns whether the file system of a file overwrites bytes in place.
///
/// A file system that copies on write allocates new space first. Only Linux reports it.
///
/// # Errors
/// The operating system's error.
pub(crate) fn overwrites_in_place(file: &Path) -> io::Result<bool> {
    host::overwrites_in_place(file)
}
