//! Access to the files of a merge plan.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::FileState;
use crate::error::{Conflict, Error, Result};
use crate::family::{Relatives, find_relatives};
use crate::progress::NoProgress;
use crate::storage::{
    FileIdentity, FileStorage, Storage, allocated_bytes, delete, folder_of, free_space, overwrites_in_place,
};

/// A file that is open for writing.
#[derive(Clone)]
pub struct OpenFile {
    /// Its bytes.
    pub storage: Arc<dyn Storage>,
    /// The identity of the file, whatever its name, if files have identities there.
    pub identity: Option<FileIdentity>,
}

/// Access to the files that a plan names.
pub trait MergeFiles {
    /// Opens a file for writing and keeps everybody else from it until it is dropped.
    ///
    /// # Errors
    /// Those of the host: the file is missing, read-only, or in use.
    fn open(&self, path: &Path) -> Result<OpenFile>;

    /// Deletes a file durably, if it still is the planned one.
    ///
    /// # Errors
    /// Those of the host; [`Conflict::StalePlan`] if another file has taken its name.
    fn delete(&self, file: &FileState) -> Result<()>;

    /// Returns the disks that lie in some folders now.
    ///
    /// # Errors
    /// Those of the host.
    fn relatives(&self, folders: &[PathBuf]) -> Result<Relatives>;

    /// Returns how many bytes of a file have no space allocated on the host.
    ///
    /// `None` if the host does not say, or if extending a file takes space at once.
    ///
    /// # Errors
    /// Those of the host.
    fn holes(&self, path: &Path) -> Result<Option<u64>> {
        let _ = path;
        Ok(None)
    }

    /// Returns whether the host overwrites the bytes of this file in place.
    ///
    /// A file system that copies on write takes new space for them.
    ///
    /// # Errors
    /// Those of the host.
    fn overwrites_in_place(&self, path: &Path) -> Result<bool> {
        let _ = path;
        Ok(true)
    }

    /// Returns how many bytes become free when a file is deleted, as far as the host knows.
    ///
    /// 0 if the file has another name, or if the host does not say. Space that a snapshot or a reflinked copy keeps is
    /// not known.
    ///
    /// # Errors
    /// Those of the host.
    fn bytes_freed_by_deletion(&self, path: &Path) -> Result<u64> {
        let _ = path;
        Ok(0)
    }

    /// Returns how many bytes a file can still take on the file system of this one.
    ///
    /// `None` if the host does not say.
    ///
    /// # Errors
    /// Those of the host.
    fn free_space(&self, path: &Path) -> Result<Option<u64>> {
        let _ = path;
        Ok(None)
    }
}

/// The files of the host's file systems.
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
            return Err(Error::from(Conflict::StalePlan).in_file(path));
        }
        // If the path is a symbolic link, both the file and the link are deleted.
        let attempt = || {
            let real = path.canonicalize()?;
            let is_link = path.symlink_metadata()?.is_symlink();
            delete(&real)?;
            if is_link { delete(path) } else { Ok(()) }
        };
        attempt().map_err(|e| Error::io("delete", None, e).in_file(path))
    }

    /// Only sparse files have holes on Windows, and those of Hyper-V are not sparse.
    fn holes(&self, path: &Path) -> Result<Option<u64>> {
        if cfg!(windows) {
            return Ok(None);
        }
        // A file without holes may have more space than it is long.
        let attempt = || Ok(path.metadata()?.len().saturating_sub(allocated_bytes(path)?));
        attempt().map(Some).map_err(|e| Error::io("determine its allocated size", None, e).in_file(path))
    }

    fn bytes_freed_by_deletion(&self, path: &Path) -> Result<u64> {
        let attempt = || if has_other_names(path)? { Ok(0) } else { allocated_bytes(path) };
        attempt().map_err(|e| Error::io("determine its allocated size", None, e).in_file(path))
    }

    fn relatives(&self, folders: &[PathBuf]) -> Result<Relatives> {
        find_relatives(folders, &NoProgress)
    }

    fn overwrites_in_place(&self, path: &Path) -> Result<bool> {
        overwrites_in_place(path).map_err(|e| Error::io("determine its file system", None, e).in_file(path))
    }

    fn free_space(&self, path: &Path) -> Result<Option<u64>> {
        // The file behind a symbolic link may lie on another file system. A bare name lies in the working folder.
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        free_space(folder_of(&real)).map_err(|e| Error::io("determine the free space", None, e).in_file(path))
    }
}

#[cfg(unix)]
pub(in crate::ops) fn has_other_names(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(path.metadata()?.nlink() > 1)
}

#[cfg(windows)]
pub(in crate::ops) fn has_other_names(path: &Path) -> io::Result<bool> {
    Ok(winapi_util::file::information(std::fs::File::open(path)?)?.number_of_links() > 1)
}
