//! What is true about an estate: which disks can be read, which links and problems a search must find.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::disk::{EstateFile, EstateLink};
use super::{Estate, EstateCheckpoint, EstateDrive, EstateMachine};

/// A problem that a search of an estate must report. It must report no other one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EstateProblem {
    /// The disk is damaged.
    Damaged(PathBuf),
    /// The parent of the disk is damaged or gone.
    LostParent(PathBuf),
    /// No path that the disk stores leads to its parent.
    StalePath(PathBuf),
    /// The configuration file is damaged.
    Unreadable(PathBuf),
    /// The configuration names a disk by a path that leads nowhere.
    MissingDisk(PathBuf, String),
    /// Several machines name the disk.
    SharedDisk(PathBuf),
    /// The configuration names this disk, which has children.
    NotTheNewest(PathBuf, PathBuf),
    /// No configuration names the disk, and it has no children.
    NoMachine(PathBuf),
    /// The checkpoint's machine cannot be found.
    UnknownMachine(PathBuf),
}

impl Estate {
    /// Returns the children of a disk whose files can be read.
    pub fn children(&self, disk: usize) -> impl Iterator<Item = usize> {
        let is_child = move |i: &usize| self.disks[*i].parent == Some(disk) && self.disks[*i].is_found();
        (0..self.disks.len()).filter(is_child)
    }

    /// Returns the disk at the root of the tree that can be found, for a disk whose file can be read.
    pub fn root_of(&self, disk: usize) -> usize {
        match self.disks[disk].parent {
            Some(parent) if self.disks[disk].link != EstateLink::Lost => self.root_of(parent),
            _ => disk,
        }
    }

    /// Returns whether the disk and all its ancestors can be read.
    pub fn is_whole(&self, disk: usize) -> bool {
        self.disks[disk].is_found() && self.disks[disk].parent.is_none_or(|parent| self.is_whole(parent))
    }

    /// Returns the content of each disk that can be read through all its ancestors.
    pub fn contents(&self) -> impl Iterator<Item = (usize, Vec<u8>)> {
        (0..self.disks.len()).filter(|&i| self.is_whole(i)).map(|i| (i, self.disks[i].content()))
    }

    /// Returns the disk that a search finds by the path in a configuration.
    pub fn found(&self, drive: &EstateDrive) -> Option<usize> {
        Some(drive.disk).filter(|&disk| self.disks[disk].file == EstateFile::Sound)
    }

    /// Returns the machines whose configurations can be read, sorted by path.
    pub fn readable_machines(&self) -> Vec<&EstateMachine> {
        let mut machines: Vec<_> = self.machines.iter().filter(|machine| !machine.is_unreadable).collect();
        machines.sort_by(|a, b| a.configuration.cmp(&b.configuration));
        machines
    }

    /// Returns whether a search finds the machine of a checkpoint: both use one family at the same location.
    pub fn is_owner_known(&self, machine: &EstateMachine, checkpoint: &EstateCheckpoint) -> bool {
        let root = |drive: &EstateDrive| Some((drive.location, self.root_of(self.found(drive)?)));
        let used: Vec<_> = machine.drives.iter().filter_map(root).collect();
        !machine.is_unreadable
            && checkpoint.drives.iter().filter_map(root).any(|used_then| used.contains(&used_then))
    }

    /// Returns the checkpoints whose configurations name a disk, with their machines.
    pub fn checkpoints_of(&self, disk: usize) -> Vec<(&EstateMachine, &EstateCheckpoint)> {
        let all = self
            .machines
            .iter()
            .flat_map(|machine| machine.checkpoints.iter().map(move |checkpoint| (machine, checkpoint)));
        all.filter(|(_, checkpoint)| checkpoint.drives.iter().any(|drive| self.found(drive) == Some(disk)))
            .collect()
    }

    /// Returns all problems that a search must report, sorted.
    pub fn problems(&self) -> Vec<EstateProblem> {
        let mut problems = Vec::new();
        self.problems_of_files(&mut problems);
        self.problems_of_configurations(&mut problems);
        self.problems_of_use(&mut problems);
        problems.sort();
        problems
    }

    fn problems_of_files(&self, problems: &mut Vec<EstateProblem>) {
        for disk in &self.disks {
            let path = disk.path.clone();
            match (disk.file, disk.link) {
                (EstateFile::Damaged, _) => problems.push(EstateProblem::Damaged(path)),
                (EstateFile::Gone, _) | (_, EstateLink::Base | EstateLink::Ok) => {}
                (_, EstateLink::Lost) => problems.push(EstateProblem::LostParent(path)),
                (_, EstateLink::Stale) => problems.push(EstateProblem::StalePath(path)),
            }
        }
    }

    fn problems_of_configurations(&self, problems: &mut Vec<EstateProblem>) {
        for machine in &self.machines {
            if machine.is_unreadable {
                problems.push(EstateProblem::Unreadable(machine.configuration.clone()));
            }
            let own = (!machine.is_unreadable).then_some((&machine.configuration, &machine.drives));
            let checkpoints = machine.checkpoints.iter().map(|of| (&of.configuration, &of.drives));
            for (path, drives) in own.into_iter().chain(checkpoints) {
                let lost = drives.iter().filter(|drive| self.found(drive).is_none());
                problems.extend(
                    lost.map(|drive| EstateProblem::MissingDisk(path.clone(), drive.stored_path.clone())),
                );
            }
            let unknown = machine.checkpoints.iter().filter(|of| !self.is_owner_known(machine, of));
            problems.extend(unknown.map(|of| EstateProblem::UnknownMachine(of.configuration.clone())));
        }
    }

    fn problems_of_use(&self, problems: &mut Vec<EstateProblem>) {
        let machines = self.readable_machines();
        let mut users: BTreeMap<usize, usize> = BTreeMap::new();
        for machine in &machines {
            for disk in machine.drives.iter().filter_map(|drive| self.found(drive)) {
                *users.entry(disk).or_default() += 1;
                if self.children(disk).next().is_some() {
                    let (configuration, disk) =
                        (machine.configuration.clone(), self.disks[disk].path.clone());
                    problems.push(EstateProblem::NotTheNewest(configuration, disk));
                }
            }
        }
        for (i, disk) in self.disks.iter().enumerate() {
            match users.get(&i) {
                Some(1) => {}
                Some(_) => problems.push(EstateProblem::SharedDisk(disk.path.clone())),
                None => {
                    let is_unused = disk.is_found()
                        && self.children(i).next().is_none()
                        && self.checkpoints_of(i).is_empty()
                        && !machines.is_empty();
                    if is_unused {
                        problems.push(EstateProblem::NoMachine(disk.path.clone()));
                    }
                }
            }
        }
    }
}
