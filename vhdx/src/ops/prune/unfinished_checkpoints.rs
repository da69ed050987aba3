//! Finds the disks of incomplete checkpoints that can be completed again.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::keep::KeepReason;
use crate::family::{
    DiscoveredMachine, Forest, MachineConfiguration, MachineDrive, MachineProblem, Problem, PrunedDrive,
};

/// Returns the disks that checkpoints need, each with the reason to keep it.
///
/// - A disk of the checkpoint was not found, or has another path now. If it is moved back, the checkpoint can be applied.
/// - A revert has replaced one disk of the machine, and not yet the others.
pub(super) fn disks(forest: &Forest) -> HashMap<usize, KeepReason> {
    let mut disks = HashMap::new();
    for machine in forest.machines.iter().filter(|machine| has_unfinished_revert(machine)) {
        let configuration = &machine.configuration.path;
        for disk in machine.checkpoints.iter().flat_map(MachineConfiguration::disks) {
            let reason = || KeepReason::UnfinishedRevert { configuration: configuration.clone() };
            disks.entry(disk).or_insert_with(reason);
        }
    }
    let moved = moved(forest);
    let is_deleted = |drive: &MachineDrive| drive.pruned == Some(PrunedDrive::Deleted);
    // A checkpoint of which a state was deleted cannot be applied in any case.
    for checkpoint in forest.checkpoint_configurations().filter(|of| !of.drives.iter().any(is_deleted)) {
        let Some(missing) = checkpoint.drives.iter().find(|drive| drive.is_missing()) else { continue };
        // Most configurations have no problem.
        let moved = moved.get(checkpoint.path.as_path()).into_iter().flatten().copied();
        // The disk with the path of the missing one may be it, too.
        let doubtful = checkpoint.drives.iter().filter(|drive| drive.is_missing());
        let doubtful = doubtful.filter_map(|drive| drive.successor);
        let doubtful: BTreeSet<usize> =
            doubtful.chain(moved).filter(|_| checkpoint.drives.len() > 1).collect();
        // If the parent were deleted, such a disk would be merged into it, and then nothing shows any more which disk it is.
        let parents = doubtful.iter().filter_map(|&disk| forest.disks[disk].parent);
        let parents: Vec<usize> = parents.collect();
        for disk in checkpoint.disks().chain(doubtful).chain(parents) {
            disks.entry(disk).or_insert_with(|| KeepReason::OtherDiskMissing {
                configuration: checkpoint.path.clone(),
                stored: missing.stored_path.clone(),
            });
        }
    }
    disks
}

/// Returns the disks that may be the missing ones of each configuration.
fn moved(forest: &Forest) -> HashMap<&Path, Vec<usize>> {
    let mut moved: HashMap<&Path, Vec<usize>> = HashMap::new();
    for problem in &forest.problems {
        if let Problem::Machine(MachineProblem::MissingDisk { path, moved_to, candidates, .. }) = problem {
            let disks = moved_to.iter().chain(candidates).filter_map(|disk| forest.index_of(disk));
            moved.entry(path).or_default().extend(disks);
        }
    }
    moved
}

fn has_unfinished_revert(machine: &DiscoveredMachine) -> bool {
    let is_replaced = |drive: &MachineDrive| drive.pruned == Some(PrunedDrive::Replaced);
    let mut drives = machine.configuration.drives.iter();
    drives.clone().any(is_replaced) && drives.any(|drive| !is_replaced(drive))
}
