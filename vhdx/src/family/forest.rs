//! Defines what a search for disks returns: the disks, the links between them, and the problems.

use std::collections::HashSet;
use std::path::Path;

use super::facts::FileFacts;
use super::machine::facts::{DiscoveredMachine, MachineConfiguration};
use super::others::OtherFile;
use super::problem::Problem;
use super::prune_records::PruneRecords;

/// All disks that were found, with the links between them, and the problems.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Forest {
    /// The disks, sorted by path. `parent` and `children` are indices into this list.
    pub disks: Vec<DiscoveredDisk>,
    /// The problems of paths that are not readable disks, sorted by path.
    ///
    /// Examples are damaged files and folders that cannot be read.
    pub problems: Vec<Problem>,
    /// The number of regular files that have neither the name nor a signature of a VHDX.
    pub others: usize,
    /// The files of a known kind among these, sorted by path.
    pub other_files: Vec<OtherFile>,
    /// The virtual machines whose configuration files were found, sorted by the path of that file.
    pub machines: Vec<DiscoveredMachine>,
    /// The configurations of checkpoints whose machine was not found, sorted by path.
    pub lone_checkpoints: Vec<MachineConfiguration>,
    /// What prunes have left beside their merge targets.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) records: PruneRecords,
}

impl Forest {
    /// Returns the index of the disk that was found at a path.
    pub fn index_of(&self, path: &Path) -> Option<usize> {
        self.disks.binary_search_by(|disk| disk.facts.path.as_path().cmp(path)).ok()
    }

    /// Returns the indices of the disks at the roots of the trees.
    ///
    /// These are the disks that need no parent, or that are not linked to one.
    pub fn roots(&self) -> impl Iterator<Item = usize> {
        (0..).zip(&self.disks).filter(|(_, disk)| disk.parent.is_none()).map(|(i, _)| i)
    }

    /// Returns the root of a disk's tree.
    pub(crate) fn root_of(&self, disk: usize) -> usize {
        let mut disk = disk;
        while let Some(parent) = self.disks[disk].parent {
            disk = parent;
        }
        disk
    }

    /// Returns a disk and its ancestors, up to the root of its tree.
    pub(crate) fn line_of(&self, disk: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(disk), |&disk| self.disks[disk].parent)
    }

    /// Returns the disks without children that no disk of `named` is.
    pub(crate) fn leaves_outside(&self, named: &HashSet<usize>) -> impl Iterator<Item = usize> {
        (0..self.disks.len()).filter(|disk| self.disks[*disk].children.is_empty() && !named.contains(disk))
    }

    /// Returns the indices of the disks that need a parent, but are not linked to one.
    pub fn orphans(&self) -> impl Iterator<Item = usize> {
        (0..self.disks.len()).filter(|&i| self.disks[i].is_orphan())
    }

    /// Returns the configurations of all machines and checkpoints.
    pub fn configurations(&self) -> impl Iterator<Item = &MachineConfiguration> {
        let of_machines = self.machines.iter().map(|machine| &machine.configuration);
        of_machines.chain(self.checkpoint_configurations())
    }

    /// Returns the configurations of all checkpoints.
    pub fn checkpoint_configurations(&self) -> impl Iterator<Item = &MachineConfiguration> {
        self.machines.iter().flat_map(|machine| &machine.checkpoints).chain(&self.lone_checkpoints)
    }

    /// Returns all problems, sorted by path, with those of the disks.
    pub fn all_problems(&self) -> Vec<&Problem> {
        let of_disks = self.disks.iter().flat_map(|disk| &disk.problems);
        let mut problems: Vec<&Problem> = of_disks.chain(&self.problems).collect();
        problems.sort_by_key(|problem| problem.path());
        problems
    }
}

/// A disk of a [`Forest`].
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DiscoveredDisk {
    /// The facts about the file.
    pub facts: FileFacts,
    /// The index of the parent, if it was found.
    pub parent: Option<usize>,
    /// The state of the link to the parent.
    pub link: DiskLink,
    /// The indices of the children, in ascending order.
    pub children: Vec<usize>,
    /// The problems of the file and of its link.
    pub problems: Vec<Problem>,
}

/// The state of the link from a disk of a [`Forest`] to its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum DiskLink {
    /// The disk needs no parent.
    Base,
    /// The parent was found.
    Ok,
    /// No file that was found has a DataWriteGuid that the parent must have.
    Missing,
    /// Several files have the DataWriteGuid of the parent.
    ///
    /// No stored path leads to one of them, and they are not proven to be copies. They are copies if all bytes are the
    /// same. Files longer than 1 GiB are not compared.
    Ambiguous,
    /// By their GUIDs, the disk and its ancestors form a cycle.
    Cycle,
}

impl DiscoveredDisk {
    /// Returns whether the disk needs a parent, but is not linked to one.
    pub(crate) fn is_orphan(&self) -> bool {
        self.parent.is_none() && self.link != DiskLink::Base
    }
}

impl DiskLink {
    /// Returns the name in reports: `base`, `ok`, `missing`, `ambiguous` or `cycle`.
    pub const fn name(self) -> &'static str {
        match self {
            DiskLink::Base => "base",
            DiskLink::Ok => "ok",
            DiskLink::Missing => "missing",
            DiskLink::Ambiguous => "ambiguous",
            DiskLink::Cycle => "cycle",
        }
    }
}
