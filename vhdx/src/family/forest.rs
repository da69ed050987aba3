//! Whole families: every disk below some folders, linked by what the files say, not by what they are called.

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

/// Every disk that was found, sorted by path, and what was wrong on the way.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Forest {
    /// The disks, sorted by path. `parent` and `children` are indices into this list.
    pub disks: Vec<DiscoveredDisk>,
    /// Problems with what is not a readable disk, sorted by path: damaged files, folders that cannot be read.
    pub problems: Vec<Problem>,
    /// How many regular files are neither called like a VHDX nor have a signature of one.
    pub others: usize,
    /// Those of them that are of a known kind, sorted by path.
    pub other_files: Vec<OtherFile>,
}

impl Forest {
    /// The indices of the disks that no parent was found for, or that need none: where the trees are rooted.
    pub fn roots(&self) -> impl Iterator<Item = usize> {
        (0..).zip(&self.disks).filter(|(_, disk)| disk.parent.is_none()).map(|(i, _)| i)
    }

    /// The indices of the disks that need a parent, but were not linked to one.
    pub fn orphans(&self) -> impl Iterator<Item = usize> {
        self.roots().filter(|&i| self.disks[i].link != DiskLink::Base)
    }

    /// All problems, sorted by path: those of the disks, and the others.
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
    /// Where the file was found first.
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
    /// What the host's file system spends on the file, if it says so.
    pub allocated: Option<u64>,
    /// Identifies the content ([MS-VHDX] 2.2.2).
    pub data_write_guid: Uuid,
    /// Identifies the file: only exact copies share it ([MS-VHDX] 2.2.2).
    pub file_write_guid: Uuid,
    /// Identifies the disk: usually the same in a whole family ([MS-VHDX] 2.6.2.3).
    pub virtual_disk_id: Option<Uuid>,
    /// When the file was last changed.
    pub modified: Option<SystemTime>,
    /// Whether the log must be replayed. It was, in memory, to learn the facts here.
    pub dirty_log: bool,
    /// The DataWriteGuids of which the parent must have one.
    pub linkages: Vec<Uuid>,
    /// Where the file says that its parent is.
    pub stored_paths: Vec<StoredPath>,
    /// The disk's parent.
    pub parent: Option<usize>,
    /// Whether that parent is certain.
    pub link: DiskLink,
    /// The disks whose parent this is, in ascending order.
    pub children: Vec<usize>,
    /// What is wrong with the file or its link.
    pub problems: Vec<Problem>,
    pub(super) identity: Option<FileIdentity>,
    /// What its linkages say of merges.
    pub(super) merge_linkages: Linkages,
    pub(super) created: Option<SystemTime>,
}

impl DiscoveredDisk {
    /// Whether a merge of several levels has left this layer: it is read only below the merged disk.
    pub fn requires_mark(&self) -> bool {
        self.merge_linkages.required_mark().is_some()
    }
}

/// How a disk of a [`Forest`] is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiskLink {
    /// The disk needs no parent.
    Base,
    /// The parent is there.
    Ok,
    /// No file has the DataWriteGuid that the parent must have.
    Missing,
    /// Several files have it that are not proven to be copies of each other, and the stored paths do not say which is
    /// meant. A proof is that all bytes are the same; files above 1 GiB are not read for it.
    Ambiguous,
    /// The files with these GUIDs are ancestors of themselves.
    Cycle,
}

impl DiskLink {
    /// The name in reports: `base`, `ok`, `missing`, `ambiguous` or `cycle`.
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

/// The files below a folder that are disks, or may be: what [`find_disks`] finds.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct FoundDisks {
    /// Every file that is a VHDX by its content, even a damaged one, or is called like one, sorted by path.
    pub files: Vec<PathBuf>,
    /// The folders and files that cannot be read, sorted by path: disks may be missing from `files`.
    pub unreadable: Vec<(PathBuf, Arc<Error>)>,
}

/// Finds the files below a folder that [`discover`] would take for disks or report as damaged, and links nothing.
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

/// Finds every VHDX file below some folders, whatever it is called, and links children to parents by DataWriteGuid.
/// A root may also be a file. Links to folders are not followed; several names of one file are one disk.
///
/// No file stays open, and none is changed. What cannot be read is a [`Problem`], not an error.
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
///     println!("{:?}: {problem}; {}", problem.path(), problem.fix());
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
