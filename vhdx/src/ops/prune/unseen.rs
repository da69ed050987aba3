//! Finds the disks on which other disks may depend that were not found.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::family::{DiscoveredMachine, Forest, MachineDrive, stem};

/// Returns the disks on which a disk may depend that was not found, each with the configuration that shows it.
///
/// - A machine has checkpoints in a family, and a disk that it uses was not found. It may depend on the disks that the
///   checkpoints froze, and on the disks below these.
/// - The machine of a checkpoint was not found, and the checkpoint froze a disk without children.
/// - No configuration names a disk without children, and a disk of a machine was not found that is named like it.
pub(super) fn unseen(forest: &Forest) -> HashMap<usize, PathBuf> {
    let mut unseen = HashMap::new();
    for machine in &forest.machines {
        for disk in frozen_by(forest, machine) {
            add(&mut unseen, forest, disk, &machine.configuration.path);
        }
    }
    let used: HashSet<usize> =
        forest.machines.iter().flat_map(|machine| machine.configuration.disks()).collect();
    let is_leaf = |disk: usize| forest.disks[disk].children.is_empty();
    for checkpoint in &forest.lone_checkpoints {
        for disk in checkpoint.disks().filter(|&disk| is_leaf(disk) && !used.contains(&disk)) {
            add(&mut unseen, forest, disk, &checkpoint.path);
        }
    }
    let missing = missing_stems(forest);
    if !missing.is_empty() {
        let named: HashSet<usize> = forest.configurations().flat_map(|of| of.disks()).collect();
        for disk in (0..forest.disks.len()).filter(|&disk| is_leaf(disk) && !named.contains(&disk)) {
            let path = forest.disks[disk].facts.path.file_name().map(|name| name.to_string_lossy());
            if let Some(configuration) = path.and_then(|name| missing.get(&stem(&name))) {
                add(&mut unseen, forest, disk, configuration);
            }
        }
    }
    unseen
}

/// Adds a disk and all its descendants.
fn add(unseen: &mut HashMap<usize, PathBuf>, forest: &Forest, disk: usize, configuration: &Path) {
    let mut waiting = vec![disk];
    while let Some(disk) = waiting.pop() {
        if unseen.insert(disk, configuration.to_owned()).is_none() {
            waiting.extend(&forest.disks[disk].children);
        }
    }
}

/// Returns the disks that the checkpoints of a machine froze, as far as a disk that the machine uses now may depend on them.
///
/// These are the disks in the place of a missing disk. If the machine uses no disk of a family, they are all of the family.
fn frozen_by(forest: &Forest, machine: &DiscoveredMachine) -> Vec<usize> {
    let drives = &machine.configuration.drives;
    let missing: BTreeSet<_> =
        drives.iter().filter(|drive| drive.is_missing()).map(|drive| &drive.place).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let used: HashSet<usize> = machine.configuration.members().map(|disk| root(forest, disk)).collect();
    let may_need = |drive: &&MachineDrive| {
        let member = drive.disk.or(drive.successor);
        missing.contains(&drive.place) || !member.is_some_and(|disk| used.contains(&root(forest, disk)))
    };
    let frozen = machine.checkpoints.iter().flat_map(|checkpoint| &checkpoint.drives).filter(may_need);
    frozen.filter_map(|drive| drive.disk.or(drive.successor)).collect()
}

fn root(forest: &Forest, disk: usize) -> usize {
    let mut disk = disk;
    while let Some(parent) = forest.disks[disk].parent {
        disk = parent;
    }
    disk
}

/// Returns the stems of the names of missing disks, with the configuration of the machine.
fn missing_stems(forest: &Forest) -> HashMap<String, &PathBuf> {
    let configurations = forest.machines.iter().map(|machine| &machine.configuration);
    let missing = configurations.flat_map(|configuration| {
        let missing = configuration.drives.iter().filter(|drive| drive.is_missing());
        missing.map(move |drive| (stem(name_of(&drive.stored_path)), &configuration.path))
    });
    missing.collect()
}

/// Returns the name in a path of another host.
fn name_of(path: &str) -> &str {
    path.rsplit(['\\', '/']).next().unwrap_or(path) // There always is one.
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_last_one_of_a_path() {
        assert_eq!(name_of(r"C:\vm\a.vhdx"), "a.vhdx");
        assert_eq!(name_of(""), "");
    }
}
