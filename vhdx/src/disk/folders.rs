//! What folders hold: the names in them, and the DataWriteGuids of the disks directly in them.
//!
//! Each folder is listed once and each file in it is opened once, however many parents are searched for.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::lookup::Route;
use crate::error::{Error, Result};
use crate::file::read_data_write_guid;
use crate::storage::{FileStorage, ReadAt};
use crate::windows_path::fold_name;

/// How many spellings of one route are followed. Links to folders could make them multiply without end.
pub(super) const MAX_SPELLINGS: usize = 64;

/// What was read of folders while parents were searched for. Clones share it. A folder that changes later is not read
/// again.
#[derive(Clone, Debug, Default)]
pub struct FolderIndex(Arc<Mutex<Index>>);

#[derive(Debug, Default)]
struct Index {
    listings: HashMap<PathBuf, Listing>,
    /// By the real path of the folder.
    disks: HashMap<PathBuf, Arc<DisksInFolder>>,
}

/// The entries of a folder.
#[derive(Debug, Default)]
struct Listing {
    /// All names, by their [folded](fold_name) form.
    names: HashMap<String, Vec<OsString>>,
    /// The regular files, sorted. A link is none: it may lead out of the folder.
    files: Vec<OsString>,
    /// Whether the folder cannot be listed, or not to its end.
    is_unreadable: bool,
}

/// The disks directly in a folder, by what their headers say.
#[derive(Debug, Default)]
pub(super) struct DisksInFolder {
    by_guid: HashMap<Uuid, Vec<OsString>>,
    /// The files that cannot be read, or whose headers are damaged.
    unreadable: Vec<OsString>,
    is_unreadable: bool,
}

impl DisksInFolder {
    /// The names of the files with this DataWriteGuid, sorted.
    pub(super) fn with_guid(&self, guid: &Uuid) -> &[OsString] {
        self.by_guid.get(guid).map(Vec::as_slice).unwrap_or_default()
    }

    /// What cannot be read, as paths in `folder`: files, and the folder itself.
    pub(super) fn unreadable(&self, folder: &Path) -> impl Iterator<Item = PathBuf> {
        let itself = self.is_unreadable.then(|| folder.to_owned());
        itself.into_iter().chain(self.unreadable.iter().map(|name| folder.join(name)))
    }
}

impl FolderIndex {
    /// Returns every existing path that a route leads to when spelling does not matter.
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
    /// A folder that cannot be listed has no entries here. Its files can still be found by their exact names.
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

    /// Opens every file once. A file that is no VHDX costs one small read, a VHDX two more.
    fn disks<S: ReadAt>(&self, folder: &Path, open: &dyn Fn(&Path) -> Result<S>) -> DisksInFolder {
        let mut disks = DisksInFolder { is_unreadable: self.is_unreadable, ..DisksInFolder::default() };
        for name in &self.files {
            let read = open(&folder.join(name)).and_then(|file| read_data_write_guid(&file));
            match read {
                Ok(Some(guid)) if !guid.is_nil() => {
                    disks.by_guid.entry(guid).or_default().push(name.clone());
                }
                Ok(_) => {}
                // A file that is gone, or that is another kind of file by now, is no candidate.
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
