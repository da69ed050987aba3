//! Finds the disk of each drive that a configuration names.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::facts::MachineDrive;
use super::names::{has_guid, stored_names};
use super::problem::MachineProblem;
use super::pruned;
use super::read::Read;
use super::suffixes::{Found, Suffixes};
use crate::family::forest::DiscoveredDisk;
use crate::family::link::SHOWN;
use crate::family::problem::Problem;
use crate::family::prune_records::DeletedFile;
use crate::windows_path::{SEPARATORS, fold_name};

/// Sets the disk of each drive. Returns the problems of those whose disk was not found.
///
/// A deleted file is found like one that exists.
pub(super) fn find_disks(
    configurations: &mut [Read],
    disks: &[DiscoveredDisk],
    deleted: &[DeletedFile],
    unreadable: &[&Path],
) -> Vec<MachineProblem> {
    let names = named_files(configurations);
    let paths = disks.iter().map(|disk| disk.facts.path.as_path());
    let paths = paths.chain(deleted.iter().map(|file| file.path.as_path()));
    let files = Suffixes::of(paths, |path| is_named(path, &names));
    let found: Vec<Vec<Found>> = configurations
        .iter()
        .map(|Read { facts, .. }| {
            facts.drives.iter().map(|drive| files.find(&drive.stored_path, &facts.path)).collect()
        })
        .collect();
    let sure = surely_named(configurations, &found);
    let in_use = in_use(disks, &sure);
    let search = Search {
        disks,
        deleted,
        unreadable,
        // No filter by name: a folder that cannot be listed may contain the disk.
        damaged: Suffixes::of(unreadable.iter().copied(), |_| true),
        moved: moved(disks, &in_use),
        in_use,
        sure,
        files,
    };
    let mut problems = Vec::new();
    for (Read { facts, .. }, found) in configurations.iter_mut().zip(found) {
        for (drive, found) in facts.drives.iter_mut().zip(found) {
            problems.extend(search.set(drive, found, &facts.path));
        }
    }
    problems
}

/// Returns the names of all files that the configurations name, folded.
pub(super) fn named_files(configurations: &[Read]) -> HashSet<String> {
    let drives = configurations.iter().flat_map(|read| &read.facts.drives);
    drives.filter_map(|drive| stored_names(&drive.stored_path).into_iter().next()).collect()
}

pub(super) fn is_named(path: &Path, names: &HashSet<String>) -> bool {
    path.file_name().is_some_and(|name| names.contains(&fold_name(&name.to_string_lossy())))
}

struct Search<'a> {
    disks: &'a [DiscoveredDisk],
    deleted: &'a [DeletedFile],
    unreadable: &'a [&'a Path],
    /// The disks, followed by the deleted files.
    files: Suffixes<'a>,
    /// The paths that could not be read.
    damaged: Suffixes<'a>,
    /// The files that a configuration names beyond doubt, with the names in the stored path.
    sure: HashMap<usize, Vec<String>>,
    /// The disks that must stay at their present path.
    in_use: HashSet<usize>,
    /// The renamed or moved parents by the last names of their stored paths; `None` if several disks match.
    moved: HashMap<Vec<String>, Option<&'a Path>>,
}

impl Search<'_> {
    /// Sets the disk of a drive, or returns the problem that it is missing.
    fn set(&self, drive: &mut MachineDrive, found: Found, configuration: &Path) -> Option<MachineProblem> {
        let stored = stored_names(&drive.stored_path);
        let is_of_another = |file: usize| self.sure.get(&file).is_some_and(|names| *names != stored);
        let stays = |file: usize| is_of_another(file) || self.in_use.contains(&file);
        let candidates = match found {
            Found::Disk { disk, is_weak } if !is_weak || !is_of_another(disk) => {
                self.set_file(drive, disk);
                return None;
            }
            Found::Disk { .. } => Vec::new(),
            Found::Ambiguous(candidates) => candidates,
            Found::Nothing => self.files.namesakes(&drive.stored_path).to_owned(),
        };
        let candidates: Vec<usize> = candidates.into_iter().filter(|&file| !stays(file)).collect();
        let only = match candidates[..] {
            // Hyper-V gives each checkpoint a name that no other file has.
            [file] if has_guid(&drive.stored_path) => Some(file),
            _ => None,
        };
        let moved = || self.moved.get(&last_names(stored)).copied().flatten().map(Path::to_owned);
        Some(MachineProblem::MissingDisk {
            path: configuration.to_owned(),
            stored: drive.stored_path.clone(),
            damaged: self.damaged(&drive.stored_path, configuration),
            moved_to: only.and_then(|file| self.path(file)).or_else(moved),
            candidates: candidates.into_iter().filter_map(|file| self.path(file)).take(SHOWN).collect(),
        })
    }

    fn set_file(&self, drive: &mut MachineDrive, file: usize) {
        match file.checked_sub(self.disks.len()) {
            None => drive.disk = Some(file),
            Some(at) => self.deleted.get(at).into_iter().for_each(|deleted| pruned::find(drive, deleted)),
        }
    }

    /// Returns the path of a disk; `None` for a deleted file.
    fn path(&self, file: usize) -> Option<PathBuf> {
        self.disks.get(file).map(|disk| disk.facts.path.clone())
    }

    /// Returns the unreadable file with the name of a disk, or the unreadable folder with the name of its folder.
    fn damaged(&self, stored: &str, configuration: &Path) -> Option<PathBuf> {
        let unread = |stored: &str| match self.damaged.find(stored, configuration) {
            Found::Disk { disk, .. } => self.unreadable.get(disk).map(|path| (*path).to_owned()),
            Found::Ambiguous(_) | Found::Nothing => None,
        };
        let folder = || stored.rsplit_once(SEPARATORS).and_then(|(folder, _)| unread(folder));
        unread(stored).or_else(folder)
    }
}

/// Returns the renamed or moved parents by the last names of their stored paths; `None` if several disks match.
///
/// A disk that a machine uses at its present path, itself or through descendants, is not one of them.
fn moved<'a>(disks: &'a [DiscoveredDisk], in_use: &HashSet<usize>) -> HashMap<Vec<String>, Option<&'a Path>> {
    let mut moved: HashMap<Vec<String>, Option<&Path>> = HashMap::new();
    let children = disks.iter().filter(|disk| disk.parent.is_some_and(|parent| !in_use.contains(&parent)));
    for problem in children.flat_map(|disk| &disk.problems) {
        let Problem::StalePath { parent, stored, .. } = problem else { continue };
        let parent = Some(parent.as_path());
        let names = stored.iter().map(|stored| last_names(stored_names(&stored.path)));
        for names in names.filter(|names| names.len() > 1) {
            let known = moved.entry(names).or_insert(parent);
            *known = known.filter(|_| *known == parent);
        }
    }
    moved
}

/// Returns the disks that configurations name, and the ancestors that these find at their present paths.
fn in_use(disks: &[DiscoveredDisk], sure: &HashMap<usize, Vec<String>>) -> HashSet<usize> {
    let is_stale = |disk: &DiscoveredDisk| {
        disk.problems.iter().any(|problem| matches!(problem, Problem::StalePath { .. }))
    };
    let mut in_use = HashSet::new();
    for &disk in sure.keys() {
        let mut next = Some(disk);
        // If a disk is in use, so are its ancestors.
        while let Some(disk) = next.filter(|&disk| in_use.insert(disk)) {
            next = disks.get(disk).filter(|disk| !is_stale(disk)).and_then(|disk| disk.parent);
        }
    }
    in_use
}

/// Returns the names of the file and its two nearest folders.
///
/// One folder is not enough: many machines have folders with the same name.
fn last_names(mut names: Vec<String>) -> Vec<String> {
    names.truncate(3);
    names
}

fn surely_named(configurations: &[Read], found: &[Vec<Found>]) -> HashMap<usize, Vec<String>> {
    let drives =
        configurations.iter().zip(found).flat_map(|(read, found)| read.facts.drives.iter().zip(found));
    let sure = drives.filter_map(|(drive, found)| match found {
        Found::Disk { disk, is_weak: false } => Some((*disk, stored_names(&drive.stored_path))),
        _ => None,
    });
    sure.collect()
}
