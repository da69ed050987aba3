//! Finds the disks that may be needed by something that was not found.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::keep::KeepReason;
use super::{missing_links, unread_machines};
use crate::family::{
    DiscoveredDisk, DiscoveredMachine, Forest, MachineDrive, Problem, machine_folder_on_host, stem,
};

/// Why something that was not found may need a disk.
pub(super) enum Unseen {
    /// The configuration of a machine names a disk that was not found.
    Disk(PathBuf),
    /// The machine of the configuration of a checkpoint was not found.
    Machine(PathBuf),
    /// The parent of this disk was not found, or is in a folder that was not searched.
    Parent { child: PathBuf, elsewhere: Option<PathBuf> },
    /// This configuration or folder cannot be read.
    Unread(PathBuf),
}

impl Unseen {
    pub(super) fn reason(&self) -> KeepReason {
        match self {
            Self::Disk(path) => KeepReason::NewerDiskMissing { configuration: path.clone() },
            Self::Machine(path) => KeepReason::MachineNotFound { configuration: path.clone() },
            Self::Parent { child, elsewhere } => {
                KeepReason::MissingLink { child: child.clone(), elsewhere: elsewhere.clone() }
            }
            Self::Unread(path) => KeepReason::Unread { path: path.clone() },
        }
    }
}

/// Returns the disks that something that was not found may need, each with the reason.
///
/// - A machine has checkpoints in a family, and a disk that it uses was not found. It may depend on the disks that the
///   checkpoints froze, and on the disks below these.
/// - The machine of a checkpoint was not found, and the checkpoint froze a disk without children.
/// - A disk of a machine was not found, and no configuration names a disk without children that is in the folder of the
///   machine, or is named like the missing disk and of a family without a known machine. Both may depend on the same disks.
/// - The parent of a disk was not found. It may depend on the disks of its family.
/// - The configuration of a machine cannot be read. The machine may use disks of its folder, or those of no machine.
/// - A folder cannot be listed, or a disk may not be read. Anything may be in it, or depend on any disk.
pub(super) fn unseen(forest: &Forest, ignore_undetermined: bool) -> HashMap<usize, Unseen> {
    let mut unseen = HashMap::new();
    for machine in &forest.machines {
        for disk in frozen_by(forest, machine) {
            add(&mut unseen, forest, disk, || Unseen::Disk(machine.configuration.path.clone()));
        }
    }
    let used: HashSet<usize> =
        forest.machines.iter().flat_map(|machine| machine.configuration.disks()).collect();
    let is_leaf = |disk: usize| forest.disks[disk].children.is_empty();
    for checkpoint in &forest.lone_checkpoints {
        for disk in checkpoint.disks().filter(|&disk| is_leaf(disk) && !used.contains(&disk)) {
            add(&mut unseen, forest, disk, || Unseen::Machine(checkpoint.path.clone()));
        }
    }
    for (disk, child) in missing_links::ancestors(forest, ignore_undetermined) {
        let (path, elsewhere) = (&child.facts.path, parent_elsewhere(child));
        let parent = || Unseen::Parent { child: path.clone(), elsewhere: elsewhere.map(Path::to_owned) };
        add(&mut unseen, forest, disk, parent);
    }
    // From here on, descendants are not added, so these disks come last.
    let named: HashSet<usize> = forest.configurations().flat_map(|of| of.disks()).collect();
    let missing = MissingDisks::of(forest);
    let known: HashSet<usize> = used.iter().map(|&disk| forest.root_of(disk)).collect();
    for leaf in forest.leaves_outside(&named) {
        let is_known = known.contains(&forest.root_of(leaf));
        if let Some(configuration) = missing.configuration_near(&forest.disks[leaf].facts.path, is_known) {
            for disk in forest.line_of(leaf) {
                unseen.entry(disk).or_insert_with(|| Unseen::Disk(configuration.to_owned()));
            }
        }
    }
    for (disk, path) in unread_machines::disks(forest) {
        unseen.entry(disk).or_insert_with(|| Unseen::Unread(path.to_owned()));
    }
    if let Some(folder) = forest.unread_anything().filter(|_| !ignore_undetermined) {
        for disk in 0..forest.disks.len() {
            unseen.entry(disk).or_insert_with(|| Unseen::Unread(folder.to_owned()));
        }
    }
    unseen
}

/// Returns the parent of a disk, if it is in a folder that was not searched.
pub(super) fn parent_elsewhere(disk: &DiscoveredDisk) -> Option<&Path> {
    disk.problems.iter().find_map(|problem| match problem {
        Problem::ParentElsewhere { parent, .. } => Some(parent.as_path()),
        _ => None,
    })
}

/// Adds a disk and all its descendants.
fn add(unseen: &mut HashMap<usize, Unseen>, forest: &Forest, disk: usize, why: impl Fn() -> Unseen) {
    let mut waiting = vec![disk];
    while let Some(disk) = waiting.pop() {
        if let Entry::Vacant(entry) = unseen.entry(disk) {
            entry.insert(why());
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
    let used: HashSet<usize> = machine.configuration.members().map(|disk| forest.root_of(disk)).collect();
    let may_need = |drive: &&MachineDrive| {
        let member = drive.disk.or(drive.successor);
        missing.contains(&drive.place) || !member.is_some_and(|disk| used.contains(&forest.root_of(disk)))
    };
    let frozen = machine.checkpoints.iter().flat_map(|checkpoint| &checkpoint.drives).filter(may_need);
    frozen.filter_map(|drive| drive.disk.or(drive.successor)).collect()
}

/// The disks of machines that were not found, each with the configuration of the machine.
struct MissingDisks<'a> {
    /// By the stems of their names.
    by_stem: HashMap<String, &'a Path>,
    /// By the folders of their machines.
    by_folder: HashMap<PathBuf, &'a Path>,
}

impl<'a> MissingDisks<'a> {
    fn of(forest: &'a Forest) -> Self {
        let mut missing = Self { by_stem: HashMap::new(), by_folder: HashMap::new() };
        for machine in &forest.machines {
            let path = machine.configuration.path.as_path();
            for drive in machine.configuration.drives.iter().filter(|drive| drive.is_missing()) {
                missing.by_stem.insert(stem(name_of(&drive.stored_path)), path);
                missing.by_folder.extend(machine_folder_on_host(path).map(|folder| (folder, path)));
            }
        }
        missing
    }

    /// Returns the configuration whose missing disk has the folder of a disk, or the stem of its name.
    ///
    /// Many machines have disks of one name. If a machine of the family is known, the stem says nothing.
    fn configuration_near(&self, disk: &Path, is_machine_known: bool) -> Option<&'a Path> {
        let name = disk.file_name()?.to_string_lossy();
        let by_stem = || self.by_stem.get(&stem(&name)).filter(|_| !is_machine_known);
        self.by_folder.get(&machine_folder_on_host(disk)?).or_else(by_stem).copied()
    }
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
