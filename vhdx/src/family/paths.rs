//! Finds the files to which the stored paths of a disk lead, by the rules of [`FolderResolver`](crate::FolderResolver)
//! for the disk's own folder.

use std::path::{Path, PathBuf};

use super::facts::FileFacts;
use crate::disk::folders::FolderIndex;
use crate::disk::{lookup, routes};
use crate::storage::{FileIdentity, FileStorage};

/// A cache of folder listings, because thousands of disks may need the same one.
#[derive(Default)]
pub(super) struct Paths(FolderIndex);

impl Paths {
    /// Returns the regular files to which the stored paths of a disk lead.
    pub(super) fn files(&self, disk: &FileFacts) -> impl Iterator<Item = (PathBuf, FileIdentity)> + use<> {
        let own = lookup::folders_of(&disk.path);
        let routes = routes::routes(&disk.stored_paths, &own, &own);
        let identified = |(path, _): (PathBuf, _)| identity(&path).map(|identity| (path, identity));
        lookup::find(routes, self.0.clone()).filter_map(identified)
    }
}

/// Returns the regular files exactly at the stored relative path of a disk.
pub(super) fn in_place(disk: &FileFacts) -> impl Iterator<Item = FileIdentity> + use<> {
    let own = lookup::folders_of(&disk.path);
    lookup::in_place(&disk.stored_paths, &own).into_iter().filter_map(|path| identity(&path))
}

fn identity(path: &Path) -> Option<FileIdentity> {
    FileStorage::open(path).and_then(|file| file.identity()).ok()
}
