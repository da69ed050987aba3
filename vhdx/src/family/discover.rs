//! Finds all disks in folders and their subfolders, and links them by the GUIDs in the files, not by names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::facts::FileFacts;
use super::forest::Forest;
use super::machine::join::join;
use super::machine::problem::MachineProblem;
use super::problem::Problem;
use super::prune_records::PruneRecords;
use super::pruned_parents::PrunedFiles;
use super::{link, paths, restored_targets, scan, stale_paths, substitutes};
use crate::error::{Error, Result};
use crate::file::Vhdx;
use crate::progress::Progress;

/// The result of [`find_disks`]: the files in folders that are or may be disks.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct FoundDisks {
    /// The files with the content of a VHDX, even a damaged one, or its name, sorted by path.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub files: Vec<PathBuf>,
    /// The folders and files that cannot be read, sorted by path.
    ///
    /// Disks may be missing from `files` because of them.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
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
    let met = scan::walk(&[folder.to_owned()], usize::MAX, progress, |path, _| path.to_owned())?;
    let mut found = FoundDisks { files: met.disks, unreadable: Vec::new() };
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
/// Configuration files of Hyper-V are joined to the disks that they name. If a root is a folder `Virtual Hard Disks`,
/// those in the folders that Hyper-V makes beside it are read too.
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
///     let parent = disk.parent.map(|i| &forest.disks[i].facts.path);
///     println!("{:?} ({}): parent {parent:?}", disk.facts.path, disk.facts.disk_type);
/// }
/// for problem in forest.all_problems() {
///     println!("{:?}: {problem}; {:?}", problem.path(), problem.remedy());
/// }
/// # Ok(())
/// # }
/// ```
pub fn discover(roots: &[PathBuf], progress: &dyn Progress) -> Result<Forest> {
    joined(scan::scan(roots, progress)?, progress)
}

/// Links disks that are not files of the host, as [`discover`] links those of folders.
///
/// Each disk has a path that names it, and is open or has the error of opening it. Stored paths and configurations of
/// Hyper-V are not followed: only GUIDs link these disks.
///
/// # Errors
/// [`Error::Cancelled`](crate::Error::Cancelled) if `progress` asks for it.
pub fn discover_opened(disks: Vec<(PathBuf, Result<Vhdx>)>, progress: &dyn Progress) -> Result<Forest> {
    joined(scan::opened(disks), progress)
}

/// Links the disks of a search, and joins them with the other files that were found.
fn joined(scanned: scan::Scanned, progress: &dyn Progress) -> Result<Forest> {
    let scan::Scanned { mut forest, others, records } = scanned;
    let paths = paths::Paths::of(&forest.disks, &forest.problems);
    link::link(&mut forest.disks, &paths, progress)?;
    link::check_links(&mut forest.disks, &paths);
    let unreadable: Vec<&Path> = forest.problems.iter().map(Problem::path).collect();
    let mut damaged = Vec::new();
    let files: Vec<&FileFacts> = forest.disks.iter().map(|disk| &disk.facts).collect();
    let records = PruneRecords::read(&records, &files, |path| damaged.push(path.to_owned()));
    let pruned = PrunedFiles::of(&records, &forest.disks);
    substitutes::explain_lost(&mut forest.disks, &forest.problems, &paths, &pruned, progress)?;
    restored_targets::explain(&mut forest.disks, &records);
    let joined = join(&others, &forest.disks, &unreadable, &records, progress)?;
    stale_paths::explain(&mut forest.disks, &joined.problems);
    let elsewhere = records.elsewhere().map(|found| {
        let (path, target) = (found.file(), found.path.clone());
        Problem::Machine(MachineProblem::RecordElsewhere { path, target })
    });
    forest.problems.extend(elsewhere);
    forest.records = records;
    forest.machines = joined.machines;
    forest.lone_checkpoints = joined.lone_checkpoints;
    let damaged = damaged.into_iter().map(|path| Problem::Machine(MachineProblem::DamagedRecord { path }));
    forest.problems.extend(damaged);
    forest.problems.extend(joined.problems.into_iter().map(Problem::Machine));
    forest.problems.sort_by(|a, b| a.path().cmp(b.path()));
    Ok(forest)
}
