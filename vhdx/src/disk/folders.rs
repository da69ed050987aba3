//! Indexes folders: the names in them, and the DataWriteGuids of the disks directly in them.
//!
//! Each folder is listed once, and each file in it is opened once, for any number of parents.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::routes::Route;
use crate::error::{Error, Result};
use crate::file::read_data_write_guid;
use crate::storage::{FileStorage, ReadAt};
use crate::windows_path::fold_name;

/// The maximum number of spellings of a route that are followed.
///
/// Links to folders could multiply them without limit.
pub(super) const MAX_SPELLINGS: usize = 64;

/// A cache of folder contents for the search for parents.
///
/// Clones share the content. A folder is not read again, even if it has changed.
#[derive(Clone, Debug, Default)]
pub struct FolderIndex(Arc<Mutex<Index>>);

#[derive(Debug, Default)]
struct Index {
    listings: HashMap<PathBuf, Listing>,
    /// The disks, by the real path of their folder.
    disks: HashMap<PathBuf, Arc<DisksInFolder>>,
}

/// The entries of a folder.
#[derive(Debug, Default)]
struct Listing {
    /// All names, by their [folded](fold_name) form, which ignores case.
    names: HashMap<String, Vec<OsString>>,
    /// The regular files, sorted. Links are left out, because they may lead out of the folder.
    files: Vec<OsString>,
    /// Whether the folder could not be listed completely.
    is_unreadable: bool,
}

/// The disks directly in a folder, as their headers identify them.
#[derive(Debug, Default)]
pub(super) struct DisksInFolder {
    by_guid: HashMap<Uuid, Vec<OsString>>,
    /// The files that cannot be read, or whose headers are damaged.
    unreadable: Vec<OsString>,
    /// Whether the folder could not be listed completely.
    is_unreadable: bool,
}

impl DisksInFolder {
    /// Returns the names of the files with this DataWriteGuid, sorted.
    pub(super) fn with_guid(&self, guid: &Uuid) -> &[OsString] {
        self.by_guid.get(guid).map_or(&[], Vec::as_slice)
    }

    /// Returns the paths in `folder` that could not be read: files, and the folder itself.
    pub(super) fn unreadable(&self, folder: &Path) -> impl Iterator<Item = PathBuf> {
        let itself = self.is_unreadable.then(|| folder.to_owned());
        itself.into_iter().chain(self.unreadable.iter().map(|name| folder.join(name)))
    }
}

impl FolderIndex {
    /// Returns all existing paths that match a [`Route`], whatever their letter case and Unicode composition.
    pub(super) fn spellings(&self, route: &Route) -> Vec<PathBuf> {
        let mut index = self.lock();
        let mut paths = vec![route.folder().to_owned()];
        for name in route.names() {
            let folded = fold_name(name);
            let mut next = Vec::new();
            for folder in &paths {
                let found = index.listing(folder).names.get(&folded);
                next.extend(found.into_iter().flatten().map(|name| folder.join(name)));
            }
            next.truncate(MAX_SPELLINGS);
            paths = next;
        }
        paths
    }

    /// Returns the disks directly in a folder. Links are not followed, and only headers are read.
    pub(super) fn disks(&self, folder: &Path) -> Arc<DisksInFolder> {
        let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let mut index = self.lock();
        if let Some(disks) = index.disks.get(&real) {
            return Arc::clone(disks);
        }
        let disks = Arc::new(index.listing(folder).disks(folder, &|path| FileStorage::open(path)));
        index.disks.insert(real, Arc::clone(&disks));
        disks
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn listing(&mut self, folder: &Path) -> &Listing {
        self.listings.entry(folder.to_owned()).or_insert_with(|| Listing::of(folder))
    }
}

impl Listing {
    /// Lists a folder. If that fails, the listing is incomplete or empty, and only exact names of files lead to them.
    fn of(folder: &Path) -> Self {
        let mut listing = Self::default();
        let entries = folder.read_dir();
        listing.is_unreadable = entries.as_ref().is_err_and(|error| error.kind() != ErrorKind::NotFound);
        for entry in entries.into_iter().flatten() {
            let Ok(entry) = entry else {
                listing.is_unreadable = true;
                continue;
            };
            if let Some(name) = entry.file_name().to_str() {
                listing.names.entry(fold_name(name)).or_default().push(entry.file_name());
            }
            if entry.file_type().is_ok_and(|file_type| file_type.is_file()) {
                listing.files.push(entry.file_name());
            }
        }
        listing.names.values_mut().for_each(|spellings| spellings.sort());
        listing.files.sort();
        listing
    }

    /// Reads the DataWriteGuids of all files.
    ///
    /// Each file is opened once. It takes one small read, and two more for a VHDX.
    fn disks<S: ReadAt>(&self, folder: &Path, open: &dyn Fn(&Path) -> Result<S>) -> DisksInFolder {
        let mut disks = DisksInFolder { is_unreadable: self.is_unreadable, ..DisksInFolder::default() };
        for name in &self.files {
            let read = open(&folder.join(name)).and_then(|file| read_data_write_guid(&file));
            match read {
                Ok(Some(guid)) if !guid.is_nil() => {
                    disks.by_guid.entry(guid).or_default().push(name.clone());
                }
                Ok(_) => {}
                // The file was removed or replaced by something else since the folder was listed.
                Err(error) if is_gone(&error) => {}
                Err(_) => disks.unreadable.push(name.clone()),
            }
        }
        disks
    }
}

fn is_gone(error: &Error) -> bool {
    match error {
        Error::InFile { error, .. } => is_gone(error),
        Error::Io { source, .. } => source.kind() == ErrorKind::NotFound,
        Error::InvalidArgument(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
