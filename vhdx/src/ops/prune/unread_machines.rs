//! Finds the disks that a machine may use whose configuration cannot be read.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::family::{Forest, machine_folder_on_host};

/// Returns the disks that such a machine may use, each with the configuration that cannot be read.
///
/// These are the disks in the folder of the machine, and the chains of all newest disks that no other machine uses.
pub(super) fn disks(forest: &Forest) -> Vec<(usize, &Path)> {
    let unread = forest.unread_machines();
    let Some(first) = unread.first() else { return Vec::new() };
    let by_folder: HashMap<PathBuf, &Path> =
        unread.iter().filter_map(|path| Some((machine_folder_on_host(path)?, *path))).collect();
    let near = forest.disks.iter().enumerate().filter_map(|(i, disk)| {
        let path = by_folder.get(&machine_folder_on_host(&disk.facts.path)?)?;
        Some((i, *path))
    });
    let used: HashSet<usize> =
        forest.machines.iter().flat_map(|machine| machine.configuration.disks()).collect();
    let elsewhere = forest.leaves_outside(&used).flat_map(|leaf| forest.line_of(leaf));
    near.chain(elsewhere.map(|disk| (disk, *first))).collect()
}
