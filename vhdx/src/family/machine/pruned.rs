//! Finds the states of disks that a prune has moved or deleted, and the disks that a revert has replaced.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::facts::{DiscoveredMachine, MachineConfiguration, MachineDrive, PrunedDrive};
use super::problem::MachineProblem;
use crate::family::forest::DiscoveredDisk;
use crate::family::problem::Problem;
use crate::family::prune_records::{DeletedFile, Fate, PruneRecords};
use crate::format::merge_guid::MergeId;

/// Sets the disk of a drive that names a file that a prune or revert deleted, or that has another path now.
///
/// A drive whose state was deleted also gets the target as its disk, until each checkpoint has been assigned to its machine.
pub(super) fn find(drive: &mut MachineDrive, file: &DeletedFile) {
    if matches!(file.fate, Fate::Renamed) {
        // The target can be a copy, so the disk is missing until it has the path again.
        (drive.successor, drive.is_renamed) = (Some(file.target), true);
        return;
    }
    drive.disk = Some(file.target);
    match file.fate {
        Fate::Deleted => drive.pruned = Some(PrunedDrive::Deleted),
        Fate::Moved { since } => (drive.pruned, drive.moved_since) = (Some(PrunedDrive::Merged), since),
        Fate::Replaced => drive.pruned = Some(PrunedDrive::Replaced),
        Fate::Renamed => {}
    }
}

/// Separates a checkpoint from the targets of prunes that deleted its states. Returns the disks that are not known.
///
/// It is also separated from a disk that may be such a target, and from the new disk of a revert.
///
/// The configuration of a machine names the disk that it uses now. That of a checkpoint may mean an earlier state.
pub(super) fn delete_states(
    checkpoint: &mut MachineConfiguration,
    disks: &[DiscoveredDisk],
    records: &PruneRecords,
) -> Vec<MachineProblem> {
    let created = checkpoint.created;
    // A checkpoint made after the prune froze the target in its present state. That is impossible if the target already had
    // children, because Hyper-V freezes only disks without children.
    let is_deleted = |disk: usize| {
        // Another disk may have the path now that the target had when the checkpoint was made.
        let renamed = || records.of_earlier_path(&disks[disk].facts);
        let record = records.of(disk).or_else(renamed).filter(|found| found.has_deleted_state());
        record.is_some_and(|found| {
            let was_frozen = found.has_moved_state() && has_relinked_child(disks, disk);
            was_frozen || created.map_or(found.has_moved_state(), |created| created <= found.record.time)
        })
    };
    let mut unknown = Vec::new();
    let may_be_target = |disk: usize| {
        let lost = records.lost(disk)?;
        created.is_none_or(|created| created <= lost.time).then(|| lost.path.clone())
    };
    for drive in &mut checkpoint.drives {
        if drive.pruned == Some(PrunedDrive::Replaced) {
            (drive.pruned, drive.successor) = (None, drive.disk.take());
            unknown.push(missing(&checkpoint.path, drive, None));
        }
        if let Some(disk) = drive.disk
            && let Some(path) = may_be_target(disk)
        {
            let candidate = disks[disk].facts.path.clone();
            unknown.push(MachineProblem::RecordWithoutDisk { path, candidate });
            drive.successor = drive.disk.take();
        }
        drive.pruned = match (drive.pruned, drive.moved_since, created) {
            (None, ..) if drive.disk.or(drive.successor).is_some_and(is_deleted) => {
                Some(PrunedDrive::Deleted)
            }
            // The file had another state before.
            (Some(PrunedDrive::Merged), Some(since), Some(created)) if created <= since => {
                Some(PrunedDrive::Deleted)
            }
            (Some(PrunedDrive::Merged), Some(_), None) => {
                drive.disk = None;
                unknown.push(missing(&checkpoint.path, drive, None));
                None
            }
            (pruned, ..) => pruned,
        };
        if drive.pruned == Some(PrunedDrive::Deleted) {
            drive.successor = drive.disk.take().or(drive.successor);
        }
    }
    unknown
}

fn missing(configuration: &Path, drive: &MachineDrive, moved_to: Option<PathBuf>) -> MachineProblem {
    MachineProblem::MissingDisk {
        path: configuration.to_owned(),
        stored: drive.stored_path.clone(),
        candidates: Vec::new(),
        damaged: None,
        moved_to,
    }
}

fn has_relinked_child(disks: &[DiscoveredDisk], disk: usize) -> bool {
    disks.get(disk).is_some_and(|parent| {
        let mut children = parent.children.iter().filter_map(|&child| disks.get(child));
        children.any(|child| child.facts.is_relinked_to(&parent.facts))
    })
}

/// Returns the problems of a machine whose disk was deleted as a checkpoint.
pub(super) fn lose_states(machine: &mut MachineConfiguration) -> Vec<MachineProblem> {
    let is_deleted = |drive: &&mut MachineDrive| drive.pruned == Some(PrunedDrive::Deleted);
    let lose = |drive: &mut MachineDrive| {
        (drive.disk, drive.pruned) = (None, None);
        missing(&machine.path, drive, None)
    };
    machine.drives.iter_mut().filter(is_deleted).map(lose).collect()
}

/// Returns the problems of configurations that name states which a prune has moved or deleted, or disks that have another
/// path now.
pub(super) fn problems(
    machines: &[DiscoveredMachine],
    lone_checkpoints: &[MachineConfiguration],
    disks: &[DiscoveredDisk],
) -> Vec<MachineProblem> {
    let of_machines = machines.iter().map(|machine| (false, &machine.configuration));
    let used: HashSet<usize> = of_machines.clone().flat_map(|(_, machine)| machine.disks()).collect();
    let checkpoints = machines.iter().flat_map(|machine| &machine.checkpoints).chain(lone_checkpoints);
    let of_drives = of_machines
        .chain(checkpoints.clone().map(|checkpoint| (true, checkpoint)))
        .flat_map(|(is_checkpoint, of)| of.drives.iter().map(move |drive| (is_checkpoint, of, drive)))
        .filter_map(|(is_checkpoint, configuration, drive)| {
            if drive.is_renamed && drive.is_missing() {
                // A disk that a machine uses under its present path stays there.
                let target = drive.successor.filter(|target| !used.contains(target));
                let target = target.and_then(|target| disks.get(target));
                let target = target.map(|target| target.facts.path.clone());
                return Some(missing(&configuration.path, drive, target));
            }
            drive.pruned?;
            // A machine must not use a target with children, or a half-merged one. These are problems of their own.
            let may_use = |target: &&DiscoveredDisk| {
                target.children.is_empty() && MergeId::from_guid(target.facts.data_write_guid).is_none()
            };
            let target = disks.get(drive.disk?).filter(|target| is_checkpoint || may_use(target))?;
            let (path, stored) = (configuration.path.clone(), drive.stored_path.clone());
            let target = target.facts.path.clone();
            Some(match drive.pruned? {
                PrunedDrive::Merged => MachineProblem::MergedDisk { path, stored, target, is_checkpoint },
                PrunedDrive::Replaced => MachineProblem::ReplacedDisk { path, stored, target },
                PrunedDrive::Deleted => return None,
            })
        });
    of_drives.chain(checkpoints.filter_map(|checkpoint| of_checkpoint(checkpoint, disks))).collect()
}

fn of_checkpoint(checkpoint: &MachineConfiguration, disks: &[DiscoveredDisk]) -> Option<MachineProblem> {
    let is_deleted = |drive: &&MachineDrive| drive.pruned == Some(PrunedDrive::Deleted);
    checkpoint.drives.iter().find(is_deleted)?;
    let path = checkpoint.path.clone();
    // A file that was restored from before the prune does not have its state any more without its parents.
    let is_older = |disk: &DiscoveredDisk| {
        disk.problems.iter().any(|problem| matches!(problem, Problem::OlderThanPrune { .. }))
    };
    let left = checkpoint.disks().filter_map(|disk| disks.get(disk));
    let left = left.filter(|disk| !disk.is_orphan() && !is_older(disk));
    let left: Vec<PathBuf> = left.map(|disk| disk.facts.path.clone()).collect();
    Some(match checkpoint.drives.iter().all(|drive| is_deleted(&drive)) {
        true => MachineProblem::DeletedCheckpoint { path },
        false => MachineProblem::PartlyDeletedCheckpoint { path, disks: left },
    })
}
