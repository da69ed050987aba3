//! Finds all VHDX files in the roots and reads their facts. Each file is opened once and closed again.

use std::collections::{HashMap, HashSet};
use std::fs::FileType;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::facts::FileFacts;
use super::forest::{DiscoveredDisk, DiskLink, Forest};
use super::listing::unreadable;
use super::machine::beside::Beside;
use super::others::{self, JOURNAL_EXTENSION};
use super::problem::Problem;
use super::prune_record::RECORD_EXTENSION;
use crate::error::{Error, Result};
use crate::file::{DiskType, Vhdx};
use crate::parallel;
use crate::progress::Progress;
use crate::rules::Severity;
use crate::storage::{FileFormat, FileIdentity, FileStorage};
use crate::violation::Violations;
use crate::windows_path;

/// The extensions of files with Hyper-V's change tracking.
const TRACKING: [&str; 2] = ["rct", "mrt"];

/// Returns the disks in the roots and their subfolders, not yet linked.
///
/// # Errors
/// [`Error::Cancelled`] if `progress` asks for it.
pub(super) fn scan(roots: &[PathBuf], progress: &dyn Progress) -> Result<Scanned> {
    let Met { mut disks, mut problems, others, records, with_tracking } =
        walk(roots, usize::MAX, progress, unlinked)?;
    for disk in &mut disks {
        disk.problems.extend(side_file_problems(&disk.facts.path, &with_tracking));
    }
    disks.sort_by(|a, b| a.facts.path.cmp(&b.facts.path));
    let beside = Beside::of(roots, &others, &problems);
    problems.extend(beside.problems);
    problems.sort_by(|a, b| a.path().cmp(b.path()));
    let forest = Forest {
        disks,
        problems,
        others: others.len(),
        other_files: others::recognise(&others, progress)?,
        ..Forest::default()
    };
    Ok(Scanned { forest, others: [others, beside.configurations].concat(), records })
}

/// Returns disks that are not files of the host, not yet linked.
pub(super) fn opened(disks: Vec<(PathBuf, Result<Vhdx>)>) -> Scanned {
    let mut forest = Forest::default();
    for (path, disk) in disks {
        match disk {
            Ok(disk) => forest.disks.push(unlinked(&path, &disk)),
            Err(error) => forest.problems.push(not_opened(path, error)),
        }
    }
    forest.disks.sort_by(|a, b| a.facts.path.cmp(&b.facts.path));
    forest.problems.sort_by(|a, b| a.path().cmp(b.path()));
    Scanned { forest, others: Vec::new(), records: Vec::new() }
}

/// Returns the problem of a disk that was not opened.
fn not_opened(path: PathBuf, error: Error) -> Problem {
    match error.violation() {
        Some(_) => Problem::Damaged { path, error: error.into() },
        None => Problem::Unreadable { path, error: error.into() },
    }
}

/// The result of [`scan`].
pub(super) struct Scanned {
    pub(super) forest: Forest,
    /// The regular files that have neither the name nor a signature of a VHDX, and the configurations beside the roots.
    pub(super) others: Vec<PathBuf>,
    /// All names of files that are called like records or journals of prunes.
    pub(super) records: Vec<PathBuf>,
}

/// What a walk found.
pub(super) struct Met<T> {
    /// What `disk` returned for each readable disk.
    pub(super) disks: Vec<T>,
    /// The problems with paths that could not be read or are damaged, sorted by path.
    pub(super) problems: Vec<Problem>,
    /// The regular files that have neither the name nor a signature of a VHDX.
    others: Vec<PathBuf>,
    records: Vec<PathBuf>,
    /// The folders that may have files with Hyper-V's change tracking.
    with_tracking: HashSet<PathBuf>,
}

/// Calls `disk` for every VHDX file in the roots, down to a depth, in several threads.
///
/// Several names of one file are one file. A file directly in a root has the depth 1.
///
/// # Errors
/// [`Error::Cancelled`] if `progress` asks for it.
pub(super) fn walk<T: Send>(
    roots: &[PathBuf],
    depth: usize,
    progress: &dyn Progress,
    disk: impl Fn(&Path, &Vhdx) -> T + Sync,
) -> Result<Met<T>> {
    let mut list = List::default();
    let mut links = Vec::new();
    for root in roots {
        for entry in WalkDir::new(root).max_depth(depth).sort_by_file_name() {
            if progress.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if let Ok(entry) = &entry {
                list.look_for_tracking(entry);
            }
            match entry {
                Ok(entry) if entry.file_type().is_symlink() => links.push(entry.into_path()),
                Ok(entry) => list.entry(entry),
                Err(error) => list.report(unreadable(error, root)),
            }
        }
    }
    // Links are visited last, so that a file is reported under its own name rather than that of a link.
    for link in links {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        list.link(link);
    }
    let seen = parallel::each(&list.files, progress, |path| see(path, &disk))?;
    Ok(list.into_met(seen))
}

/// What the walk through the folders found, before any file is read.
#[derive(Default)]
struct List {
    /// The regular files, in the order in which they are reported.
    files: Vec<PathBuf>,
    problems: Vec<Problem>,
    /// The paths of reported problems. Several roots may contain the same path.
    others: HashSet<PathBuf>,
    /// The folders that may have files with change tracking.
    with_tracking: HashSet<PathBuf>,
}

impl List {
    /// Remembers a folder with a file that is named like one with change tracking. The folder of a root is not listed.
    fn look_for_tracking(&mut self, entry: &DirEntry) {
        let is_tracking = |extension: &std::ffi::OsStr| {
            TRACKING.iter().any(|tracking| extension.eq_ignore_ascii_case(tracking))
        };
        let path = entry.path();
        if entry.depth() == 0 || path.extension().is_some_and(is_tracking) {
            self.with_tracking.extend(path.parent().map(Path::to_owned));
        }
    }

    fn entry(&mut self, entry: DirEntry) {
        let file_type = entry.file_type();
        if !file_type.is_dir() {
            self.path(entry.into_path(), file_type);
        }
    }

    /// Handles a symbolic link. Links to folders are not followed.
    ///
    /// A broken link matters only if it is named like a disk.
    fn link(&mut self, path: PathBuf) {
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(metadata) => self.path(path, metadata.file_type()),
            Err(_) => self.not_regular(path),
        }
    }

    fn path(&mut self, path: PathBuf, file_type: FileType) {
        if file_type.is_file() { self.files.push(path) } else { self.not_regular(path) }
    }

    fn not_regular(&mut self, path: PathBuf) {
        if has_disk_name(&path) {
            self.report(Problem::NotARegularFile { path });
        }
    }

    fn report(&mut self, problem: Problem) {
        if self.others.insert(problem.path().to_owned()) {
            self.problems.push(problem);
        }
    }

    /// Joins the files with what was seen in each of them.
    fn into_met<T>(mut self, seen: Vec<Seen<T>>) -> Met<T> {
        let mut disks = Vec::new();
        // The regular files that have the name or a signature of a disk.
        let mut files: HashSet<FileIdentity> = HashSet::new();
        // All other regular files, each with the first of its names.
        let mut plain: HashMap<FileIdentity, PathBuf> = HashMap::new();
        // Each name of a record may be beside another disk.
        let mut records = Vec::new();
        for (path, seen) in std::mem::take(&mut self.files).into_iter().zip(seen) {
            match seen {
                Seen::Disk(identity, disk) => disks.extend(files.insert(identity).then_some(disk)),
                Seen::Unloadable(identity, problem) => {
                    if files.insert(identity) {
                        self.report(problem);
                    }
                }
                Seen::Unreadable(problem) => self.report(problem),
                Seen::Other(identity) => {
                    if is_record(&path) {
                        records.push(path.clone());
                    }
                    plain.entry(identity).or_insert(path);
                }
            }
        }
        // Several roots may contain the same path.
        records.sort();
        records.dedup();
        plain.retain(|identity, _| !files.contains(identity));
        let List { mut problems, with_tracking, .. } = self;
        problems.sort_by(|a, b| a.path().cmp(b.path()));
        Met { disks, others: plain.into_values().collect(), records, problems, with_tracking }
    }
}

/// What a regular file turned out to be.
enum Seen<T> {
    Disk(FileIdentity, T),
    /// It has the name or a signature of a disk, but cannot be loaded.
    Unloadable(FileIdentity, Problem),
    Unreadable(Problem),
    Other(FileIdentity),
}

fn see<T>(path: &Path, disk: impl Fn(&Path, &Vhdx) -> T) -> Seen<T> {
    let Sniffed { file, identity, is_signed } = match sniff(path) {
        Ok(sniffed) => sniffed,
        Err(error) => {
            return Seen::Unreadable(Problem::Unreadable { path: path.to_owned(), error: error.into() });
        }
    };
    if !is_signed && !has_disk_name(path) {
        return Seen::Other(identity);
    }
    match Vhdx::load_file(file, path, &mut Violations::new()) {
        Ok(vhdx) => Seen::Disk(identity, disk(path, &vhdx)),
        Err(error) => Seen::Unloadable(identity, unloadable(path, error)),
    }
}

/// Returns the problem of a file that cannot be loaded as a VHDX.
///
/// The file has another format only if it has no signature of a VHDX.
fn unloadable(path: &Path, error: Error) -> Problem {
    let recognise = || FileFormat::of(&FileStorage::open(path)?);
    let format = match error.violation() {
        Some(_) => recognise().ok().flatten().filter(|format| *format != FileFormat::Vhdx),
        None => None,
    };
    let path = path.to_owned();
    match format {
        Some(format) => Problem::OtherFormat { path, format },
        None => Problem::Damaged { path, error: error.into() },
    }
}

/// A regular file, its identity, and whether it has any signature of a VHDX.
struct Sniffed {
    file: FileStorage,
    identity: FileIdentity,
    is_signed: bool,
}

fn sniff(path: &Path) -> Result<Sniffed> {
    let file = FileStorage::open(path)?;
    let identity = file.identity().map_err(|error| error.in_file(path))?;
    let format = FileFormat::of(&file).map_err(|error| error.in_file(path))?;
    let is_signed = format == Some(FileFormat::Vhdx);
    Ok(Sniffed { file, identity, is_signed })
}

fn is_record(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == RECORD_EXTENSION || extension == JOURNAL_EXTENSION)
}

/// Returns whether a file is named like a VHDX.
///
/// A VHD set (`.vhds`) is not: its disk is an AVHDX file beside it.
pub(super) fn has_disk_name(path: &Path) -> bool {
    let is_one =
        |extension: &std::ffi::OsStr| ["vhdx", "avhdx"].iter().any(|one| extension.eq_ignore_ascii_case(one));
    path.extension().is_some_and(is_one)
}

fn unlinked(path: &Path, vhdx: &Vhdx) -> DiscoveredDisk {
    let has_parent = vhdx.disk_type() == DiskType::Differencing;
    DiscoveredDisk {
        facts: FileFacts::of(path, vhdx),
        parent: None,
        link: if has_parent { DiskLink::Missing } else { DiskLink::Base },
        children: Vec::new(),
        problems: problems(path, vhdx),
    }
}

/// Returns the problems of a file that are known without other files.
fn problems(path: &Path, vhdx: &Vhdx) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !path.file_name().and_then(|name| name.to_str()).is_some_and(windows_path::is_name) {
        problems.push(Problem::NameNotAllowedOnWindows { path: path.to_owned() });
    }
    let mut telling = vhdx.tolerated().iter().filter(|violation| violation.severity() > Severity::Note);
    if let Some(first) = telling.next() {
        let (path, first) = (path.to_owned(), first.clone());
        problems.push(Problem::Imperfect { path, first, more: telling.count() });
    }
    problems
}

/// Returns the problems of files with change tracking beside a disk.
fn side_file_problems(path: &Path, with_tracking: &HashSet<PathBuf>) -> Vec<Problem> {
    if !path.parent().is_some_and(|folder| with_tracking.contains(folder)) {
        return Vec::new();
    }
    side_files(path).map(|side_file| Problem::SideFile { path: path.to_owned(), side_file }).collect()
}

/// Returns the files beside a disk with Hyper-V's change tracking for its name.
fn side_files(path: &Path) -> impl Iterator<Item = PathBuf> {
    let added = |extension: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(".");
        name.push(extension);
        PathBuf::from(name)
    };
    let beside = move |extension| [added(extension), path.with_extension(extension)];
    TRACKING.into_iter().flat_map(beside).filter(|path| path.is_file())
}
