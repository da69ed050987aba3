//! Why a checkpoint is kept.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Error;
use crate::family::UnusedDisk;

/// A checkpoint that is kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct KeptCheckpoint {
    /// The file.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub path: PathBuf,
    /// The names of the checkpoint.
    pub names: Vec<String>,
    /// Why it is kept.
    pub reason: KeepReason,
}

/// Why a checkpoint is kept.
///
/// Its [`Display`](std::fmt::Display) continues a sentence that begins with the file.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum KeepReason {
    /// It is one of the newest of its family.
    Newest,
    /// It is not older than the limit.
    NotOldEnough,
    /// It is not larger than the limit.
    NotLargeEnough,
    /// Its name does not fit.
    OtherName,
    /// Its time is not known.
    NoTime,
    /// Several disks depend on it.
    SeveralChildren {
        /// The disks.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        children: Vec<PathBuf>,
        /// Those without children that no configuration names; empty if no machine of the family is known.
        unused: Vec<UnusedDisk>,
        /// Those without children that a checkpoint froze, and that no machine uses.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        frozen: Vec<PathBuf>,
        /// Whether the configuration of a machine of the family was found.
        has_machines: bool,
    },
    /// Its child is not named `.avhdx`, so it was probably not made by a checkpoint.
    NotACheckpoint {
        /// The child.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        child: PathBuf,
    },
    /// The configuration of a machine names it, or its child, although other disks depend on that one.
    UsedByMachine {
        /// The disk that the configuration names.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        disk: PathBuf,
        /// The configuration.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        configuration: PathBuf,
    },
    /// A disk that may depend on it or on its child was not found. A merge could make that disk unusable.
    NewerDiskMissing {
        /// The configuration of a machine, which names a disk that was not found.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        configuration: PathBuf,
    },
    /// The machine of a checkpoint of its family was not found. A disk of that machine may depend on it or on its child.
    MachineNotFound {
        /// The configuration of that checkpoint.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        configuration: PathBuf,
    },
    /// The parent of a disk of its family was not found. That parent may depend on it or on its child.
    MissingLink {
        /// The disk that lacks its parent.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        child: PathBuf,
        /// The parent, if it is in a folder that was not searched.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        elsewhere: Option<PathBuf>,
    },
    /// The configuration of a machine, or a folder, cannot be read. Something there may need it or its child.
    Unread {
        /// The configuration or the folder.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
    },
    /// A disk of its family was replaced by a copy from before a prune, and data is missing.
    OlderCopy {
        /// The disk.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
    },
    /// The record of an earlier prune of its family cannot be read. A merge would replace it.
    DamagedRecord {
        /// The record.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        record: PathBuf,
    },
    /// This file of the merge has several names, as copies by hard links have. All of them would change.
    SeveralNames {
        /// The file.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        file: PathBuf,
    },
    /// Another disk of its checkpoint was not found.
    OtherDiskMissing {
        /// The configuration of the checkpoint.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        configuration: PathBuf,
        /// The path of the missing disk on the host of the machine.
        stored: String,
    },
    /// A revert has replaced a disk of its machine, and not yet the others. It may be needed for them.
    UnfinishedRevert {
        /// The configuration of the machine, which names the disk that the revert deleted.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        configuration: PathBuf,
    },
    /// It belongs to a checkpoint with another disk that is kept.
    ///
    /// A checkpoint of several disks is deleted on all of these disks, or on none.
    OtherDiskKept {
        /// The other disk. If several checkpoints share disks, it may be a disk of another one of these.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        disk: PathBuf,
        /// Why that one is kept.
        reason: Box<KeepReason>,
    },
    /// A checkpoint froze the disk, and no disk depends on it. So no merge can delete its state.
    ///
    /// This is only the reason to keep [other disks](KeepReason::OtherDiskKept): such a disk is no
    /// [`Checkpoint`](crate::Checkpoint) itself.
    NoChild,
    /// The chain of its family is not complete.
    IncompleteChain {
        /// The missing parent, if it is in a folder that was not searched.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        elsewhere: Option<PathBuf>,
    },
    /// Its family has an incomplete merge that cannot be completed here.
    UnfinishedMerge,
    /// Its family, or that of another disk of its checkpoint, has an incomplete merge or deletion, which is completed first.
    /// It is selected after that.
    Postponed,
    /// A merge is not possible.
    Refused(#[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))] Arc<Error>),
    /// The merge needs more free space than there is, in any order of the merges.
    NoSpace {
        /// How many bytes must be free.
        needed: u64,
        /// How many bytes are free when all other merges are done.
        free: u64,
    },
}

impl KeepReason {
    /// Returns the name in reports, in snake case.
    pub const fn name(&self) -> &'static str {
        match self {
            KeepReason::Newest => "newest",
            KeepReason::NotOldEnough => "not_old_enough",
            KeepReason::NotLargeEnough => "not_large_enough",
            KeepReason::OtherName => "other_name",
            KeepReason::NoTime => "no_time",
            KeepReason::SeveralChildren { .. } => "several_children",
            KeepReason::NotACheckpoint { .. } => "not_a_checkpoint",
            KeepReason::UsedByMachine { .. } => "used_by_machine",
            KeepReason::NewerDiskMissing { .. } => "newer_disk_missing",
            KeepReason::MachineNotFound { .. } => "machine_not_found",
            KeepReason::MissingLink { .. } => "missing_link",
            KeepReason::Unread { .. } => "unread",
            KeepReason::OlderCopy { .. } => "older_copy",
            KeepReason::DamagedRecord { .. } => "damaged_record",
            KeepReason::SeveralNames { .. } => "several_names",
            KeepReason::OtherDiskMissing { .. } => "other_disk_missing",
            KeepReason::UnfinishedRevert { .. } => "unfinished_revert",
            KeepReason::OtherDiskKept { .. } => "other_disk_kept",
            KeepReason::NoChild => "no_child",
            KeepReason::IncompleteChain { .. } => "incomplete_chain",
            KeepReason::UnfinishedMerge => "unfinished_merge",
            KeepReason::Postponed => "postponed",
            KeepReason::Refused(_) => "refused",
            KeepReason::NoSpace { .. } => "no_space",
        }
    }

    /// Returns whether the checkpoint was selected, but cannot be deleted.
    ///
    /// A checkpoint with several children is kept by Hyper-V too, so that is no failure. If another disk of the checkpoint is
    /// kept, the reason of that disk decides.
    pub fn is_failure(&self) -> bool {
        if let KeepReason::OtherDiskKept { reason, .. } = self {
            return reason.is_failure();
        }
        matches!(
            self,
            KeepReason::IncompleteChain { .. }
                | KeepReason::UnfinishedMerge
                | KeepReason::NewerDiskMissing { .. }
                | KeepReason::MachineNotFound { .. }
                | KeepReason::MissingLink { .. }
                | KeepReason::OtherDiskMissing { .. }
                | KeepReason::UnfinishedRevert { .. }
                | KeepReason::Unread { .. }
                | KeepReason::OlderCopy { .. }
                | KeepReason::DamagedRecord { .. }
                | KeepReason::SeveralNames { .. }
                | KeepReason::Refused(_)
                | KeepReason::NoSpace { .. }
        )
    }
}
