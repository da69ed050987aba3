//! Makes files by descriptors of their folders, so that no exchanged folder or link leads elsewhere.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{File, FileTimes};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, mkdirat, openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use super::making::{Finishing, Making, exists, is_known, is_no_file, is_no_folder, listable, prefix};

/// Files that must not be replaced, by device and inode.
#[derive(Default)]
pub(in crate::commands::cp) struct Known(HashSet<(u64, u64)>);

impl Known {
    /// Adds a file that is read.
    pub(in crate::commands::cp) fn add(&mut self, path: &Path) -> io::Result<()> {
        let metadata = path.metadata()?;
        self.0.insert((metadata.dev(), metadata.ino()));
        Ok(())
    }
}

/// An open folder of the host.
pub(in crate::commands::cp) struct Folder(OwnedFd);

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Folder {
    /// Opens a folder that the user has named. Links in this path are followed.
    pub(in crate::commands::cp) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::open(listable(path), FOLDER, Mode::empty())?))
    }

    /// Makes a folder in this one, or opens it if it exists and is no link.
    pub(in crate::commands::cp) fn folder(&self, name: &OsStr, mode: Option<u32>) -> io::Result<Self> {
        // The owner must be able to fill it.
        match mkdirat(&self.0, name, permissions(mode.unwrap_or(0o777) | 0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        match openat(&self.0, name, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(folder) => Ok(Self(folder)),
            Err(Errno::NOTDIR | Errno::LOOP | Errno::MLINK) => Err(is_no_folder()),
            Err(error) => Err(error.into()),
        }
    }

    /// Begins a file in this folder.
    pub(in crate::commands::cp) fn new_file(
        &self,
        name: &OsStr,
        making: Making,
        known: &Known,
    ) -> io::Result<NewFile<'_>> {
        self.ensure_usable(name, making, known)?;
        let mode = permissions(making.mode.unwrap_or(0o666));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let temporary = temporary_name(name);
            match openat(&self.0, &temporary, flags, mode) {
                Ok(file) => {
                    let (name, file) = (name.to_owned(), File::from(file));
                    return Ok(NewFile { folder: self, name, temporary: Some(temporary), file, making });
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Checks that a file can be made, or replaced, here. Only regular files are replaced, and links to them: a device
    /// or a pipe is used by other programs, which would lose it.
    fn ensure_usable(&self, name: &OsStr, making: Making, known: &Known) -> io::Result<()> {
        let found = match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => found,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let kind = match FileType::from_raw_mode(found.st_mode) {
            FileType::Symlink => match statat(&self.0, name, AtFlags::empty()) {
                Ok(target) => FileType::from_raw_mode(target.st_mode),
                // The link leads nowhere, so nobody uses a file through it.
                Err(Errno::NOENT) => FileType::RegularFile,
                Err(error) => return Err(error.into()),
            },
            kind => kind,
        };
        if kind != FileType::RegularFile {
            return Err(is_no_file());
        }
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast)] // the types differ between systems
        if known.0.contains(&(found.st_dev as u64, found.st_ino.into())) {
            return Err(is_known());
        }
        if making.replace { Ok(()) } else { Err(exists()) }
    }

    /// Sets when the folder was last changed.
    pub(in crate::commands::cp) fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        File::from(self.0.try_clone()?).set_times(FileTimes::new().set_modified(time))
    }

    /// Makes the files in this folder durable; on Linux, all files of its file system.
    pub(in crate::commands::cp) fn sync(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(&self.0)?;
        #[cfg(not(target_os = "linux"))]
        rustix::fs::fsync(&self.0)?;
        Ok(())
    }
}

/// A file that gets its name when it is complete. It is deleted if it is dropped before.
pub(in crate::commands::cp) struct NewFile<'f> {
    folder: &'f Folder,
    name: OsString,
    /// The name until then; `None` afterwards.
    temporary: Option<OsString>,
    pub(in crate::commands::cp) file: File,
    making: Making,
}

impl NewFile<'_> {
    /// Gives the file its name.
    pub(in crate::commands::cp) fn finish(
        mut self,
        finishing: Finishing,
        known: &mut Known,
    ) -> io::Result<()> {
        if let Some(time) = finishing.modified {
            self.file.set_times(FileTimes::new().set_modified(time))?;
        }
        if finishing.sync {
            self.file.sync_all()?;
        }
        let metadata = self.file.metadata()?;
        let Some(temporary) = &self.temporary else { return Ok(()) };
        if self.making.replace {
            self.folder.ensure_usable(&self.name, self.making, known)?; // it may be another file by now
            renameat(&self.folder.0, temporary, &self.folder.0, &self.name)?;
        } else {
            rename_to_new(self.folder, temporary, &self.name)?;
        }
        self.temporary = None;
        known.0.insert((metadata.dev(), metadata.ino()));
        if finishing.sync {
            rustix::fs::fsync(self.folder.0.as_fd())?;
        }
        Ok(())
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = unlinkat(&self.folder.0, temporary, AtFlags::empty());
        }
    }
}

/// Renames without replacing a file. If the file system has no such rename, an empty file claims the name first.
fn rename_to_new(folder: &Folder, temporary: &OsStr, name: &OsStr) -> io::Result<()> {
    match rename_no_replace(folder, temporary, name) {
        Ok(()) => return Ok(()),
        Err(Errno::EXIST) => return Err(exists()),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(&folder.0, name, flags, permissions(0o600)) {
        Ok(_) => {}
        Err(Errno::EXIST) => return Err(exists()),
        Err(error) => return Err(error.into()),
    }
    renameat(&folder.0, temporary, &folder.0, name).map_err(|error| {
        let _ = unlinkat(&folder.0, name, AtFlags::empty()); // our own empty file
        error.into()
    })
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn rename_no_replace(folder: &Folder, temporary: &OsStr, name: &OsStr) -> Result<(), Errno> {
    renameat_with(&folder.0, temporary, &folder.0, name, RenameFlags::NOREPLACE)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn rename_no_replace(_: &Folder, _: &OsStr, _: &OsStr) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

/// Returns permission bits without those that give rights to whoever runs the file.
fn permissions(mode: u32) -> Mode {
    Mode::from_bits_truncate((mode & 0o777) as _)
}

fn temporary_name(name: &OsStr) -> OsString {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}{}-{number}.part", prefix(name), std::process::id()).into()
}
