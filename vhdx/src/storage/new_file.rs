//! Creates a file that is complete or absent: it is written under a temporary name, synced, and then renamed.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempPath};

use super::access::Access;
use super::{FileIdentity, FileStorage, ReadAt, Storage, host};
use crate::error::{Conflict, Error, InvalidArgument, Result};
use crate::units::FileOffset;

/// The extension of a new file until it is complete.
pub(crate) const PART_EXTENSION: &str = "part";

/// A new file that gets its name only by [`commit`](Self::commit).
///
/// Until then it is called `.NAME.<random>.part`, in the folder of its destination. If it is dropped before the commit,
/// it is deleted.
///
/// On Unix, a file that replaces another one keeps that file's owner, group, mode, POSIX access control list and
/// SELinux label, as far as the host allows. If one cannot be kept, access to the new file is narrower, never wider.
/// Until the commit, only its owner may read it.
///
/// A file that replaces no file gets default permissions. On Windows every file has the permissions that it
/// inherits from its folder.
#[derive(Debug)]
pub struct NewFile {
    storage: FileStorage,
    temporary: TempPath,
    destination: PathBuf,
    if_exists: IfExists,
    /// The replaced file's permissions at this file's creation.
    replaced: Option<Access>,
}

/// What happens if the destination of a new file exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfExists {
    /// It is an error.
    Fail,
    /// The new file replaces it.
    Replace,
}

impl NewFile {
    /// Creates an empty file that will become `destination`.
    ///
    /// Replaces an existing file only with [`IfExists::Replace`].
    ///
    /// # Errors
    /// - [`Conflict::DestinationExists`] if the destination exists, with [`IfExists::Fail`]
    /// - [`InvalidArgument::NotARegularFile`] if the destination is a folder or a device
    /// - [`Error::Io`] if the file cannot be created, or if another program has the existing file open (as far as
    ///   [`FileStorage::open_exclusive`] can tell)
    pub fn create(destination: &Path, if_exists: IfExists) -> Result<Self> {
        Self::create_beside(destination, if_exists).map_err(|error| error.in_file(destination))
    }

    fn create_beside(destination: &Path, if_exists: IfExists) -> Result<Self> {
        let destination = resolve_destination(destination, if_exists)?;
        let name = destination.file_name().ok_or(InvalidArgument::NotARegularFile)?;
        let mut builder = Builder::new();
        let prefix = prefix(name);
        let suffix = format!(".{PART_EXTENSION}");
        builder.prefix(&prefix).suffix(&suffix);
        let replaced = Access::of(&destination).map_err(io_error("read the permissions"))?;
        if replaced.is_none()
            && let Some(permissions) = host::permissions_of_new_file()
        {
            builder.permissions(permissions);
        }
        let made = builder.tempfile_in(folder_of(&destination)).map_err(io_error("create"))?;
        let (file, temporary) = made.into_parts();
        Ok(Self { storage: FileStorage::new(file), temporary, destination, if_exists, replaced })
    }

    /// Checks whether [`create`](Self::create) would fail, without creating anything.
    ///
    /// # Errors
    /// As [`create`](Self::create), except errors of the creation itself.
    pub fn ensure_can_create(destination: &Path, if_exists: IfExists) -> Result<()> {
        resolve_destination(destination, if_exists).map(drop).map_err(|error| error.in_file(destination))
    }

    /// Checks that the destination is not one of the source files, under any name.
    ///
    /// # Errors
    /// [`InvalidArgument::DestinationIsSource`], or [`Error::Io`] if the destination cannot be identified.
    pub fn ensure_no_source(
        destination: &Path,
        sources: impl IntoIterator<Item = FileIdentity>,
    ) -> Result<()> {
        if !destination.is_file() {
            return Ok(());
        }
        let existing = FileStorage::open(destination)?.identity()?;
        if sources.into_iter().any(|source| source == existing) {
            return Err(Error::from(InvalidArgument::DestinationIsSource).in_file(destination));
        }
        Ok(())
    }

    /// Returns the path of the file after the commit.
    pub fn destination(&self) -> &Path {
        &self.destination
    }

    /// Syncs the file, renames it to its destination, and makes the name durable.
    ///
    /// # Errors
    /// [`Conflict::DestinationExists`] if the destination was created in the meantime, or [`Error::Io`]. The
    /// destination is then unchanged, unless only the final folder sync failed.
    pub fn commit(self) -> Result<()> {
        let Self { storage, temporary, destination, if_exists, replaced } = self;
        let attempt = || {
            // Since `create`, the destination may have been created, deleted, or given other permissions.
            let now = match if_exists {
                IfExists::Replace => Access::of(&destination).map_err(io_error("read the permissions"))?,
                IfExists::Fail => None,
            };
            if let Some(access) = now.or(replaced) {
                access.apply_to(storage.file()).map_err(io_error("set the permissions"))?;
            }
            storage.sync().map_err(io_error("sync"))?;
            drop(storage);
            if if_exists == IfExists::Replace {
                ensure_not_in_use(&destination)?;
                temporary.persist(&destination).map_err(|failed| io_error("rename")(failed.error))?;
            } else {
                rename_to_new(temporary, &destination)?;
            }
            host::sync_folder(folder_of(&destination)).map_err(io_error("sync the folder"))
        };
        attempt().map_err(|error| error.in_file(&destination))
    }
}

/// Deletes a file, and makes that durable if the host can.
pub(crate) fn delete(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    host::sync_folder(folder_of(path))
}

/// Returns the file that `destination` leads to, if it may be replaced or does not exist.
fn resolve_destination(destination: &Path, if_exists: IfExists) -> Result<PathBuf> {
    match destination.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            ensure_folder(folder_of(destination))?;
            // `new.vhdx/` can only name a folder. The rename would fail, but only after all the work.
            match destination.to_string_lossy().ends_with(std::path::is_separator) {
                true => Err(InvalidArgument::NotARegularFile.into()),
                false => Ok(destination.to_owned()),
            }
        }
        Err(error) => Err(io_error("read the file's attributes")(error)),
        // This comes first: replacing would not help.
        Ok(_) if leads_to_no_file(destination) => Err(InvalidArgument::NotARegularFile.into()),
        Ok(_) if if_exists == IfExists::Fail => Err(Conflict::DestinationExists.into()),
        Ok(_) => {
            ensure_not_in_use(destination)?;
            destination.canonicalize().map_err(io_error("resolve the path"))
        }
    }
}

/// Whether an existing path is not a regular file, or is a broken link.
fn leads_to_no_file(path: &Path) -> bool {
    match path.metadata() {
        Ok(found) => !found.is_file(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Returns an error if another program has the file open.
///
/// That program would keep using the old file, which has no name any more. A file that is merely not writable may be
/// replaced.
fn ensure_not_in_use(destination: &Path) -> Result<()> {
    let is_busy = |error: &Error| match error {
        Error::Io { source, .. } => source.kind() == io::ErrorKind::ResourceBusy,
        _ => false,
    };
    match FileStorage::open_exclusive(destination) {
        Err(Error::InFile { error, .. }) if is_busy(&error) => Err(*error),
        Err(_) | Ok(_) => Ok(()),
    }
}

fn ensure_folder(folder: &Path) -> Result<()> {
    match folder.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(io_error("find its folder")(io::ErrorKind::NotADirectory.into())),
        Err(error) => Err(io_error("find its folder")(error)),
    }
}

/// Returns the folder in a path, in a form that can be listed: `.` for a bare name.
pub(crate) fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Returns the start of the temporary name.
///
/// It is shortened, because a file name has at most 255 bytes.
fn prefix(name: &OsStr) -> String {
    const LONGEST: usize = 200;
    let name = name.to_string_lossy();
    let fits = |&(at, letter): &(usize, char)| at + letter.len_utf8() <= LONGEST;
    let start: String = name.char_indices().take_while(fits).map(|(_, letter)| letter).collect();
    format!(".{start}.")
}

/// Renames without replacing another program's file.
///
/// If the file system has no such rename, an empty file claims the name first, and the rename replaces that file.
fn rename_to_new(temporary: TempPath, destination: &Path) -> Result<()> {
    let exists = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
    let temporary = match temporary.persist_noclobber(destination) {
        Ok(()) => return Ok(()),
        Err(failed) if exists(&failed.error) => return Err(Conflict::DestinationExists.into()),
        Err(failed) => failed.path,
    };
    match OpenOptions::new().write(true).create_new(true).open(destination) {
        Ok(_) => {}
        Err(error) if exists(&error) => return Err(Conflict::DestinationExists.into()),
        Err(error) => return Err(io_error("rename")(error)),
    }
    temporary.persist(destination).map_err(|failed| {
        // The empty file is our own. The error of the rename matters more than one of the removal.
        let _ = fs::remove_file(destination);
        io_error("rename")(failed.error)
    })
}

fn io_error(operation: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::io(operation, None, source)
}

impl ReadAt for NewFile {
    fn size(&self) -> io::Result<u64> {
        self.storage.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.storage.read_exact_at(buf, offset)
    }
}

impl Storage for NewFile {
    fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
        self.storage.write_all_at(buf, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.storage.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.storage.sync()
    }

    fn begin_sync(&self) -> io::Result<()> {
        self.storage.begin_sync()
    }

    fn zero_range(&self, offset: FileOffset, len: u64) -> io::Result<()> {
        self.storage.zero_range(offset, len)
    }

    fn punch_hole(&self, offset: FileOffset, len: u64) -> io::Result<()> {
        self.storage.punch_hole(offset, len)
    }

    fn copy_from(&self, source: &dyn ReadAt, from: FileOffset, to: FileOffset, len: u64) -> io::Result<()> {
        self.storage.copy_from(source, from, to, len)
    }
}

#[cfg(test)]
mod tests;
