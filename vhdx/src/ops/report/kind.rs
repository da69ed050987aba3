//! The kinds and severities of findings.

use crate::family::{MachineProblem, Problem};

/// How urgent a [`Finding`](super::Finding) is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum FindingSeverity {
    /// All disks can be used, and nothing must be done.
    Note,
    /// Something should be done.
    Warning,
    /// A disk cannot be used, or data may be lost.
    Critical,
}

impl FindingSeverity {
    /// All severities, in ascending order.
    pub const ALL: [Self; 3] = [Self::Note, Self::Warning, Self::Critical];

    /// Returns the name in reports: `note`, `warning` or `critical`.
    pub const fn name(self) -> &'static str {
        match self {
            FindingSeverity::Note => "note",
            FindingSeverity::Warning => "warning",
            FindingSeverity::Critical => "critical",
        }
    }
}

/// The kind of a [`Finding`](super::Finding).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum FindingKind {
    /// A checkpoint is older than the limit.
    OldCheckpoint,
    /// A checkpoint is larger than the limit.
    LargeCheckpoint,
    /// A volume has less free space than the limit.
    LowSpace,
    /// A chain has more files than the limit.
    DeepChain,
    /// The age of a checkpoint is not known, so it cannot be compared with the limit.
    UnknownAge,
    /// The free space of a volume is not known, so it cannot be compared with the limit.
    UnknownSpace,
    /// A file or a configuration has a time in the future.
    FutureTime,
    /// The parent of a disk was not found.
    Orphan,
    /// A link between a disk and its parent is wrong.
    BrokenLink,
    /// A merge is, or may be, incomplete.
    HalfMerged,
    /// A completed merge no longer needs the file.
    LeftOver,
    /// A file cannot be opened as a VHDX.
    Damaged,
    /// A file or folder cannot be read.
    Unreadable,
    /// A file is named like a disk, but it is none.
    NotADisk,
    /// Several files have the same GUID.
    Copies,
    /// A disk can be used, but something about its file is unusual.
    Remark,
    /// A configuration file, or its link to a disk, has a problem.
    Machine,
}

impl FindingKind {
    /// All kinds, in the order of reports.
    pub const ALL: [Self; 17] = [
        Self::OldCheckpoint,
        Self::LargeCheckpoint,
        Self::LowSpace,
        Self::DeepChain,
        Self::UnknownAge,
        Self::UnknownSpace,
        Self::FutureTime,
        Self::Orphan,
        Self::BrokenLink,
        Self::HalfMerged,
        Self::LeftOver,
        Self::Damaged,
        Self::Unreadable,
        Self::NotADisk,
        Self::Copies,
        Self::Remark,
        Self::Machine,
    ];

    /// Returns the name in reports, in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            FindingKind::OldCheckpoint => "old_checkpoint",
            FindingKind::LargeCheckpoint => "large_checkpoint",
            FindingKind::LowSpace => "low_space",
            FindingKind::DeepChain => "deep_chain",
            FindingKind::UnknownAge => "unknown_age",
            FindingKind::UnknownSpace => "unknown_space",
            FindingKind::FutureTime => "future_time",
            FindingKind::Orphan => "orphan",
            FindingKind::BrokenLink => "broken_link",
            FindingKind::HalfMerged => "half_merged",
            FindingKind::LeftOver => "left_over",
            FindingKind::Damaged => "damaged",
            FindingKind::Unreadable => "unreadable",
            FindingKind::NotADisk => "not_a_disk",
            FindingKind::Copies => "copies",
            FindingKind::Remark => "remark",
            FindingKind::Machine => "machine",
        }
    }

    /// Returns whether a limit is passed, or cannot be compared because a fact is not known.
    pub const fn is_of_limit(self) -> bool {
        matches!(
            self,
            Self::OldCheckpoint
                | Self::LargeCheckpoint
                | Self::LowSpace
                | Self::DeepChain
                | Self::UnknownAge
                | Self::UnknownSpace
        )
    }
}

pub(super) fn kind_of_problem(problem: &Problem) -> FindingKind {
    match problem {
        Problem::Machine(_) => FindingKind::Machine,
        Problem::Unreadable { .. } => FindingKind::Unreadable,
        Problem::Damaged { .. } => FindingKind::Damaged,
        Problem::OtherFormat { .. } | Problem::NotARegularFile { .. } => FindingKind::NotADisk,
        Problem::Imperfect { .. } | Problem::NameNotAllowedOnWindows { .. } | Problem::SideFile { .. } => {
            FindingKind::Remark
        }
        Problem::DuplicateGuid { .. } => FindingKind::Copies,
        Problem::LostParent { .. }
        | Problem::PrunedParent { .. }
        | Problem::OlderThanPrune { .. }
        | Problem::ParentElsewhere { .. } => FindingKind::Orphan,
        Problem::AmbiguousParent { .. }
        | Problem::StalePath { .. }
        | Problem::SectorSize { .. }
        | Problem::Cycle { .. }
        | Problem::TooDeep { .. } => FindingKind::BrokenLink,
        Problem::LayerOfMerge { .. } | Problem::MergeBegun { .. } | Problem::HalfMerged { .. } => {
            FindingKind::HalfMerged
        }
        Problem::LeftOver { .. } => FindingKind::LeftOver,
    }
}

pub(super) fn severity_of_problem(problem: &Problem) -> FindingSeverity {
    match problem {
        Problem::Imperfect { .. }
        | Problem::NameNotAllowedOnWindows { .. }
        | Problem::SideFile { .. }
        | Problem::DuplicateGuid { .. } => FindingSeverity::Note,
        Problem::Unreadable { .. }
        | Problem::OtherFormat { .. }
        | Problem::NotARegularFile { .. }
        | Problem::StalePath { .. }
        | Problem::ParentElsewhere { .. }
        | Problem::LeftOver { .. } => FindingSeverity::Warning,
        Problem::Damaged { .. }
        | Problem::AmbiguousParent { .. }
        | Problem::LostParent { .. }
        | Problem::PrunedParent { .. }
        | Problem::OlderThanPrune { .. }
        | Problem::LayerOfMerge { .. }
        | Problem::MergeBegun { .. }
        | Problem::HalfMerged { .. }
        | Problem::SectorSize { .. }
        | Problem::Cycle { .. }
        | Problem::TooDeep { .. } => FindingSeverity::Critical,
        Problem::Machine(problem) => severity_of_machine(problem),
    }
}

fn severity_of_machine(problem: &MachineProblem) -> FindingSeverity {
    match problem {
        MachineProblem::Imperfect { .. }
        | MachineProblem::MergedDisk { is_checkpoint: true, .. }
        | MachineProblem::DeletedCheckpoint { .. }
        | MachineProblem::NoMachine { .. }
        | MachineProblem::UnknownMachine { .. } => FindingSeverity::Note,
        MachineProblem::Unreadable { .. }
        | MachineProblem::MissingDisk { .. }
        | MachineProblem::MergedDisk { .. }
        | MachineProblem::ReplacedDisk { .. }
        | MachineProblem::RecordElsewhere { .. }
        | MachineProblem::RecordWithoutDisk { .. }
        | MachineProblem::DamagedRecord { .. }
        | MachineProblem::PartlyDeletedCheckpoint { .. } => FindingSeverity::Warning,
        MachineProblem::SharedDisk { .. } | MachineProblem::NotTheNewest { .. } => FindingSeverity::Critical,
    }
}
