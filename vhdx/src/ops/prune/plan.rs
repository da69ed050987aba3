//! The plan of a prune: plain data.

use std::path::PathBuf;
use std::time::SystemTime;

use super::keep::KeptCheckpoint;
use crate::family::TimeSource;
use crate::ops::merge::MergeOptions;
use crate::ops::related_parents::RelatedParents;

/// A plan to delete checkpoints of the disks of a forest.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PrunePlan {
    /// The merges, family by family. If that order does not fit into the free space, they are in an order that does.
    pub merges: Vec<PruneMerge>,
    /// The checkpoints that are kept, in the order of the families.
    pub kept: Vec<KeptCheckpoint>,
    /// The file systems with files of the merges.
    pub volumes: Vec<PruneSpace>,
    /// What an interrupted prune still has to delete. This is done before the merges.
    pub pending: Vec<PendingDeletion>,
    /// When the plan was made.
    pub(super) time: SystemTime,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) parents: RelatedParents,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) options: MergeOptions,
}

/// Files that an interrupted prune still has to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PendingDeletion {
    /// The journal that names them, beside the file into which they were merged.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub journal: PathBuf,
    /// The files that are deleted, in this order.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub files: Vec<PathBuf>,
    /// Whether it is certain that the files can be deleted. If not, they stay, and so does the journal.
    ///
    /// The target must be unchanged, and its child must say that the target has all data.
    pub is_proven: bool,
}

/// A merge that deletes neighbouring checkpoints, or completes an earlier merge.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PruneMerge {
    /// What the merge is for.
    pub stage: PruneStage,
    /// The checkpoints that are deleted, oldest first; empty if an earlier merge is completed.
    pub checkpoints: Vec<PrunedCheckpoint>,
    /// The files that are merged and then deleted, the newest first.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub merged: Vec<PathBuf>,
    /// The file into which they are merged. Afterwards it reads as the first of them did.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub target: PathBuf,
    /// Whether no disk depends on the first of the merged files, so that a machine may use it.
    ///
    /// The machine must use the target instead.
    pub is_newest: bool,
    /// The configurations of machines that name the first of the merged files. They must name the target instead.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub machines: Vec<PathBuf>,
    /// The configurations of checkpoints that name it. The target then has the state of that checkpoint.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub checkpoint_configurations: Vec<PathBuf>,
    /// The number of bytes that are copied.
    pub bytes_to_copy: u64,
    /// The number of bytes by which the target's file grows.
    pub bytes_taken: u64,
    /// The number of bytes that become free when the merged files are deleted, as far as the host knows.
    pub bytes_freed: u64,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) folders: Vec<PathBuf>,
}

/// What a merge of a [`PrunePlan`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum PruneStage {
    /// It completes an earlier merge. The checkpoints of its family are selected afterwards, by another plan.
    Complete,
    /// It deletes checkpoints.
    Delete,
}

/// A checkpoint that is deleted.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PrunedCheckpoint {
    /// The file whose present state is removed.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub path: PathBuf,
    /// The names of the checkpoint.
    pub names: Vec<String>,
    /// When the state was frozen, if known.
    pub time: Option<SystemTime>,
    /// Where the time comes from.
    pub time_source: TimeSource,
    /// The space in bytes that the checkpoint's child takes.
    pub size: u64,
}

/// The space of a file system during a prune, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PruneSpace {
    /// A file that lies there.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub path: PathBuf,
    /// How many bytes are free now, if the host says.
    pub free: Option<u64>,
    /// How many bytes must be free before the first merge, so that all of them fit in this order.
    pub needed: u64,
    /// How many bytes the merges free, less what they take. It is negative if they take more.
    pub gained: i64,
}

impl PrunePlan {
    /// Returns whether the forest must be searched and planned again after the execution.
    ///
    /// The checkpoints of families with an incomplete merge can be selected only when it is complete.
    pub fn needs_another(&self) -> bool {
        self.pending.iter().any(|pending| pending.is_proven)
            || self.merges.iter().any(|merge| merge.stage == PruneStage::Complete)
    }

    /// Returns whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.merges.is_empty() && !self.pending.iter().any(|pending| pending.is_proven)
    }

    /// Returns the checkpoints that are deleted.
    pub fn selected(&self) -> impl Iterator<Item = &PrunedCheckpoint> {
        self.merges.iter().flat_map(|merge| &merge.checkpoints)
    }

    /// Returns the number of bytes that all merges copy.
    pub fn bytes_to_copy(&self) -> u64 {
        self.merges.iter().fold(0, |sum, merge| sum.saturating_add(merge.bytes_to_copy)) // To show only.
    }

    /// Returns the number of bytes by which the targets of all merges grow at most.
    pub fn bytes_taken(&self) -> u64 {
        self.merges.iter().fold(0, |sum, merge| sum.saturating_add(merge.bytes_taken)) // To show only.
    }

    /// Returns the number of bytes that become free when the merged files are deleted.
    pub fn bytes_freed(&self) -> u64 {
        self.merges.iter().fold(0, |sum, merge| sum.saturating_add(merge.bytes_freed)) // To show only.
    }
}
