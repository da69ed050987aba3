//! Makes files by their paths. Each folder is checked to be no link before something is made in it.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::{Builder, NamedTempFile};

use super::making::{Finishing, Making, exists, is_known, is_no_file, is_no_folder, listable, prefix};

/// Files that must not be replaced, by their paths in lower case.
#[derive(Default)]
pub(in crate::commands::cp) struct Known(HashSet<String>);

impl Known {
    /// Adds a file that is read.
    pub(in crate::commands::cp) fn add(&mut self, path: &Path) -> io::Result<()> {
        self.0.insert(key(&path.canonicalize()?));
        Ok(())
    }
}

fn key(path: &Path) -> String {
    path.to_string_lossy().to_lowercase()
}

/// A folder of the host.
pub(in crate::commands::cp) struct Folder(PathBuf);

impl Folder {
    /// Opens a folder that the user has named. Links in this path are followed.
    pub(in crate::commands::cp) fn open(path: &Path) -> io::Result<Self> {
        let path = listable(path).canonicalize()?;
        if path.is_dir() { Ok(Self(path)) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    /// Makes a folder in this one, or opens it if it exists and is no link.
    pub(in crate::commands::cp) fn folder(&self, name: &OsStr, _: Option<u32>) -> io::Result<Self> {
        let path = self.0.join(name);
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        match path.symlink_metadata()?.is_dir() {
            true => Ok(Self(path)),
            false => Err(is_no_folder()),
        }
    }

    /// Begins a file in this folder.
    pub(in crate::commands::cp) fn new_file(
        &self,
        name: &OsStr,
        making: Making,
        known: &Known,
    ) -> io::Result<NewFile<'_>> {
        let path = self.0.join(name);
        match path.symlink_metadata() {
            Ok(found) if !found.is_file() => return Err(is_no_file()),
            Ok(_) if known.0.contains(&key(&path)) => return Err(is_known()),
            Ok(_) if !making.replace => return Err(exists()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let temporary = Builder::new().prefix(&prefix(name)).suffix(".part").tempfile_in(&self.0)?;
        let file = temporary.reopen()?;
        Ok(NewFile { path, temporary, file, making, folder: std::marker::PhantomData })
    }

    /// Sets when the folder was last changed: not on Windows.
    pub(in crate::commands::cp) fn set_modified(&self, _: SystemTime) -> io::Result<()> {
        Ok(())
    }

    /// Makes the files in this folder durable: each file already is.
    pub(in crate::commands::cp) fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that gets its name when it is complete. It is deleted if it is dropped before.
pub(in crate::commands::cp) struct NewFile<'f> {
    path: PathBuf,
    temporary: NamedTempFile,
    pub(in crate::commands::cp) file: File,
    making: Making,
    folder: std::marker::PhantomData<&'f Folder>,
}

impl NewFile<'_> {
    /// Gives the file its name.
    pub(in crate::commands::cp) fn finish(self, finishing: Finishing, known: &mut Known) -> io::Result<()> {
        if let Some(time) = finishing.modified {
            self.file.set_times(FileTimes::new().set_modified(time))?;
        }
        if finishing.sync {
            self.file.sync_all()?;
        }
        drop(self.file);
        match self.making.replace {
            true => self.temporary.persist(&self.path),
            false => self.temporary.persist_noclobber(&self.path),
        }
        .map_err(|failed| failed.error)?;
        known.0.insert(key(&self.path));
        Ok(())
    }
}
