//! Finds the disks on which the missing parent of another disk may depend.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use uuid::Uuid;

use crate::family::{DiscoveredDisk, Forest, Problem, TargetContent, machine_folder_on_host, parent_folders};

/// Returns the disks on which a missing parent may depend, each with the child that lacks the parent.
///
/// Windows gives a child the VirtualDiskId of its parent, so the missing disk has the same one. If no other disk has it,
/// the missing disk may depend on any disk in its folder, or in that of its child.
///
/// If undetermined files are ignored, so is a missing parent that is probably one of them.
pub(super) fn ancestors(forest: &Forest, ignore_undetermined: bool) -> Vec<(usize, &DiscoveredDisk)> {
    let orphans: Vec<usize> =
        forest.orphans().filter(|&disk| may_be_found(&forest.disks[disk], ignore_undetermined)).collect();
    let by_id: HashMap<Uuid, &DiscoveredDisk> = orphans
        .iter()
        .map(|&disk| &forest.disks[disk])
        .filter_map(|disk| Some((disk.facts.virtual_disk_id?, disk)))
        .collect();
    let roots: HashSet<usize> = orphans.iter().copied().collect();
    // What depends on the missing disk is not an ancestor of it.
    let others: Vec<usize> = match roots.is_empty() {
        true => Vec::new(),
        false => (0..forest.disks.len()).filter(|&disk| !roots.contains(&forest.root_of(disk))).collect(),
    };
    let id_of = |disk: usize| forest.disks[disk].facts.virtual_disk_id;
    let mut found: Vec<(usize, &DiscoveredDisk)> =
        others.iter().filter_map(|&disk| Some((disk, *by_id.get(&id_of(disk)?)?))).collect();
    let known: HashSet<Option<Uuid>> = found.iter().map(|&(disk, _)| id_of(disk)).collect();
    let mut by_folder: HashMap<PathBuf, &DiscoveredDisk> = HashMap::new();
    for &disk in orphans.iter().filter(|&&disk| !known.contains(&id_of(disk))) {
        let orphan = &forest.disks[disk];
        let facts = &orphan.facts;
        let folders = machine_folder_on_host(&facts.path).into_iter().chain(parent_folders(facts));
        by_folder.extend(folders.map(|folder| (folder, orphan)));
    }
    if !by_folder.is_empty() {
        let near = |disk: usize| by_folder.get(&machine_folder_on_host(&forest.disks[disk].facts.path)?);
        found.extend(others.iter().filter_map(|&disk| Some((disk, *near(disk)?))));
    }
    found
}

/// Returns whether the missing parent of a disk may still be found.
fn may_be_found(disk: &DiscoveredDisk, ignore_undetermined: bool) -> bool {
    let is_lost = |problem: &Problem| match problem {
        // No disk that stays can help it.
        Problem::PrunedParent { parent, .. } => parent.is_certain && parent.content == TargetContent::Other,
        Problem::LeftOver { .. } => true,
        Problem::LostParent { unidentified_count: 1.., .. } => ignore_undetermined,
        _ => false,
    };
    !disk.problems.iter().any(is_lost)
}
