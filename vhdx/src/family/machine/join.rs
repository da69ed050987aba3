//! Reads the configuration files of a forest, and joins them to its disks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::facts::{DiscoveredMachine, MachineConfiguration};
use super::names::stored_names;
use super::problem::MachineProblem;
use super::read::Read;
use super::suffixes::{Found, Suffixes};
use super::{owner, pruned, read};
use crate::error::Result;
use crate::family::forest::DiscoveredDisk;
use crate::family::link::SHOWN;
use crate::family::prune_records::{DeletedFile, PruneRecords};
use crate::progress::Progress;
use crate::windows_path::fold_name;

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
    let (mut machines, mut lone_checkpoints) = owner::assign(configurations, disks, &mut problems);
    for machine in &mut machines {
        problems.extend(pruned::lose_states(&mut machine.configuration));
    }
    let of_machines = machines.iter_mut().flat_map(|machine| &mut machine.checkpoints);
    for checkpoint in of_machines.chain(&mut lone_checkpoints) {
        problems.extend(pruned::delete_states(checkpoint, disks, records));
    }
    problems.extend(pruned::problems(&machines, &lone_checkpoints, disks));
    problems.extend(of_disks(&machines, &lone_checkpoints, disks));
    problems.sort_by(|a, b| a.path().cmp(b.path()));
    Ok(Joined { machines, lone_checkpoints, problems })
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
    let damaged = Suffixes::of(unreadable.iter().copied(), |path| is_named(path, &names));
    let found: Vec<Vec<Found>> = configurations
        .iter()
        .map(|Read { facts, .. }| {
            facts.drives.iter().map(|drive| in_forest.find(&drive.stored_path, &facts.path)).collect()
        })
        .collect();
    let sure = surely_named(configurations, &found);
    let path_of = |disk: usize| disks.get(disk).map(|disk| disk.facts.path.clone());
    for (Read { facts, .. }, found) in configurations.iter_mut().zip(found) {
        for (drive, found) in facts.drives.iter_mut().zip(found) {
            let is_of_another =
                |disk| sure.get(&disk).is_some_and(|names| *names != stored_names(&drive.stored_path));
            let candidates = match found {
                Found::Disk { disk, is_weak } if is_weak && is_of_another(disk) => vec![disk],
                Found::Disk { disk, .. } if disk < disks.len() => {
                    drive.disk = Some(disk);
                    continue;
                }
                Found::Disk { disk, .. } => {
                    let file = disk.checked_sub(disks.len()).and_then(|deleted_at| deleted.get(deleted_at));
                    file.into_iter().for_each(|file| pruned::find(drive, file));
                    continue;
                }
                Found::Ambiguous(candidates) => candidates,
                Found::Nothing => Vec::new(),
            };
            let damaged = match damaged.find(&drive.stored_path, &facts.path) {
                Found::Disk { disk, .. } => unreadable.get(disk).map(|path| (*path).to_owned()),
                Found::Ambiguous(_) | Found::Nothing => None,
            };
            problems.push(MachineProblem::MissingDisk {
                path: facts.path.clone(),
                stored: drive.stored_path.clone(),
                candidates: candidates.into_iter().filter_map(path_of).take(SHOWN).collect(),
                damaged,
            });
        }
    }
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

/// Returns the problems of disks that no machine or several machines use, or that are not the newest.
fn of_disks(
    machines: &[DiscoveredMachine],
    lone_checkpoints: &[MachineConfiguration],
    disks: &[DiscoveredDisk],
) -> Vec<MachineProblem> {
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
    // After an older checkpoint was applied, only a newer checkpoint still names the disk that it froze.
    let checkpoints = machines.iter().flat_map(|machine| &machine.checkpoints).chain(lone_checkpoints);
    let frozen: HashSet<usize> = checkpoints.flat_map(MachineConfiguration::disks).collect();
    let is_unused =
        |i: &usize| disks[*i].children.is_empty() && !users.contains_key(i) && !frozen.contains(i);
    let unused = (0..disks.len()).filter(is_unused);
    // Without any machine, the folder is probably not a copy of a host's folder.
    if !machines.is_empty() {
        problems.extend(unused.map(|i| MachineProblem::NoMachine { path: disks[i].facts.path.clone() }));
    }
    problems
}
