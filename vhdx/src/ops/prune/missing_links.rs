//! Finds the disks on which the missing parent of another disk may depend.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::family::{
    DiscoveredDisk, DiskLink, Forest, Problem, TargetContent, machine_folder_on_host, parent_folders,
};

/// Returns the disks on which a missing parent may depend, each with the child that lacks the parent.
///
/// Windows gives a child the VirtualDiskId of its parent, so the missing disk has the same one. If no other disk has it,
/// the missing disk may depend on any disk in its folder, or in that of its child.
///
/// If undetermined files are ignored, so is a missing parent that is probably one of them.
pub(super) fn ancestors(forest: &Forest, ignore_undetermined: bool) -> Vec<(usize, &Path)> {
    let mut orphans: HashMap<Option<Uuid>, &DiscoveredDisk> = HashMap::new();
    let mut folders: HashMap<PathBuf, &DiscoveredDisk> = HashMap::new();
    let mut roots = HashSet::new();
    for (i, disk) in
        forest.disks.iter().enumerate().filter(|(_, disk)| lacks_a_parent(disk, ignore_undetermined))
    {
        roots.insert(i);
        orphans.insert(disk.facts.virtual_disk_id, disk);
        let own = machine_folder_on_host(&disk.facts.path);
        let of_parent = parent_folders(&disk.facts);
        folders.extend(own.into_iter().chain(of_parent).map(|folder| (folder, disk)));
    }
    if orphans.is_empty() {
        return Vec::new();
    }
    // What depends on the missing disk is not an ancestor of it.
    let others: Vec<usize> =
        (0..forest.disks.len()).filter(|&disk| !roots.contains(&forest.root_of(disk))).collect();
    let of_id = |disk: &usize| {
        let id = forest.disks[*disk].facts.virtual_disk_id;
        let orphan = orphans.get(&id).filter(|_| id.is_some())?;
        Some((*disk, orphan.facts.path.as_path()))
    };
    let mut found: Vec<(usize, &Path)> = others.iter().filter_map(of_id).collect();
    let known: HashSet<Option<Uuid>> =
        found.iter().map(|(disk, _)| forest.disks[*disk].facts.virtual_disk_id).collect();
    let of_folder = |disk: &usize| {
        let folder = machine_folder_on_host(&forest.disks[*disk].facts.path)?;
        let orphan = folders.get(&folder).filter(|orphan| !known.contains(&orphan.facts.virtual_disk_id))?;
        Some((*disk, orphan.facts.path.as_path()))
    };
    found.extend(others.iter().filter_map(of_folder));
    found
}

/// Returns whether the parent of a disk is missing, and may still be found.
fn lacks_a_parent(disk: &DiscoveredDisk, ignore_undetermined: bool) -> bool {
    let is_lost = |problem: &Problem| match problem {
        // No disk that stays can help it.
        Problem::PrunedParent { parent, .. } => parent.is_certain && parent.content == TargetContent::Other,
        Problem::LeftOver { .. } => true,
        Problem::LostParent { unidentified_count: 1.., .. } => ignore_undetermined,
        _ => false,
    };
    disk.parent.is_none() && disk.link != DiskLink::Base && !disk.problems.iter().any(is_lost)
}
