//! Which disks lie in some folders, and which parents they name: children that nothing in their parent tells of.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use uuid::Uuid;

use super::discovery::scan;
use super::{Problem, lookup};
use crate::error::{Error, Result};
use crate::file::{DiskType, Vhdx};
use crate::format::parent_locator::ParentLocator;
use crate::progress::Progress;
use crate::storage::FileIdentity;

/// What a disk says of itself and of its parent. All sizes are in bytes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Relative {
    /// Where it was found first.
    pub path: PathBuf,
    /// Which file it is, whatever it is called.
    pub identity: Option<FileIdentity>,
    /// How the file stores its disk.
    pub disk_type: DiskType,
    /// The size of the disk.
    pub virtual_size: u64,
    /// The logical sector size.
    pub logical_sector_size: u32,
    /// Identifies the disk: usually the same in a whole family ([MS-VHDX] 2.6.2.3).
    pub virtual_disk_id: Option<Uuid>,
    /// Identifies the content ([MS-VHDX] 2.2.2).
    pub data_write_guid: Uuid,
    /// Identifies the file: only exact copies share it ([MS-VHDX] 2.2.2).
    pub file_write_guid: Uuid,
    /// The `parent_linkage` of a differencing disk, also if it is zero ([MS-VHDX] 2.6.2.6.3).
    pub linkage: Option<Uuid>,
    /// Its `parent_linkage2`, if there is one, also if it is zero.
    pub linkage2: Option<Uuid>,
    /// When the file was last changed, if the host says so.
    pub modified: Option<SystemTime>,
}

impl Relative {
    /// The facts about an open file, which may be called otherwise than it was opened.
    pub fn of(path: &Path, vhdx: &Vhdx) -> Self {
        let locator = vhdx.parent_locator();
        Self {
            path: path.to_owned(),
            identity: vhdx.identity(),
            disk_type: vhdx.disk_type(),
            virtual_size: vhdx.virtual_size(),
            logical_sector_size: vhdx.logical_sector_size(),
            virtual_disk_id: vhdx.virtual_disk_id(),
            data_write_guid: vhdx.data_write_guid(),
            file_write_guid: vhdx.file_write_guid(),
            linkage: locator.and_then(ParentLocator::parent_linkage),
            linkage2: locator.and_then(ParentLocator::parent_linkage2),
            modified: path.metadata().and_then(|metadata| metadata.modified()).ok(),
        }
    }

    /// Whether it would take a file with this DataWriteGuid for its parent: by either linkage. A zero linkage matches
    /// nothing.
    pub fn is_child_of(&self, data_write_guid: Uuid) -> bool {
        !data_write_guid.is_nil() && [self.linkage, self.linkage2].contains(&Some(data_write_guid))
    }
}

/// The disks in some folders.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Relatives {
    /// The folders that were looked into, each once.
    pub folders: Vec<PathBuf>,
    /// The disks, sorted by path.
    pub disks: Vec<Relative>,
    /// What could not be judged, and why: folders that cannot be listed, files that cannot be read or are damaged.
    pub unjudged: Vec<(PathBuf, Arc<Error>)>,
}

impl Relatives {
    /// The disks that would take a file with this DataWriteGuid for their parent.
    pub fn children_of(&self, data_write_guid: Uuid) -> impl Iterator<Item = &Relative> {
        self.disks.iter().filter(move |disk| disk.is_child_of(data_write_guid))
    }
}

/// Every VHDX file that lies directly in one of the folders, whatever it is called; several names of one file are one
/// disk. No file stays open, and none is changed.
///
/// # Errors
/// [`Error::Cancelled`] if `progress` asks for it. What cannot be read is in [`Relatives::unjudged`].
pub fn find_relatives(folders: &[PathBuf], progress: &dyn Progress) -> Result<Relatives> {
    let mut seen = HashSet::new();
    let is_new = |folder: &&PathBuf| seen.insert(folder.canonicalize().unwrap_or_else(|_| (*folder).clone()));
    let folders: Vec<PathBuf> = folders.iter().filter(is_new).cloned().collect();
    let mut disks = Vec::new();
    let met = scan::walk(&folders, 1, progress, |path, vhdx| disks.push(Relative::of(path, vhdx)))?;
    disks.sort_by(|a, b| a.path.cmp(&b.path));
    let unjudged = met.problems.into_iter().filter_map(|problem| match problem {
        Problem::Unreadable { path, error } | Problem::Damaged { path, error } => Some((path, error)),
        _ => None,
    });
    Ok(Relatives { folders, disks, unjudged: unjudged.collect() })
}

/// The folders of some files, and those in which they really are if they are behind links, and `more`: where to
/// [look for relatives](find_relatives).
pub fn folders_around<'a>(files: impl IntoIterator<Item = &'a Path>, more: &[PathBuf]) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = files.into_iter().flat_map(lookup::folders_of).collect();
    folders.extend_from_slice(more);
    folders
}

#[cfg(test)]
mod tests;
