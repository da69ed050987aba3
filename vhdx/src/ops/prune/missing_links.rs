//! Finds the disks on which the missing parent of another disk may depend.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use uuid::Uuid;

use crate::family::{DiscoveredDisk, DiskLink, Forest, Problem, TargetContent, machine_folder, stem};

/// Returns the disks on which a missing parent may depend, each with the child that lacks the parent.
///
/// Windows gives a child the VirtualDiskId of its parent, so the missing disk has the same one. A checkpoint's file has the
/// name of its parent, with another GUID. So disks of other machines are left out: those in the folder of another machine
/// that uses them, if they are not named like the missing disk.
pub(super) fn ancestors(forest: &Forest) -> Vec<(usize, &Path)> {
    let orphans: Vec<usize> = (0..forest.disks.len()).filter(|&i| lacks_a_parent(&forest.disks[i])).collect();
    if orphans.is_empty() {
        return Vec::new();
    }
    let private = private(forest);
    let mut of_family: HashMap<Uuid, Vec<usize>> = HashMap::new();
    for (i, disk) in forest.disks.iter().enumerate() {
        if let Some(id) = disk.facts.virtual_disk_id {
            of_family.entry(id).or_default().push(i);
        }
    }
    let mut found = Vec::new();
    for root in orphans {
        let orphan = &forest.disks[root];
        let names = names_of_parent(orphan);
        let Some(others) = orphan.facts.virtual_disk_id.and_then(|id| of_family.get_mut(&id)) else {
            continue;
        };
        // Each disk is found once, so that the work does not grow with the number of orphans.
        others.retain(|&disk| {
            if forest.root_of(disk) == root {
                return true; // It depends on the missing disk.
            }
            let path = &forest.disks[disk].facts.path;
            let is_of_another_machine = private.contains(&disk)
                && machine_folder(path) != machine_folder(&orphan.facts.path)
                && !names.is_empty()
                && !path.file_name().is_some_and(|name| names.contains(&stem(&name.to_string_lossy())));
            if !is_of_another_machine {
                found.push((disk, orphan.facts.path.as_path()));
            }
            is_of_another_machine
        });
    }
    found
}

/// Returns whether the parent of a disk is missing, and may still be found.
fn lacks_a_parent(disk: &DiscoveredDisk) -> bool {
    let is_lost = |problem: &Problem| match problem {
        // No disk that stays can help it.
        Problem::PrunedParent { parent, .. } => parent.content == TargetContent::Other,
        Problem::LeftOver { .. } => true,
        _ => false,
    };
    disk.parent.is_none() && disk.link != DiskLink::Base && !disk.problems.iter().any(is_lost)
}

/// Returns the stems of the names under which a disk stores its parent.
fn names_of_parent(disk: &DiscoveredDisk) -> HashSet<String> {
    let mut names = HashSet::new();
    for problem in &disk.problems {
        match problem {
            Problem::LostParent { stored, .. } => {
                names.extend(stored.iter().filter_map(|path| path.file_name()).map(stem));
            }
            Problem::ParentElsewhere { parent, .. } => {
                names.extend(parent.file_name().map(|name| stem(&name.to_string_lossy())));
            }
            _ => {}
        }
    }
    names
}

/// Returns the disks in the folder of a machine that uses them, or a disk that depends on them.
fn private(forest: &Forest) -> HashSet<usize> {
    let mut private = HashSet::new();
    for machine in &forest.machines {
        let folder = machine_folder(&machine.configuration.path);
        for disk in machine.configuration.disks() {
            let mut next = Some(disk);
            while let Some(disk) = next {
                let DiscoveredDisk { facts, parent, .. } = &forest.disks[disk];
                next = parent.filter(|_| machine_folder(&facts.path) == folder && private.insert(disk));
            }
        }
    }
    private
}
