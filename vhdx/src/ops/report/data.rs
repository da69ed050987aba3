//! Defines the report: plain data.

use std::time::{Duration, SystemTime};

use super::finding::Finding;
use super::kind::FindingSeverity;
use super::volumes::Volume;
use crate::family::{Checkpoint, DiscoveredMachine, DiskLink, Family, FileFacts};

/// A report on a forest. The disks and the machines have the same indices as in the [`Forest`](crate::Forest).
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Report {
    /// The time from which all ages are counted.
    pub time: SystemTime,
    /// The disks, sorted by path.
    pub disks: Vec<ReportedDisk>,
    /// The families, in the order of their roots.
    pub families: Vec<ReportedFamily>,
    /// The virtual machines, sorted by the path of their configuration.
    pub machines: Vec<DiscoveredMachine>,
    /// The volumes that hold the disks, in the order of their first disk.
    pub volumes: Vec<Volume>,
    /// The problems and the limits that are passed, sorted by path.
    pub findings: Vec<Finding>,
}

/// A disk of a [`Report`].
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ReportedDisk {
    /// The facts about the file.
    pub facts: FileFacts,
    /// The index of the parent, if it was found.
    pub parent: Option<usize>,
    /// The state of the link to the parent.
    pub link: DiskLink,
    /// The indices of the children.
    pub children: Vec<usize>,
    /// The number of files from the root of the family to this one; 1 for the root.
    pub depth: usize,
    /// The time since the file was last changed, if known; zero for a time in the future.
    pub age: Option<Duration>,
    /// The checkpoint whose state the file keeps. A disk without children keeps none.
    pub checkpoint: Option<Checkpoint>,
    /// The time since the checkpoint was made, if known; zero for a time in the future.
    pub checkpoint_age: Option<Duration>,
}

/// A family of a [`Report`].
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ReportedFamily {
    /// The disks and machines.
    pub members: Family,
    /// The space in bytes that all differencing files of the family take.
    pub bytes_of_checkpoints: u64,
    /// The maximum space in bytes that deleting all deletable checkpoints of the family frees.
    ///
    /// It is the space of each file that is the only child of its parent, because a checkpoint with several children
    /// cannot be deleted. The actual space is less: merged data that the parent's file has no space for makes it grow.
    pub freed_at_most: u64,
    /// The findings about its disks, as indices into [`Report::findings`].
    pub findings: Vec<usize>,
}

impl Report {
    /// Returns whether a limit is passed, or cannot be compared because a fact is not known.
    pub fn passes_limit(&self) -> bool {
        self.findings.iter().any(|finding| finding.kind.is_of_limit())
    }

    /// Returns the severity of the worst finding, if there is any.
    pub fn worst(&self) -> Option<FindingSeverity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}
