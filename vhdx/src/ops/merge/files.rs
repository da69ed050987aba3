//! Where a merge finds the files of its plan.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::FileState;
use crate::error::{Error, InvalidArgument, Result};
use crate::family::{Relatives, find_relatives};
use crate::progress::NoProgress;
use crate::storage::{
    FileIdentity, FileStorage, Storage, allocated_bytes, delete, free_space, overwrites_in_place,
};

/// A file that is open for writing.
#[derive(Clone)]
pub struct OpenFile {
    /// Its bytes.
    pub storage: Arc<dyn Storage>,
    /// Which file it is, whatever it is called, if files have identities where it is.
    pub identity: Option<FileIdentity>,
}

/// The files that a plan names.
pub trait MergeFiles {
    /// Opens a file for writing and keeps everybody else from it until it is dropped.
    ///
    /// # Errors
    /// Those of the host: the file is not there, read-only, in use.
    fn open(&self, path: &Path) -> Result<OpenFile>;

    /// Deletes a file for good, if it still is the one that is meant.
    ///
    /// # Errors
    /// Those of the host; [`InvalidArgument::StalePlan`] when another file has taken its name.
    fn delete(&self, file: &FileState) -> Result<()>;

    /// The disks that lie in some folders now.
    ///
    /// # Errors
    /// Those of the host.
    fn relatives(&self, folders: &[PathBuf]) -> Result<Relatives>;

    /// How many bytes of a file the host has set no space aside for, where a file that becomes longer takes none until it is
    /// written to; `None` elsewhere, and if the host does not say.
    ///
    /// # Errors
    /// Those of the host.
    fn holes(&self, path: &Path) -> Result<Option<u64>> {
        let _ = path;
        Ok(None)
    }

    /// Whether the host writes over the bytes of this file where they are. A file system that copies on write takes new space
    /// for them.
    ///
    /// # Errors
    /// Those of the host.
    fn overwrites_in_place(&self, path: &Path) -> Result<bool> {
        let _ = path;
        Ok(true)
    }

    /// How many bytes become free when a file is deleted, as far as the host can tell: 0 for one that has another name,
    /// and if the host does not say. What a snapshot or a reflinked copy keeps is not known.
    ///
    /// # Errors
    /// Those of the host.
    fn bytes_freed_by_deletion(&self, path: &Path) -> Result<u64> {
        let _ = path;
        Ok(0)
    }

    /// How many bytes a file may still take where this one is, if the host says so.
    ///
    /// # Errors
    /// Those of the host.
    fn free_space(&self, path: &Path) -> Result<Option<u64>> {
        let _ = path;
        Ok(None)
    }
}

/// The files of the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostFiles;

impl MergeFiles for HostFiles {
    fn open(&self, path: &Path) -> Result<OpenFile> {
        let file = FileStorage::open_exclusive(path)?;
        let identity = file.identity().map_err(|error| error.in_file(path))?;
        Ok(OpenFile { storage: Arc::new(file), identity: Some(identity) })
    }

    fn delete(&self, file: &FileState) -> Result<()> {
        let path = &file.path;
        let found = FileStorage::open(path)?.identity().map_err(|error| error.in_file(path))?;
        if file.identity.is_some_and(|identity| identity != found) {
            return Err(Error::from(InvalidArgument::StalePlan).in_file(path));
        }
        // A link to the file would leave the file, and be left itself.
        let attempt = || {
            let real = path.canonicalize()?;
            let is_link = path.symlink_metadata()?.is_symlink();
            delete(&real)?;
            if is_link { delete(path) } else { Ok(()) }
        };
        attempt().map_err(|e| Error::io("delete", None, e).in_file(path))
    }

    /// Files have holes on Windows only if they are sparse, and Hyper-V's are not.
    fn holes(&self, path: &Path) -> Result<Option<u64>> {
        if cfg!(windows) {
            return Ok(None);
        }
        let attempt = || Ok(path.metadata()?.len().saturating_sub(allocated_bytes(path)?));
        attempt().map(Some).map_err(|e| Error::io("look at it", None, e).in_file(path))
    }

    fn bytes_freed_by_deletion(&self, path: &Path) -> Result<u64> {
        let attempt = || if has_other_names(path)? { Ok(0) } else { allocated_bytes(path) };
        attempt().map_err(|e| Error::io("look at it", None, e).in_file(path))
    }

    fn relatives(&self, folders: &[PathBuf]) -> Result<Relatives> {
        find_relatives(folders, &NoProgress)
    }

    fn overwrites_in_place(&self, path: &Path) -> Result<bool> {
        overwrites_in_place(path).map_err(|e| Error::io("look at its file system", None, e).in_file(path))
    }

    fn free_space(&self, path: &Path) -> Result<Option<u64>> {
        // What a link leads to may lie on another file system.
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let folder = real.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        free_space(folder).map_err(|e| Error::io("look for free space", None, e).in_file(path))
    }
}

#[cfg(unix)]
fn has_other_names(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(path.metadata()?.nlink() > 1)
}

#[cfg(windows)]
fn has_other_names(path: &Path) -> io::Result<bool> {
    Ok(winapi_util::file::information(std::fs::File::open(path)?)?.number_of_links() > 1)
}
