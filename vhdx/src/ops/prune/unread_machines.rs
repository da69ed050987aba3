//! Finds the disks that a machine may use whose configuration cannot be read.

use std::collections::HashMap;
use std::path::Path;

use crate::family::{Forest, machine_folder};

/// Returns the disks that such a machine may use, each with the configuration or the folder that cannot be read.
///
/// These are the disks in the folder of the machine. If it has none, they are the disks of all families whose machine is
/// not known.
pub(super) fn disks(forest: &Forest) -> Vec<(usize, &Path)> {
    let unread = forest.unread_machines();
    if unread.is_empty() {
        return Vec::new();
    }
    let mut by_folder: HashMap<&Path, Vec<usize>> = HashMap::new();
    for (i, disk) in forest.disks.iter().enumerate() {
        if let Some(folder) = machine_folder(&disk.facts.path) {
            by_folder.entry(folder).or_default().push(i);
        }
    }
    let mut found = Vec::new();
    let mut elsewhere = None;
    for (path, folders) in &unread {
        let near = folders.iter().filter_map(|folder| by_folder.get(folder.as_path())).flatten();
        let before = found.len();
        found.extend(near.map(|&disk| (disk, *path)));
        if found.len() == before {
            elsewhere = elsewhere.or(Some(*path));
        }
    }
    if let Some(path) = elsewhere {
        let unknown = forest.families().into_iter().filter(|family| family.machines.is_empty());
        found.extend(unknown.flat_map(|family| family.disks).map(|disk| (disk, path)));
    }
    found
}
