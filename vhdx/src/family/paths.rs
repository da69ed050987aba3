//! Finds the files to which the stored paths of a disk lead, by the rules of [`FolderResolver`](crate::FolderResolver)
//! for the disk's own folder.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::facts::FileFacts;
use super::forest::DiscoveredDisk;
use super::host_path::absolute;
use super::machine::names::machine_folder;
use super::problem::Problem;
use crate::disk::folders::FolderIndex;
use crate::disk::{lookup, routes};
use crate::storage::{FileIdentity, FileStorage, folder_of};
use crate::windows_path::{self, StoredPath};

/// A cache of folder listings, and of the disks that were found, because thousands of disks may need the same ones.
#[derive(Default)]
pub(super) struct Paths {
    listings: FolderIndex,
    /// The files that were opened, so that they need not be opened again. `None` for a file that is no readable disk.
    known: Rc<HashMap<PathBuf, Option<FileIdentity>>>,
}

impl Paths {
    /// `problems` are those of the files that could not be read as disks.
    pub(super) fn of(disks: &[DiscoveredDisk], problems: &[Problem]) -> Self {
        let disks = disks.iter().filter(|disk| disk.facts.identity.is_some());
        let disks = disks.map(|disk| (disk.facts.path.clone(), disk.facts.identity));
        let damaged = problems.iter().filter_map(|problem| match problem {
            Problem::Damaged { path, .. } | Problem::OtherFormat { path, .. } => Some((path.clone(), None)),
            _ => None,
        });
        Self { listings: FolderIndex::default(), known: Rc::new(disks.chain(damaged).collect()) }
    }

    /// Returns the regular files to which the stored paths of a disk lead, without those that are no readable disks.
    pub(super) fn files(&self, disk: &FileFacts) -> impl Iterator<Item = (PathBuf, FileIdentity)> + use<> {
        // Stored paths lead to files of the host, and so only from one of them.
        let own = if disk.identity.is_some() { lookup::folders_of(&disk.path) } else { Vec::new() };
        let routes = routes::routes(&disk.stored_paths, &own, &own);
        let known = Rc::clone(&self.known);
        let identified = move |(path, _): (PathBuf, _)| {
            let identity = known.get(&path).copied().unwrap_or_else(|| identity(&path))?;
            Some((path, identity))
        };
        lookup::find(routes, self.listings.clone()).filter_map(identified)
    }
}

/// Returns the regular files exactly at the stored relative path of a disk.
pub(super) fn in_place(disk: &FileFacts) -> impl Iterator<Item = FileIdentity> + use<> {
    let own = if disk.identity.is_some() { lookup::folders_of(&disk.path) } else { Vec::new() };
    lookup::in_place(&disk.stored_paths, &own).into_iter().filter_map(|path| identity(&path))
}

/// Returns the absolute path of a stored relative path without resolving links; `None` if the stored path is not
/// relative.
pub(super) fn relative_on_host(disk: &Path, stored: &StoredPath) -> Option<PathBuf> {
    let (up, names) = windows_path::relative(&stored.path)?;
    let mut path = absolute(folder_of(disk));
    for _ in 0..up {
        path.pop();
    }
    path.extend(names);
    Some(path)
}

/// Returns the absolute folder of the machine to which a file belongs.
pub(crate) fn machine_folder_on_host(path: &Path) -> Option<PathBuf> {
    machine_folder(&absolute(path)).map(Path::to_owned)
}

/// Returns the absolute folders of machines to which the stored relative paths of a parent lead.
pub(crate) fn parent_folders(disk: &FileFacts) -> Vec<PathBuf> {
    let stored = disk.stored_paths.iter().filter_map(|stored| relative_on_host(&disk.path, stored));
    stored.filter_map(|path| machine_folder(&path).map(Path::to_owned)).collect()
}

fn identity(path: &Path) -> Option<FileIdentity> {
    FileStorage::open(path).and_then(|file| file.identity()).ok()
}
