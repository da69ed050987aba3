//! Finds families on which disks may depend that were not found.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use crate::family::{DiscoveredMachine, Family, Forest, MachineDrive};

/// Returns the roots of the families with a disk that was not found, each with the configuration that shows it.
///
/// There are two signs. A machine has checkpoints in the family, a disk of the machine is missing, and none of the disks
/// that it uses is of the family. Or a checkpoint froze a disk without children, and its machine was not found.
pub(super) fn unseen(forest: &Forest, families: &[Family]) -> HashMap<usize, PathBuf> {
    let mut unseen = HashMap::new();
    let used: HashSet<usize> =
        forest.machines.iter().flat_map(|machine| machine.configuration.disks()).collect();
    let frozen = forest.lone_checkpoints.iter().flat_map(|of| of.disks().map(move |disk| (disk, &of.path)));
    let frozen: HashMap<usize, &PathBuf> = frozen.filter(|(disk, _)| !used.contains(disk)).collect();
    for family in families {
        let of_machines = family.machines.iter().filter_map(|&machine| forest.machines.get(machine));
        let shows = of_machines
            .filter(|machine| is_disk_missing(machine, family))
            .map(|machine| &machine.configuration.path)
            .chain(family.leaves.iter().filter_map(|leaf| frozen.get(leaf).copied()))
            .next();
        unseen.extend(family.disks.first().copied().zip(shows.cloned()));
    }
    unseen
}

/// Returns whether a machine that has checkpoints in a family may use a disk of it that was not found.
fn is_disk_missing(machine: &DiscoveredMachine, family: &Family) -> bool {
    machine.configuration.drives.iter().any(MachineDrive::is_missing)
        && !machine.configuration.disks().any(|disk| family.disks.contains(&disk))
}
