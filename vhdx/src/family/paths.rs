//! Where the stored paths of a disk lead, by the rules of [`FolderResolver`](crate::FolderResolver) in the disk's own
//! folder.

use std::path::{Path, PathBuf};

use super::forest::DiscoveredDisk;
use crate::disk::folders::FolderIndex;
use crate::disk::lookup;
use crate::storage::{FileIdentity, FileStorage};

/// Remembers the folders that were listed, because thousands of disks may ask for the same one.
#[derive(Default)]
pub(super) struct Paths(FolderIndex);

impl Paths {
    /// The regular files that the stored paths of a disk lead to.
    pub(super) fn files(
        &self,
        disk: &DiscoveredDisk,
    ) -> impl Iterator<Item = (PathBuf, FileIdentity)> + use<> {
        let own = lookup::folders_of(&disk.path);
        let routes = lookup::routes(&disk.stored_paths, &own, &own);
        let identified = |(path, _): (PathBuf, _)| identity(&path).map(|identity| (path, identity));
        lookup::find(routes, self.0.clone()).filter_map(identified)
    }
}

/// The regular files that are exactly where a disk's relative path leads.
pub(super) fn in_place(disk: &DiscoveredDisk) -> impl Iterator<Item = FileIdentity> + use<> {
    let own = lookup::folders_of(&disk.path);
    lookup::in_place(&disk.stored_paths, &own).into_iter().filter_map(|path| identity(&path))
}

fn identity(path: &Path) -> Option<FileIdentity> {
    FileStorage::open(path).and_then(|file| file.identity()).ok()
}
