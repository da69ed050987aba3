//! File operations that all Unix hosts share.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;

pub(in crate::storage) fn is_regular(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.is_file())
}

/// Opens a file without waiting for the other end of a pipe. Regular files are not affected.
pub(in crate::storage) fn open_waiting_for_nothing(
    options: &mut OpenOptions,
    path: &Path,
    flags: OFlags,
) -> io::Result<File> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
    options.custom_flags(flags.bits().cast_signed()).open(path)
}

pub(in crate::storage) fn open_writable(path: &Path) -> io::Result<File> {
    open_waiting_for_nothing(OpenOptions::new().read(true).write(true), path, OFlags::empty())
}

/// Syncs everything that any program has written to the file.
pub(in crate::storage) fn sync_written(file: &File) -> io::Result<()> {
    ignore_unavoidable(file.sync_all())
}

/// Ignores errors of a sync that a reader cannot avoid. A file system without syncs cannot have been written to. If
/// only a writer can sync (a Windows share on Linux before 5.15), a reader can do no more.
pub(in crate::storage) fn ignore_unavoidable(synced: io::Result<()>) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    let excused = [InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported];
    match synced {
        Err(error) if excused.contains(&error.kind()) => Ok(()),
        result => result,
    }
}

/// Returns `false`: these hosts report a file in use by other errors.
pub(in crate::storage) fn is_sharing_violation(_: &io::Error) -> bool {
    false
}

pub(in crate::storage) fn read_exact_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buf, offset)
}

pub(in crate::storage) fn write_all_at(file: &File, buf: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(buf, offset)
}

/// Returns the number of a file's volume, and of the file on it.
pub(in crate::storage) fn identity(file: &File) -> io::Result<(u64, u64)> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

pub(in crate::storage) fn allocated_bytes(_: &Path, metadata: &Metadata) -> io::Result<u64> {
    const BLOCK: u64 = 512; // the unit of `st_blocks`, for every block size of a file system
    Ok(metadata.blocks().saturating_mul(BLOCK)) // a file system may report any number
}

/// Returns how many bytes this user may still allocate on the file system of a folder, and its size, if it says so.
pub(in crate::storage) fn volume_space(folder: &Path) -> io::Result<Option<(u64, u64)>> {
    let found = rustix::fs::statvfs(folder)?;
    let is_known = found.f_blocks > 0; // some network file systems report nothing
    // A file system may report any numbers. Too much space for 64 bits is enough for everything.
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(is_known.then(|| (bytes(found.f_bavail), bytes(found.f_blocks))))
}

/// Returns the permissions of a file that replaces no other, from which the host takes those of the umask.
pub(in crate::storage) fn permissions_of_new_file() -> Option<Permissions> {
    Some(Permissions::from_mode(0o666))
}

/// Makes the names in a folder durable.
///
/// Some file systems cannot sync a folder, and do not need to.
pub(in crate::storage) fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        result => result,
    }
}
