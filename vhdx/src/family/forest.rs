//! Finds all disks in folders and their subfolders, and links them by the GUIDs in the files, not by names.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use uuid::Uuid;

use super::others::OtherFile;
use super::problem::Problem;
use super::{link, paths, scan, substitutes};
use crate::disk::mark::Linkages;
use crate::error::{Error, Result};
use crate::file::DiskType;
use crate::progress::Progress;
use crate::storage::FileIdentity;
use crate::windows_path::StoredPath;

/// All disks that were found, with the links between them, and the problems.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Forest {
    /// The disks, sorted by path. `parent` and `children` are indices into this list.
    pub disks: Vec<DiscoveredDisk>,
    /// The problems of paths that are not readable disks, sorted by path.
    ///
    /// Examples are damaged files and folders that cannot be read.
    pub problems: Vec<Problem>,
    /// The number of regular files that have neither the name nor a signature of a VHDX.
    pub others: usize,
    /// The files of a known kind among these, sorted by path.
    pub other_files: Vec<OtherFile>,
}

impl Forest {
    /// Returns the indices of the disks at the roots of the trees.
    ///
    /// These are the disks that need no parent, or that are not linked to one.
    pub fn roots(&self) -> impl Iterator<Item = usize> {
        (0..).zip(&self.disks).filter(|(_, disk)| disk.parent.is_none()).map(|(i, _)| i)
    }

    /// Returns the indices of the disks that need a parent, but are not linked to one.
    pub fn orphans(&self) -> impl Iterator<Item = usize> {
        self.roots().filter(|&i| self.disks[i].link != DiskLink::Base)
    }

    /// Returns all problems, sorted by path, with those of the disks.
    pub fn all_problems(&self) -> Vec<&Problem> {
        let of_disks = self.disks.iter().flat_map(|disk| &disk.problems);
        let mut problems: Vec<&Problem> = of_disks.chain(&self.problems).collect();
        problems.sort_by_key(|problem| problem.path());
        problems
    }
}

/// A disk of a [`Forest`]. All sizes are in bytes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DiscoveredDisk {
    /// The path at which the file was found first.
    pub path: PathBuf,
    /// How the file stores its disk.
    pub disk_type: DiskType,
    /// The size of the disk.
    pub virtual_size: u64,
    /// The size of a payload block.
    pub block_size: u64,
    /// The logical sector size.
    pub logical_sector_size: u32,
    /// The length of the file.
    pub file_size: u64,
    /// The space that the file takes on the host's file system, if known.
    pub allocated: Option<u64>,
    /// Identifies the content ([MS-VHDX] 2.2.2).
    pub data_write_guid: Uuid,
    /// Identifies the file: only exact copies share it ([MS-VHDX] 2.2.2).
    pub file_write_guid: Uuid,
    /// Identifies the disk. Usually all files of a family have the same one ([MS-VHDX] 2.6.2.3).
    pub virtual_disk_id: Option<Uuid>,
    /// When the file was last changed, if known.
    pub modified: Option<SystemTime>,
    /// Whether the log must be replayed. It was replayed in memory before these facts were read.
    pub dirty_log: bool,
    /// The DataWriteGuids of which the parent must have one.
    ///
    /// It is empty for a base and for a zero linkage.
    pub linkages: Vec<Uuid>,
    /// The stored paths to the parent.
    pub stored_paths: Vec<StoredPath>,
    /// The index of the parent, if it was found.
    pub parent: Option<usize>,
    /// The state of the link to the parent.
    pub link: DiskLink,
    /// The indices of the children, in ascending order.
    pub children: Vec<usize>,
    /// The problems of the file and of its link.
    pub problems: Vec<Problem>,
    pub(super) identity: Option<FileIdentity>,
    /// The linkages as stored, which say whether the file took part in a merge.
    pub(super) merge_linkages: Linkages,
    pub(super) created: Option<SystemTime>,
}

impl DiscoveredDisk {
    /// Returns whether this layer opens only as an ancestor of the merged disk.
    ///
    /// It is then a layer of a merge of several levels.
    pub fn requires_mark(&self) -> bool {
        self.merge_linkages.required_mark().is_some()
    }
}

/// The state of the link from a disk of a [`Forest`] to its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiskLink {
    /// The disk needs no parent.
    Base,
    /// The parent was found.
    Ok,
    /// No file that was found has a DataWriteGuid that the parent must have.
    Missing,
    /// Several files have the DataWriteGuid of the parent.
    ///
    /// No stored path leads to one of them, and they are not proven to be copies. They are copies if all bytes are the
    /// same. Files longer than 1 GiB are not compared.
    Ambiguous,
    /// By their GUIDs, the disk and its ancestors form a cycle.
    Cycle,
}

impl DiskLink {
    /// Returns the name in reports: `base`, `ok`, `missing`, `ambiguous` or `cycle`.
    pub const fn name(self) -> &'static str {
        match self {
            DiskLink::Base => "base",
            DiskLink::Ok => "ok",
            DiskLink::Missing => "missing",
            DiskLink::Ambiguous => "ambiguous",
            DiskLink::Cycle => "cycle",
        }
    }
}

/// The result of [`find_disks`]: the files in folders that are or may be disks.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct FoundDisks {
    /// The files with the content of a VHDX, even a damaged one, or its name, sorted by path.
    pub files: Vec<PathBuf>,
    /// The folders and files that cannot be read, sorted by path.
    ///
    /// Disks may be missing from `files` because of them.
    pub unreadable: Vec<(PathBuf, Arc<Error>)>,
}

/// Finds the files in a folder and its subfolders that are or may be disks.
///
/// These are the files that [`discover`] returns as disks or reports because of their content or name. They are not
/// linked to each other.
///
/// # Errors
/// [`Error::Cancelled`] if `progress` asks for it.
pub fn find_disks(folder: &Path, progress: &dyn Progress) -> Result<FoundDisks> {
    let mut files = Vec::new();
    let met = scan::walk(&[folder.to_owned()], usize::MAX, progress, |path, _| files.push(path.to_owned()))?;
    let mut found = FoundDisks { files, unreadable: Vec::new() };
    for problem in met.problems {
        match problem {
            Problem::Unreadable { path, error } => found.unreadable.push((path, error)),
            problem => found.files.push(problem.path().to_owned()),
        }
    }
    found.files.sort();
    Ok(found)
}

/// Finds all VHDX files in folders and subfolders, and links them by DataWriteGuid.
///
/// Names do not matter. A root may also be a file. Links to folders are not followed. Several names of one file are one
/// disk. No file stays open, and none is changed. A file or folder that cannot be read is a [`Problem`], not an error.
///
/// # Errors
/// [`Error::Cancelled`](crate::Error::Cancelled) if `progress` asks for it.
///
/// # Examples
/// ```no_run
/// use vhdx::{NoProgress, discover};
///
/// # fn main() -> vhdx::Result<()> {
/// let forest = discover(&["/backup/vms".into()], &NoProgress)?;
/// for disk in &forest.disks {
///     let parent = disk.parent.map(|i| &forest.disks[i].path);
///     println!("{:?} ({}): parent {parent:?}", disk.path, disk.disk_type);
/// }
/// for problem in forest.all_problems() {
///     println!("{:?}: {problem}; {:?}", problem.path(), problem.remedy());
/// }
/// # Ok(())
/// # }
/// ```
pub fn discover(roots: &[PathBuf], progress: &dyn Progress) -> Result<Forest> {
    let mut forest = scan::scan(roots, progress)?;
    let paths = paths::Paths::default();
    link::link(&mut forest.disks, &paths, progress)?;
    link::check_links(&mut forest.disks, &paths);
    substitutes::explain_lost(&mut forest.disks, &paths, progress)?;
    Ok(forest)
}
