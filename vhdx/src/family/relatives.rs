//! Which disks lie in some folders, and which parents they name: children that nothing in their parent tells of.

mod left_over_disks;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use uuid::Uuid;

pub use left_over_disks::LeftOverDisks;

use super::problem::Problem;
use super::scan::{self, has_disk_name};
use crate::disk::lookup;
use crate::disk::mark::Linkages;
use crate::error::{ChainError, Error, Result, Undetermined};
use crate::file::{DiskType, Vhdx};
use crate::format::parent_locator::ParentLocator;
use crate::progress::Progress;
use crate::storage::{FileFormat, FileIdentity};
use crate::violation::Violation;

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
    /// The broken rule for which the locator may lack the GUID of another parent: the disk may depend on any other.
    pub lost_linkage: Option<Violation>,
    /// How many bytes of space it takes at most to give it another parent locator.
    pub(crate) bytes_of_locator: u64,
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
            lost_linkage: vhdx.lost_linkage().cloned(),
            bytes_of_locator: vhdx.bytes_of_locator(),
        }
    }

    pub(crate) fn linkages(&self) -> Linkages {
        Linkages { first: self.linkage, second: self.linkage2 }
    }

    /// Whether a merge of several levels has left this layer: it is read only below a disk that carries its mark.
    pub fn requires_mark(&self) -> bool {
        self.linkages().required_mark().is_some()
    }

    /// Whether this disk carries the mark that a layer requires.
    pub fn carries_mark_for(&self, layer: &Relative) -> bool {
        let mark = self.linkages().carried_mark();
        layer.linkages().required_mark().is_some_and(|required| mark.is_some_and(|mark| required.is(mark)))
    }

    /// Whether it would take a file with this DataWriteGuid for its parent: by either linkage. A zero linkage matches
    /// nothing.
    pub fn is_child_of(&self, data_write_guid: Uuid) -> bool {
        !data_write_guid.is_nil() && [self.linkage, self.linkage2].contains(&Some(data_write_guid))
    }

    /// Whether both are the same file. Without identities, paths that are spelled the same are.
    pub fn is_same_file(&self, other: &Relative) -> bool {
        match (self.identity, other.identity) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => self.path == other.path,
        }
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
    /// What could not be judged: folders that cannot be listed, files that cannot be read or are damaged, links that
    /// are called like a disk and lead nowhere. Empty files and those of macOS (`._`) are no disks.
    pub undetermined: Vec<Undetermined>,
    /// The files that are called like a VHDX, but are of another format: they are children of nothing.
    pub other_formats: Vec<OtherFormat>,
}

/// A file that is called like a VHDX, but is of another format.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtherFormat {
    /// The file.
    pub path: PathBuf,
    /// What its content is.
    pub format: FileFormat,
}

/// A disk that may have another parent than those that its locator names.
fn of_lost_linkage(disk: &Relative) -> Option<Undetermined> {
    let error = Error::from(disk.lost_linkage.clone()?).in_file(&disk.path);
    Some(Undetermined { path: disk.path.clone(), error: Arc::new(error), may_be_disk: true })
}

/// The problem as a file that may depend on what a merge changes.
fn to_undetermined(problem: Problem) -> Option<Undetermined> {
    // Whatever is called or begins otherwise is not looked into.
    let is_damaged = matches!(problem, Problem::Damaged { .. });
    let (path, error) = match problem {
        Problem::Damaged { path, error } | Problem::Unreadable { path, error } => (path, error),
        // Its disk may come back with the medium on which it lies.
        Problem::NotARegularFile { path } => match path.metadata() {
            Err(error) => (path.clone(), Arc::new(Error::io("open", None, error).in_file(&path))),
            Ok(_) => return None,
        },
        _ => return None,
    };
    if is_apple_double(&path) || is_empty(&path) || has_vanished(&path, &error) {
        return None;
    }
    let is_file = || path.metadata().is_ok_and(|metadata| metadata.is_file());
    let is_other = !is_damaged && is_file() && !has_disk_name(&path);
    // The folder of a Windows host holds the disks of all its machines, and those of the running ones are opened for
    // them alone. Hyper-V keeps the parents of a running disk open, too: a merge, which has all its files for itself
    // alone before it writes, changes none that a running one needs.
    let is_in_use = reason_not_open(&error) == Some(io::ErrorKind::ResourceBusy);
    Some(Undetermined { may_be_disk: !is_other && !is_in_use, path, error })
}

/// Why a file could not be opened, if that is what failed.
fn reason_not_open(error: &Error) -> Option<io::ErrorKind> {
    match error {
        Error::InFile { error, .. } => reason_not_open(error),
        Error::Io { operation: "open", source, .. } => Some(source.kind()),
        _ => None,
    }
}

/// What macOS keeps of a file beside it, where the file system has no place for it.
fn is_apple_double(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"._"))
}

fn is_empty(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
}

/// Deleted since its folder was listed. A link that leads nowhere is still there, and so may its disk be.
fn has_vanished(path: &Path, error: &Error) -> bool {
    let is_not_found = |kind| kind == io::ErrorKind::NotFound;
    let is_gone = || path.symlink_metadata().is_err_and(|error| is_not_found(error.kind()));
    reason_not_open(error).is_some_and(is_not_found) && is_gone()
}

impl Relatives {
    /// Refuses to change or to delete what `child` is made of while something may be a disk that needs it, and cannot
    /// be judged. The child itself is in nobody's way.
    ///
    /// # Errors
    /// [`ChainError::UndeterminedFiles`].
    pub fn ensure_all_determined(&self, child: &Path) -> Result<()> {
        let real_child = child.canonicalize().ok();
        let is_other =
            |path: &Path| path != child && (real_child.is_none() || path.canonicalize().ok() != real_child);
        let in_the_way = self.undetermined.iter().filter(|file| file.may_be_disk && is_other(&file.path));
        let undetermined: Vec<Undetermined> = in_the_way.cloned().collect();
        match undetermined.is_empty() {
            true => Ok(()),
            false => Err(ChainError::UndeterminedFiles { child: child.to_owned(), undetermined }.into()),
        }
    }

    /// The disks that would take a file with this DataWriteGuid for their parent.
    pub fn children_of(&self, data_write_guid: Uuid) -> impl Iterator<Item = &Relative> {
        self.disks.iter().filter(move |disk| disk.is_child_of(data_write_guid))
    }

    /// Finds out which of these disks a completed merge has left over.
    pub fn left_overs(&self) -> LeftOverDisks<'_> {
        LeftOverDisks::new(&self.disks)
    }

    /// The disks that stand on a file with this DataWriteGuid, directly or on others that do; its children first.
    pub fn standing_on(&self, data_write_guid: Uuid) -> Vec<&Relative> {
        let mut guids = HashSet::from([data_write_guid]);
        let mut found: Vec<&Relative> = self.children_of(data_write_guid).collect();
        let mut next = 0;
        while let Some(guid) = found.get(next).map(|disk| disk.data_write_guid) {
            if guids.insert(guid) {
                found.extend(self.children_of(guid));
            }
            next += 1;
        }
        let mut seen = HashSet::new();
        found.retain(|disk| seen.insert(std::ptr::from_ref(*disk)));
        found
    }
}

/// Every VHDX file that lies directly in one of the folders, whatever it is called; several names of one file are one
/// disk. No file stays open, and none is changed.
///
/// # Errors
/// [`Error::Cancelled`] if `progress` asks for it. What cannot be read is in [`Relatives::undetermined`].
pub fn find_relatives(folders: &[PathBuf], progress: &dyn Progress) -> Result<Relatives> {
    let mut seen = HashSet::new();
    let is_new = |folder: &&PathBuf| seen.insert(folder.canonicalize().unwrap_or_else(|_| (*folder).clone()));
    let folders: Vec<PathBuf> = folders.iter().filter(is_new).cloned().collect();
    let mut disks = Vec::new();
    let met = scan::walk(&folders, 1, progress, |path, vhdx| disks.push(Relative::of(path, vhdx)))?;
    disks.sort_by(|a, b| a.path.cmp(&b.path));
    let undetermined = disks.iter().filter_map(of_lost_linkage).collect();
    let mut relatives = Relatives { folders, disks, undetermined, ..Relatives::default() };
    for problem in met.problems {
        match problem {
            Problem::OtherFormat { path, format } => {
                relatives.other_formats.push(OtherFormat { path, format })
            }
            problem => relatives.undetermined.extend(to_undetermined(problem)),
        }
    }
    Ok(relatives)
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
