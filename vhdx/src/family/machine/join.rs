//! Reads the configuration files of a forest, and joins them to its disks.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::drives::{find_disks, is_named, named_files};
use super::facts::{DiscoveredMachine, MachineConfiguration};
use super::problem::MachineProblem;
use super::read::Read;
use super::unread::Unread;
use super::unused::FoundFiles;
use super::{owner, pruned, read};
use crate::error::Result;
use crate::family::forest::DiscoveredDisk;
use crate::family::link::SHOWN;
use crate::family::prune_records::{DeletedFile, PruneRecords};
use crate::progress::Progress;

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
    problems.extend(find_disks(&mut configurations, disks, &deleted, unreadable));
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
