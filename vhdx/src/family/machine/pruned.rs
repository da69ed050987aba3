//! Finds the states of disks that a prune has moved or deleted.

use std::path::PathBuf;

use super::facts::{DiscoveredMachine, MachineConfiguration, MachineDrive, PrunedDrive};
use super::problem::MachineProblem;
use crate::family::forest::DiscoveredDisk;
use crate::family::prune_record::{DeletedFile, FoundRecord, PruneRecords};

/// Sets the disk of a drive that names a file that a prune deleted. Returns whether this is possible.
///
/// Until the machines are known, the target also stands for deleted states.
///
/// If the target was changed since, it has the state of no checkpoint any more. A machine may go on with it nevertheless.
pub(super) fn find(drive: &mut MachineDrive, file: &DeletedFile, is_in_snapshots: bool) -> bool {
    if file.is_merged && !file.is_unchanged && is_in_snapshots {
        return false;
    }
    drive.disk = Some(file.target);
    drive.pruned = Some(if file.is_merged { PrunedDrive::Merged } else { PrunedDrive::Deleted });
    true
}

/// Separates a checkpoint from the targets of prunes that deleted its states.
pub(super) fn delete_states(checkpoint: &mut MachineConfiguration, records: &PruneRecords) {
    let created = checkpoint.created;
    // A checkpoint that was made after the prune froze the target as it is.
    let is_deleted = |found: &FoundRecord| {
        !found.record.state_of.is_empty()
            && created.map_or(found.is_unchanged, |created| created < found.record.time)
    };
    for drive in &mut checkpoint.drives {
        let record = drive.disk.and_then(|disk| records.of(disk));
        if drive.pruned.is_none() && record.is_some_and(is_deleted) {
            drive.pruned = Some(PrunedDrive::Deleted);
        }
        if drive.pruned == Some(PrunedDrive::Deleted) {
            drive.disk = None;
        }
    }
}

/// Returns the problems of a machine whose disk was deleted as a checkpoint.
pub(super) fn lose_states(machine: &mut MachineConfiguration) -> Vec<MachineProblem> {
    let is_deleted = |drive: &&mut MachineDrive| drive.pruned == Some(PrunedDrive::Deleted);
    let lose = |drive: &mut MachineDrive| {
        (drive.disk, drive.pruned) = (None, None);
        MachineProblem::MissingDisk {
            path: machine.path.clone(),
            stored: drive.stored_path.clone(),
            candidates: Vec::new(),
            damaged: None,
        }
    };
    machine.drives.iter_mut().filter(is_deleted).map(lose).collect()
}

/// Returns the problems of configurations that name states which a prune has moved or deleted.
pub(super) fn problems(
    machines: &[DiscoveredMachine],
    lone_checkpoints: &[MachineConfiguration],
    disks: &[DiscoveredDisk],
) -> Vec<MachineProblem> {
    let of_machines = machines.iter().map(|machine| (false, &machine.configuration));
    let checkpoints = machines.iter().flat_map(|machine| &machine.checkpoints).chain(lone_checkpoints);
    let merged = of_machines
        .chain(checkpoints.clone().map(|checkpoint| (true, checkpoint)))
        .flat_map(|(is_checkpoint, of)| of.drives.iter().map(move |drive| (is_checkpoint, of, drive)))
        .filter(|(.., drive)| drive.pruned == Some(PrunedDrive::Merged))
        .filter_map(|(is_checkpoint, configuration, drive)| {
            Some(MachineProblem::MergedDisk {
                path: configuration.path.clone(),
                stored: drive.stored_path.clone(),
                target: disks.get(drive.disk?)?.facts.path.clone(),
                is_checkpoint,
            })
        });
    merged.chain(checkpoints.filter_map(|checkpoint| of_checkpoint(checkpoint, disks))).collect()
}

fn of_checkpoint(checkpoint: &MachineConfiguration, disks: &[DiscoveredDisk]) -> Option<MachineProblem> {
    let is_deleted = |drive: &&MachineDrive| drive.pruned == Some(PrunedDrive::Deleted);
    checkpoint.drives.iter().find(is_deleted)?;
    let path = checkpoint.path.clone();
    let left: Vec<PathBuf> =
        checkpoint.disks().filter_map(|disk| Some(disks.get(disk)?.facts.path.clone())).collect();
    Some(match checkpoint.drives.iter().all(|drive| is_deleted(&drive)) {
        true => MachineProblem::DeletedCheckpoint { path },
        false => MachineProblem::PartlyDeletedCheckpoint { path, disks: left },
    })
}
