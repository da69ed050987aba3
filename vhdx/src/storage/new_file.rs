//! A new file that is complete or absent: written beside its name, and given the name once it is on the medium.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempPath};

use super::{FileIdentity, FileStorage, ReadAt, Storage};
use crate::error::{Error, InvalidArgument, Result};
use crate::units::FileOffset;

/// A file that gets its name only by [`commit`](Self::commit); dropped before, it vanishes.
///
/// Until then it is called `.NAME.<random>.part`, in the folder of its destination.
#[derive(Debug)]
pub struct NewFile {
    storage: FileStorage,
    temporary: TempPath,
    destination: PathBuf,
    overwrite: bool,
}

impl NewFile {
    /// Makes an empty file that will become `destination`, for which an existing file is only given up if `overwrite`.
    ///
    /// # Errors
    /// [`InvalidArgument::DestinationExists`], [`InvalidArgument::NotARegularFile`] for a destination that is a folder
    /// or a device, [`Error::Io`] when the file cannot be made, or when another program has the one open that is to be
    /// given up (as far as [`FileStorage::open_exclusive`] can tell).
    pub fn create(destination: &Path, overwrite: bool) -> Result<Self> {
        Self::create_beside(destination, overwrite).map_err(|error| error.in_file(destination))
    }

    fn create_beside(destination: &Path, overwrite: bool) -> Result<Self> {
        let destination = settle(destination, overwrite)?;
        let name = destination.file_name().ok_or(InvalidArgument::NotARegularFile)?;
        let mut builder = Builder::new();
        let prefix = prefix(name);
        builder.prefix(&prefix).suffix(".part");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // less the umask
        let made = builder.tempfile_in(folder(&destination)).map_err(io_error("create"))?;
        let (file, temporary) = made.into_parts();
        Ok(Self { storage: FileStorage::new(file), temporary, destination, overwrite })
    }

    /// Refuses, before anything is made, a destination for which [`create`](Self::create) would fail.
    ///
    /// # Errors
    /// As [`create`](Self::create), apart from those that only making the file can show.
    pub fn judge(destination: &Path, overwrite: bool) -> Result<()> {
        settle(destination, overwrite).map(drop).map_err(|error| error.in_file(destination))
    }

    /// Refuses a destination that is, by whatever name, one of the files that are read.
    ///
    /// # Errors
    /// [`InvalidArgument::DestinationIsSource`], or [`Error::Io`] when the destination cannot be identified.
    pub fn refuse_source(destination: &Path, sources: impl IntoIterator<Item = FileIdentity>) -> Result<()> {
        if !destination.is_file() {
            return Ok(());
        }
        let existing = FileStorage::open(destination)?.identity()?;
        if sources.into_iter().any(|source| source == existing) {
            return Err(Error::from(InvalidArgument::DestinationIsSource).in_file(destination));
        }
        Ok(())
    }

    /// Where the file will be.
    pub fn destination(&self) -> &Path {
        &self.destination
    }

    /// Gives the file its name, once all its bytes are on the medium, and makes the name durable too.
    ///
    /// # Errors
    /// [`InvalidArgument::DestinationExists`] when it came to be in the meantime, [`Error::Io`]; the destination is then
    /// what it was, unless making the name durable is what failed.
    pub fn commit(self) -> Result<()> {
        let Self { storage, temporary, destination, overwrite } = self;
        let attempt = || {
            storage.sync().map_err(io_error("sync"))?;
            drop(storage);
            if overwrite {
                refuse_in_use(&destination)?;
                temporary.persist(&destination).map_err(|failed| io_error("rename")(failed.error))?;
            } else {
                rename_to_new(temporary, &destination)?;
            }
            sync_folder(folder(&destination)).map_err(io_error("sync the folder"))
        };
        attempt().map_err(|error| error.in_file(&destination))
    }
}

/// Deletes a file for good.
pub(crate) fn delete(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    sync_folder(folder(path))
}

/// The file that `destination` stands for, if it may be replaced or does not exist.
fn settle(destination: &Path, overwrite: bool) -> Result<PathBuf> {
    match destination.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            judge_folder(folder(destination))?;
            // `new.vhdx/` can only name a folder: the rename would fail, after all the work.
            match destination.to_string_lossy().ends_with(std::path::is_separator) {
                true => Err(InvalidArgument::NotARegularFile.into()),
                false => Ok(destination.to_owned()),
            }
        }
        Err(error) => Err(io_error("look at it")(error)),
        Ok(_) if !overwrite => Err(InvalidArgument::DestinationExists.into()),
        Ok(_) if !destination.is_file() => Err(InvalidArgument::NotARegularFile.into()),
        Ok(_) => {
            refuse_in_use(destination)?;
            destination.canonicalize().map_err(io_error("look at it"))
        }
    }
}

/// Whoever has a file open would go on with one that has no name. A file that only cannot be written to may be replaced.
fn refuse_in_use(destination: &Path) -> Result<()> {
    let is_busy = |error: &Error| match error {
        Error::Io { source, .. } => source.kind() == io::ErrorKind::ResourceBusy,
        _ => false,
    };
    match FileStorage::open_exclusive(destination) {
        Err(Error::InFile { error, .. }) if is_busy(&error) => Err(*error),
        Err(_) | Ok(_) => Ok(()),
    }
}

fn judge_folder(folder: &Path) -> Result<()> {
    match folder.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(io_error("find its folder")(io::ErrorKind::NotADirectory.into())),
        Err(error) => Err(io_error("find its folder")(error)),
    }
}

fn folder(destination: &Path) -> &Path {
    match destination.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Short enough to leave room for the rest: a name has at most 255 bytes.
fn prefix(name: &OsStr) -> String {
    const LONGEST: usize = 200;
    let name = name.to_string_lossy();
    format!(".{}.", &name[..name.floor_char_boundary(LONGEST)])
}

/// Renames without ever replacing a file. Where the file system has no such rename, the name is claimed first by an
/// empty file, which only its creator replaces.
fn rename_to_new(temporary: TempPath, destination: &Path) -> Result<()> {
    let exists = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
    let temporary = match temporary.persist_noclobber(destination) {
        Ok(()) => return Ok(()),
        Err(failed) if exists(&failed.error) => return Err(InvalidArgument::DestinationExists.into()),
        Err(failed) => failed.path,
    };
    match OpenOptions::new().write(true).create_new(true).open(destination) {
        Ok(_) => {}
        Err(error) if exists(&error) => return Err(InvalidArgument::DestinationExists.into()),
        Err(error) => return Err(io_error("rename")(error)),
    }
    temporary.persist(destination).map_err(|failed| {
        // The claim is ours and empty; that it cannot be removed matters less than why the rename failed.
        let _ = fs::remove_file(destination);
        io_error("rename")(failed.error)
    })
}

/// Makes the names in a folder durable. Some file systems cannot sync a folder, and need not.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    match fs::File::open(folder)?.sync_all() {
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        result => result,
    }
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

fn io_error(operation: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::io(operation, None, source)
}

impl ReadAt for NewFile {
    fn len(&self) -> io::Result<u64> {
        self.storage.len()
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
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn reason(error: &Error) -> InvalidArgument {
        match error {
            Error::InvalidArgument(argument) => argument.clone(),
            Error::InFile { error, .. } => reason(error),
            error => panic!("{error}"),
        }
    }

    #[test]
    fn a_committed_file_is_complete_and_an_uncommitted_one_absent() {
        let folder = tempfile::tempdir().unwrap();
        let destination = folder.path().join("disk.vhdx");
        let file = NewFile::create(&destination, false).unwrap();
        file.write_all_at(b"content", FileOffset::new(0)).unwrap();
        let name = names(folder.path()).pop().unwrap();
        assert!(name.starts_with(".disk.vhdx.") && name.ends_with(".part"), "{name}");
        drop(file);
        assert!(names(folder.path()).is_empty());

        let file = NewFile::create(&destination, false).unwrap();
        file.write_all_at(b"content", FileOffset::new(0)).unwrap();
        file.commit().unwrap();
        assert_eq!(names(folder.path()), ["disk.vhdx"]);
        assert_eq!(fs::read(&destination).unwrap(), b"content");
    }

    #[cfg(unix)]
    #[test]
    fn the_file_has_the_permissions_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, other) = (folder.path().join("ours"), folder.path().join("other"));
        NewFile::create(&ours, false).unwrap().commit().unwrap();
        fs::write(&other, b"").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&other));
    }

    #[cfg(windows)]
    #[test]
    fn the_file_is_neither_sparse_nor_temporary() {
        use std::os::windows::fs::MetadataExt;
        use windows_sys::Win32::Storage::FileSystem::{FILE_ATTRIBUTE_SPARSE_FILE, FILE_ATTRIBUTE_TEMPORARY};
        let folder = tempfile::tempdir().unwrap();
        let destination = folder.path().join("disk.vhdx");
        let file = NewFile::create(&destination, false).unwrap();
        file.set_len(1 << 20).unwrap();
        file.zero_range(FileOffset::new(0), 1 << 19).unwrap();
        file.punch_hole(FileOffset::new(1 << 18), 1 << 17).unwrap();
        file.commit().unwrap();
        let attributes = destination.metadata().unwrap().file_attributes();
        assert_eq!(attributes & (FILE_ATTRIBUTE_SPARSE_FILE | FILE_ATTRIBUTE_TEMPORARY), 0);
    }

    #[test]
    fn an_existing_file_is_only_replaced_when_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let destination = folder.path().join("disk.vhdx");
        fs::write(&destination, b"precious").unwrap();
        let error = NewFile::create(&destination, false).unwrap_err();
        assert_eq!(reason(&error), InvalidArgument::DestinationExists);
        assert_eq!(fs::read(&destination).unwrap(), b"precious");

        NewFile::create(&destination, true).unwrap().commit().unwrap();
        assert_eq!(fs::read(&destination).unwrap(), b"");
    }

    #[test]
    fn a_file_that_came_to_be_in_the_meantime_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let destination = folder.path().join("disk.vhdx");
        let file = NewFile::create(&destination, false).unwrap();
        fs::write(&destination, b"precious").unwrap();
        assert_eq!(reason(&file.commit().unwrap_err()), InvalidArgument::DestinationExists);
        assert_eq!(names(folder.path()), ["disk.vhdx"]);
        assert_eq!(fs::read(&destination).unwrap(), b"precious");
    }

    #[test]
    fn a_file_that_is_in_use_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let destination = folder.path().join("disk.vhdx");
        fs::write(&destination, b"precious").unwrap();
        let file = NewFile::create(&destination, true).unwrap();
        let user = FileStorage::open_exclusive(&destination).unwrap();
        for refused in [NewFile::create(&destination, true).map(drop), file.commit()] {
            let error = refused.unwrap_err();
            assert!(error.to_string().contains("cannot lock"), "{error}");
        }
        drop(user);
        assert_eq!(names(folder.path()), ["disk.vhdx"]);
        assert_eq!(fs::read(&destination).unwrap(), b"precious");
        NewFile::create(&destination, true).unwrap().commit().unwrap();
    }

    #[test]
    fn folders_are_no_destination() {
        let folder = tempfile::tempdir().unwrap();
        let error = NewFile::create(folder.path(), true).unwrap_err();
        assert_eq!(reason(&error), InvalidArgument::NotARegularFile);
    }

    #[test]
    fn a_source_is_no_destination_by_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let (source, link) = (folder.path().join("source"), folder.path().join("link"));
        fs::write(&source, b"").unwrap();
        fs::hard_link(&source, &link).unwrap();
        let identity = FileStorage::open(&source).unwrap().identity().unwrap();
        let error = NewFile::refuse_source(&link, [identity]).unwrap_err();
        assert_eq!(reason(&error), InvalidArgument::DestinationIsSource);

        fs::write(folder.path().join("other"), b"").unwrap();
        NewFile::refuse_source(&folder.path().join("other"), [identity]).unwrap();
        NewFile::refuse_source(&folder.path().join("absent"), [identity]).unwrap();
    }

    #[test]
    fn a_long_name_still_fits() {
        let folder = tempfile::tempdir().unwrap();
        let name = "ä".repeat(127);
        NewFile::create(&folder.path().join(&name), false).unwrap().commit().unwrap();
        assert_eq!(names(folder.path()), [name]);
    }

    #[test]
    fn a_name_that_only_a_folder_can_have_is_refused_before_any_work() {
        let folder = tempfile::tempdir().unwrap();
        let destination = folder.path().join("new.vhdx").join("");
        for refused in [NewFile::judge(&destination, false), NewFile::create(&destination, true).map(drop)] {
            assert_eq!(refused.unwrap_err().kind(), crate::error::ErrorKind::InvalidArgument);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
