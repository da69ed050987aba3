//! Finds disks without children that no configuration names, and files that may still need them.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::facts::{DiscoveredMachine, MachineConfiguration};
use super::names::{machine_folder, stem, stored_names};
use super::owner::roots;
use super::problem::{MachineProblem, UnusedDisk, UsedDisk};
use super::unread::Unread;
use crate::family::forest::DiscoveredDisk;
use crate::family::problem::Problem;
use crate::windows_path::fold_name;

/// The disks and configurations of a search, with its problems.
pub(super) struct FoundFiles<'a> {
    pub(super) machines: &'a [DiscoveredMachine],
    pub(super) lone_checkpoints: &'a [MachineConfiguration],
    pub(super) disks: &'a [DiscoveredDisk],
    /// The problems of the configurations that were found so far.
    pub(super) problems: &'a [MachineProblem],
    pub(super) unread: &'a Unread,
}

impl<'a> FoundFiles<'a> {
    /// Returns the disks without children that no configuration names. A disk that a checkpoint froze is not one of them.
    pub(super) fn unused(&self) -> Vec<UnusedDisk> {
        let named: HashSet<usize> = self.configurations().flat_map(MachineConfiguration::disks).collect();
        let is_unused = |i: &usize| self.disks[*i].children.is_empty() && !named.contains(i);
        let unused: Vec<usize> = (0..self.disks.len()).filter(is_unused).collect();
        if unused.is_empty() {
            return Vec::new();
        }
        let (nearest, needs) = (self.used_nearby(), Needs::of(self));
        let disk = |i: usize| {
            let needed = needs.of_disk(self, i);
            UnusedDisk {
                path: self.disks[i].facts.path.clone(),
                nearest_used: nearest[i].map(|(disk, machine)| self.used_disk(disk, machine)),
                has_siblings: self.disks[i]
                    .parent
                    .is_some_and(|parent| self.disks[parent].children.len() > 1),
                may_be_needed_by: needed.or(needs.general).map(Path::to_owned),
                is_example: needed.is_none() && needs.general.is_some(),
            }
        };
        unused.into_iter().map(disk).collect()
    }

    fn configurations(&self) -> impl Iterator<Item = &'a MachineConfiguration> {
        let of_machines = self
            .machines
            .iter()
            .flat_map(|machine| std::iter::once(&machine.configuration).chain(&machine.checkpoints));
        of_machines.chain(self.lone_checkpoints)
    }

    fn used_disk(&self, disk: usize, machine: usize) -> UsedDisk {
        let configuration = &self.machines[machine].configuration;
        UsedDisk {
            path: self.disks[disk].facts.path.clone(),
            machine: configuration.name.clone(),
            configuration: configuration.path.clone(),
        }
    }

    /// Returns for each disk the nearest disk without children that a machine uses, and that machine.
    ///
    /// The nearest disk shares the closest ancestor with the disk.
    fn used_nearby(&self) -> Vec<Option<(usize, usize)>> {
        let mut nearby: Vec<Option<(usize, usize)>> = vec![None; self.disks.len()];
        for (number, machine) in self.machines.iter().enumerate() {
            for leaf in machine.configuration.disks().filter(|&disk| self.disks[disk].children.is_empty()) {
                let mut ancestor = Some(leaf);
                // If a disk is already visited, so are all its ancestors.
                while let Some(disk) = ancestor.filter(|&disk| nearby[disk].is_none()) {
                    nearby[disk] = Some((leaf, number));
                    ancestor = self.disks[disk].parent;
                }
            }
        }
        let mut waiting: Vec<usize> =
            (0..self.disks.len()).filter(|&disk| self.disks[disk].parent.is_none()).collect();
        while let Some(disk) = waiting.pop() {
            for &child in &self.disks[disk].children {
                nearby[child] = nearby[child].or(nearby[disk]);
                waiting.push(child);
            }
        }
        nearby
    }
}

/// Reasons why a disk that no configuration names may still be needed.
struct Needs<'a> {
    roots: Vec<usize>,
    /// Disks that name a parent, by its DataWriteGuid.
    children: HashMap<Uuid, &'a Path>,
    /// Disks that may depend on any other disk of their machine, by its folder.
    without_linkage: HashMap<&'a Path, &'a Path>,
    /// The disks whose deleted state a configuration names.
    successors: HashMap<usize, &'a Path>,
    /// Outdated configurations: they do not name the disk that their machine uses now. The three maps index them by
    /// family, by machine folder, and by the name of the missing disk.
    by_family: HashMap<usize, &'a Path>,
    by_folder: HashMap<&'a Path, &'a Path>,
    by_stem: HashMap<String, &'a Path>,
    /// The disks that lack their parent, by their VirtualDiskId, which their ancestors have too.
    orphans: HashMap<Option<Uuid>, &'a Path>,
    /// The configurations that name a disk, by the name of its file. Several disks can have one name.
    by_name: HashMap<String, Vec<(Option<usize>, &'a Path)>>,
    /// A path that could not be read, or a configuration that names a disk that was not found. It may need any disk.
    general: Option<&'a Path>,
}

impl<'a> Needs<'a> {
    fn of(files: &FoundFiles<'a>) -> Self {
        let mut needs = Self {
            roots: roots(files.disks),
            children: HashMap::new(),
            without_linkage: HashMap::new(),
            successors: HashMap::new(),
            by_family: HashMap::new(),
            by_folder: HashMap::new(),
            by_stem: HashMap::new(),
            orphans: HashMap::new(),
            by_name: HashMap::new(),
            general: files.unread.first().map(PathBuf::as_path),
        };
        for disk in files.disks {
            let DiscoveredDisk { facts, problems, .. } = disk;
            let is_left_over = problems.iter().any(|problem| matches!(problem, Problem::LeftOver { .. }));
            if disk.is_orphan() && !is_left_over {
                needs.orphans.insert(facts.virtual_disk_id, &facts.path);
            }
            let linkages = [facts.linkage, facts.linkage2].into_iter().flatten();
            needs.children.extend(linkages.map(|guid| (guid, facts.path.as_path())));
            if let Some(folder) = machine_folder(&facts.path).filter(|_| facts.lost_linkage.is_some()) {
                needs.without_linkage.insert(folder, &facts.path);
            }
        }
        for configuration in files.configurations() {
            let successors = configuration.drives.iter().filter_map(|drive| drive.successor);
            needs.successors.extend(successors.map(|disk| (disk, configuration.path.as_path())));
            for drive in &configuration.drives {
                if let Some(name) = stored_names(&drive.stored_path).into_iter().next() {
                    needs.by_name.entry(name).or_default().push((drive.disk, &configuration.path));
                }
            }
        }
        needs.add_configurations(files);
        needs
    }

    /// Adds the configurations with a problem.
    fn add_configurations(&mut self, files: &FoundFiles<'a>) {
        let mut outdated: HashSet<&Path> = HashSet::new();
        for problem in files.problems {
            match problem {
                // With `damaged`, the unreadable file itself may need the disk.
                MachineProblem::MissingDisk { path, stored, damaged: None, .. } => {
                    outdated.insert(path);
                    self.general = self.general.or(Some(path));
                    let name = stored_names(stored).into_iter().next();
                    self.by_stem.extend(name.map(|name| (stem(&name), path.as_path())));
                    self.by_folder.extend(machine_folder(path).map(|folder| (folder, path.as_path())));
                }
                MachineProblem::NotTheNewest { path, .. } => drop(outdated.insert(path)),
                _ => {}
            }
        }
        for configuration in files.configurations() {
            if let Some(&path) = outdated.get(configuration.path.as_path()) {
                let families = configuration.members().filter_map(|disk| self.roots.get(disk));
                self.by_family.extend(families.map(|&root| (root, path)));
            }
        }
        // The disk that a machine uses was not found, but its checkpoints are in the family.
        for machine in files.machines {
            if let Some(&path) = outdated.get(machine.configuration.path.as_path()) {
                let members = machine.checkpoints.iter().flat_map(MachineConfiguration::members);
                let families = members.filter_map(|disk| self.roots.get(disk));
                self.by_family.extend(families.map(|&root| (root, path)));
            }
        }
    }

    /// Returns a file or folder that may need this disk, as far as something points to this disk.
    fn of_disk(&self, files: &FoundFiles<'a>, disk: usize) -> Option<&'a Path> {
        let DiscoveredDisk { facts, problems, .. } = &files.disks[disk];
        let folder = machine_folder(&facts.path);
        let file_name = facts.path.file_name().map(|name| name.to_string_lossy());
        let of_merge = || problems.iter().find(|problem| is_of_merge(problem)).map(Problem::path);
        // Without an id, the missing ancestors of an orphan may be of any disk.
        let orphan = || self.orphans.get(&facts.virtual_disk_id).or(self.orphans.get(&None)).copied();
        let namesake = || {
            let named = self.by_name.get(&fold_name(file_name.as_deref()?))?;
            named.iter().find(|(other, _)| *other != Some(disk)).map(|(_, path)| *path)
        };
        let found = self.children.get(&facts.data_write_guid).copied().or_else(of_merge);
        let found = found.or_else(|| self.successors.get(&disk).copied());
        let found = found.or_else(|| self.by_family.get(self.roots.get(disk)?).copied());
        let found = found.or_else(orphan).or_else(namesake);
        let found = found.or_else(|| self.without_linkage.get(folder?).copied());
        let found = found.or_else(|| self.by_folder.get(folder?).copied());
        let found = found.or_else(|| files.unread.near_disk(&facts.path).map(PathBuf::as_path));
        found.or_else(|| self.by_stem.get(&stem(file_name.as_deref()?)).copied())
    }
}

/// Returns whether a disk takes part in a merge. Its own problem says which files may be deleted.
fn is_of_merge(problem: &Problem) -> bool {
    matches!(
        problem,
        Problem::LayerOfMerge { .. }
            | Problem::MergeBegun { .. }
            | Problem::HalfMerged { .. }
            | Problem::LeftOver { .. }
    )
}
