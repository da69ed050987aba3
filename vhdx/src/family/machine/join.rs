//! Reads the configuration files of a forest, and joins them to its disks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::facts::{DiscoveredMachine, MachineConfiguration};
use super::names::stored_names;
use super::problem::MachineProblem;
use super::read::Read;
use super::suffixes::{Found, Suffixes};
use super::unread::Unread;
use super::unused::FoundFiles;
use super::{names, owner, pruned, read};
use crate::error::Result;
use crate::family::forest::DiscoveredDisk;
use crate::family::link::SHOWN;
use crate::family::problem::Problem;
use crate::family::prune_records::{DeletedFile, PruneRecords};
use crate::progress::Progress;
use crate::windows_path::{SEPARATORS, fold_name};

/// The machines of a forest.
#[derive(Default)]
pub(in crate::family) struct Joined {
    /// The machines, sorted by the path of their configuration.
    pub(in crate::family) machines: Vec<DiscoveredMachine>,
    /// The configurations of checkpoints whose machine was not found, sorted by path.
    pub(in crate::family) lone_checkpoints: Vec<MachineConfiguration>,
    /// The problems of configuration files and of their links, sorted by path.
    pub(in crate::family) problems: Vec<MachineProblem>,
}

/// Reads the configurations among `files`, and joins them to the disks.
///
/// `unreadable` are files that may be disks, and `records` say where prunes have moved the states of disks.
///
/// # Errors
/// [`Error::Cancelled`](crate::Error::Cancelled) if `progress` asks for it.
pub(in crate::family) fn join(
    files: &[PathBuf],
    disks: &[DiscoveredDisk],
    unreadable: &[&Path],
    records: &PruneRecords,
    progress: &dyn Progress,
) -> Result<Joined> {
    let mut problems = Vec::new();
    let mut configurations = read::read_all(files, &mut problems, progress)?;
    if configurations.is_empty() {
        return Ok(Joined { problems, ..Joined::default() });
    }
    let deleted = deleted(&configurations, disks, unreadable, records);
    find_disks(&mut configurations, disks, &deleted, unreadable, &mut problems);
    let unread = Unread::of(unreadable, &problems);
    let (mut machines, mut lone_checkpoints) = owner::assign(configurations, disks, &unread, &mut problems);
    for machine in &mut machines {
        problems.extend(pruned::lose_states(&mut machine.configuration));
    }
    let of_machines = machines.iter_mut().flat_map(|machine| &mut machine.checkpoints);
    for checkpoint in of_machines.chain(&mut lone_checkpoints) {
        problems.extend(pruned::delete_states(checkpoint, disks, records));
    }
    problems.extend(pruned::problems(&machines, &lone_checkpoints, disks));
    problems.extend(of_used_disks(&machines, disks));
    // Without any machine, the folder is probably not a copy of a host's folder.
    if !machines.is_empty() {
        let (machines, lone_checkpoints) = (&machines, &lone_checkpoints);
        let found = FoundFiles { machines, lone_checkpoints, disks, problems: &problems, unread: &unread };
        let unused = found.unused();
        problems.extend(unused.into_iter().map(MachineProblem::NoMachine));
    }
    problems.sort_by(|a, b| a.path().cmp(b.path()));
    problems.dedup_by(|a, b| is_same_record(a, b));
    Ok(Joined { machines, lone_checkpoints, problems })
}

/// Returns whether two problems are of the same record and disk, which several checkpoints can name.
fn is_same_record(a: &MachineProblem, b: &MachineProblem) -> bool {
    match (a, b) {
        (
            MachineProblem::RecordWithoutDisk { path, candidate },
            MachineProblem::RecordWithoutDisk { path: other, candidate: other_candidate },
        ) => (path, candidate) == (other, other_candidate),
        _ => false,
    }
}

/// Returns the deleted files that a configuration may name.
fn deleted(
    configurations: &[Read],
    disks: &[DiscoveredDisk],
    unreadable: &[&Path],
    records: &PruneRecords,
) -> Vec<DeletedFile> {
    let names = named_files(configurations);
    let existing = disks.iter().map(|disk| disk.facts.path.as_path()).chain(unreadable.iter().copied());
    records.deleted(|path| is_named(path, &names), existing.map(Path::to_owned))
}

/// Returns the names of all files that the configurations name, folded.
fn named_files(configurations: &[Read]) -> HashSet<String> {
    let drives = configurations.iter().flat_map(|read| &read.facts.drives);
    drives.filter_map(|drive| stored_names(&drive.stored_path).into_iter().next()).collect()
}

fn is_named(path: &Path, names: &HashSet<String>) -> bool {
    path.file_name().is_some_and(|name| names.contains(&fold_name(&name.to_string_lossy())))
}

/// Sets the disk of each drive, or reports that it is missing.
///
/// A deleted file is found like one that exists.
fn find_disks(
    configurations: &mut [Read],
    disks: &[DiscoveredDisk],
    deleted: &[DeletedFile],
    unreadable: &[&Path],
    problems: &mut Vec<MachineProblem>,
) {
    let names = named_files(configurations);
    let paths = disks.iter().map(|disk| disk.facts.path.as_path());
    let paths = paths.chain(deleted.iter().map(|file| file.path.as_path()));
    let in_forest = Suffixes::of(paths, |path| is_named(path, &names));
    // No filter by name: a folder that cannot be listed may contain the disk.
    let damaged = Suffixes::of(unreadable.iter().copied(), |_| true);
    let found: Vec<Vec<Found>> = configurations
        .iter()
        .map(|Read { facts, .. }| {
            facts.drives.iter().map(|drive| in_forest.find(&drive.stored_path, &facts.path)).collect()
        })
        .collect();
    let (sure, moved) = (surely_named(configurations, &found), moved(disks));
    let path_of = |disk: usize| disks.get(disk).map(|disk| disk.facts.path.clone());
    for (Read { facts, .. }, found) in configurations.iter_mut().zip(found) {
        for (drive, found) in facts.drives.iter_mut().zip(found) {
            let is_of_another =
                |disk| sure.get(&disk).is_some_and(|names| *names != stored_names(&drive.stored_path));
            let candidates = match found {
                Found::Disk { disk, is_weak } if is_weak && is_of_another(disk) => Vec::new(),
                Found::Disk { disk, .. } if disk < disks.len() => {
                    drive.disk = Some(disk);
                    continue;
                }
                Found::Disk { disk, .. } => {
                    let file = disk.checked_sub(disks.len()).and_then(|deleted_at| deleted.get(deleted_at));
                    file.into_iter().for_each(|file| pruned::find(drive, file));
                    continue;
                }
                Found::Ambiguous(mut candidates) => {
                    candidates.retain(|&disk| !is_of_another(disk));
                    candidates
                }
                Found::Nothing => Vec::new(),
            };
            // Hyper-V gives each checkpoint a name that no other file has.
            let elsewhere = || match names::has_guid(&drive.stored_path) {
                true => in_forest.only_namesake(&drive.stored_path).and_then(path_of),
                false => None,
            };
            let unread = |stored: &str| match damaged.find(stored, &facts.path) {
                Found::Disk { disk, .. } => unreadable.get(disk).map(|path| (*path).to_owned()),
                Found::Ambiguous(_) | Found::Nothing => None,
            };
            let folder = || drive.stored_path.rsplit_once(SEPARATORS).and_then(|(folder, _)| unread(folder));
            let damaged = unread(&drive.stored_path).or_else(folder);
            problems.push(MachineProblem::MissingDisk {
                path: facts.path.clone(),
                stored: drive.stored_path.clone(),
                candidates: candidates.into_iter().filter_map(path_of).take(SHOWN).collect(),
                moved_to: moved
                    .get(&last_names(&drive.stored_path))
                    .and_then(|path| path.map(Path::to_owned))
                    .or_else(elsewhere),
                damaged,
            });
        }
    }
}

/// Returns the renamed or moved parents by the last names of their stored paths; `None` if several disks match.
fn moved(disks: &[DiscoveredDisk]) -> HashMap<Vec<String>, Option<&Path>> {
    let mut moved: HashMap<Vec<String>, Option<&Path>> = HashMap::new();
    for problem in disks.iter().flat_map(|disk| &disk.problems) {
        let Problem::StalePath { parent, stored, .. } = problem else { continue };
        let parent = Some(parent.as_path());
        for names in stored.iter().map(|stored| last_names(&stored.path)).filter(|names| names.len() > 1) {
            let known = moved.entry(names).or_insert(parent);
            *known = known.filter(|_| *known == parent);
        }
    }
    moved
}

/// Returns the names of the file and its two nearest folders in a path of another host.
///
/// One folder is not enough: many machines have folders with the same name.
fn last_names(path: &str) -> Vec<String> {
    let mut names = stored_names(path);
    names.truncate(3);
    names
}

/// Returns the disks that a configuration names beyond doubt, with the names in the stored path.
fn surely_named(configurations: &[Read], found: &[Vec<Found>]) -> HashMap<usize, Vec<String>> {
    let drives =
        configurations.iter().zip(found).flat_map(|(read, found)| read.facts.drives.iter().zip(found));
    let sure = drives.filter_map(|(drive, found)| match found {
        Found::Disk { disk, is_weak: false } => Some((*disk, stored_names(&drive.stored_path))),
        _ => None,
    });
    sure.collect()
}

/// Returns the problems of disks that several machines use, or that are not the newest.
fn of_used_disks(machines: &[DiscoveredMachine], disks: &[DiscoveredDisk]) -> Vec<MachineProblem> {
    let mut problems = Vec::new();
    let mut users: BTreeMap<usize, Vec<&Path>> = BTreeMap::new();
    for machine in machines {
        let used: HashSet<usize> = machine.configuration.disks().collect();
        for disk in used {
            users.entry(disk).or_default().push(&machine.configuration.path);
        }
    }
    for (&disk, configurations) in &users {
        let Some(found) = disks.get(disk) else { continue };
        if configurations.len() > 1 {
            let named = configurations.iter().take(SHOWN).map(|path| (*path).to_owned()).collect();
            let (path, count) = (found.facts.path.clone(), configurations.len());
            problems.push(MachineProblem::SharedDisk { path, configurations: named, count });
        }
        if !found.children.is_empty() {
            problems.extend(configurations.iter().map(|path| MachineProblem::NotTheNewest {
                path: (*path).to_owned(),
                disk: found.facts.path.clone(),
            }));
        }
    }
    problems
}
