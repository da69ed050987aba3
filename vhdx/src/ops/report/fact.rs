//! The facts of a finding.

use std::time::{Duration, SystemTime};

use super::kind::{FindingKind, FindingSeverity, kind_of_problem, severity_of_problem};
use crate::family::{Problem, TimeSource};

/// The facts of a [`Finding`](super::Finding). All sizes are in bytes.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum FindingFact {
    /// A problem of the forest.
    Problem(Box<Problem>),
    /// A checkpoint is older than the limit.
    OldCheckpoint {
        /// The names of the checkpoint.
        names: Vec<String>,
        /// The time since it was made.
        age: Duration,
        /// The limit.
        limit: Duration,
        /// Where the time comes from.
        time_source: TimeSource,
    },
    /// A checkpoint is larger than the limit.
    LargeCheckpoint {
        /// The names of the checkpoint.
        names: Vec<String>,
        /// The space that deleting it can free at most, over all of its disks.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The age of a checkpoint is not known.
    UnknownAge {
        /// The names of the checkpoint.
        names: Vec<String>,
    },
    /// A volume has less free space than the limit.
    LowSpace {
        /// The free space.
        free: u64,
        /// The size of the volume, if known.
        size: Option<u64>,
        /// The space that must be free.
        limit: u64,
    },
    /// The free space of a volume, or the size of which the limit is a part, is not known.
    UnknownSpace,
    /// A chain has more files than the limit.
    DeepChain {
        /// The number of files.
        depth: usize,
        /// The limit.
        limit: usize,
    },
    /// A time lies in the future.
    FutureTime {
        /// The time.
        time: SystemTime,
        /// How far it lies in the future.
        ahead: Duration,
    },
}

impl FindingFact {
    pub(super) fn kind(&self) -> FindingKind {
        match self {
            FindingFact::Problem(problem) => kind_of_problem(problem),
            FindingFact::OldCheckpoint { .. } => FindingKind::OldCheckpoint,
            FindingFact::LargeCheckpoint { .. } => FindingKind::LargeCheckpoint,
            FindingFact::UnknownAge { .. } => FindingKind::UnknownAge,
            FindingFact::LowSpace { .. } => FindingKind::LowSpace,
            FindingFact::UnknownSpace => FindingKind::UnknownSpace,
            FindingFact::DeepChain { .. } => FindingKind::DeepChain,
            FindingFact::FutureTime { .. } => FindingKind::FutureTime,
        }
    }

    pub(super) fn severity(&self) -> FindingSeverity {
        match self {
            FindingFact::Problem(problem) => severity_of_problem(problem),
            // A machine pauses when its volume is full.
            FindingFact::LowSpace { .. } => FindingSeverity::Critical,
            FindingFact::OldCheckpoint { .. }
            | FindingFact::LargeCheckpoint { .. }
            | FindingFact::UnknownAge { .. }
            | FindingFact::UnknownSpace
            | FindingFact::DeepChain { .. }
            | FindingFact::FutureTime { .. } => FindingSeverity::Warning,
        }
    }
}
