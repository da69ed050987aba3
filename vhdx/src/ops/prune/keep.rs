//! Why a checkpoint is kept.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::family::UnusedDisk;
use crate::quoted::Quoted;

/// The most children that a message names.
const SHOWN: usize = 4;

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
/// Its [`Display`](fmt::Display) continues a sentence that begins with the file.
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
        /// The configuration that shows it: that of a machine whose disk is missing, or of a checkpoint without a machine.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        configuration: PathBuf,
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
    /// The chain of its family is not complete.
    IncompleteChain,
    /// Its family has an incomplete merge that cannot be completed here.
    UnfinishedMerge,
    /// Its family has an incomplete merge or deletion, which is completed first. It is selected after that.
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
            KeepReason::DamagedRecord { .. } => "damaged_record",
            KeepReason::SeveralNames { .. } => "several_names",
            KeepReason::IncompleteChain => "incomplete_chain",
            KeepReason::UnfinishedMerge => "unfinished_merge",
            KeepReason::Postponed => "postponed",
            KeepReason::Refused(_) => "refused",
            KeepReason::NoSpace { .. } => "no_space",
        }
    }

    /// Returns whether the checkpoint was selected, but cannot be deleted.
    ///
    /// A checkpoint with several children is kept by Hyper-V too, so that is no failure.
    pub const fn is_failure(&self) -> bool {
        matches!(
            self,
            KeepReason::IncompleteChain
                | KeepReason::UnfinishedMerge
                | KeepReason::NewerDiskMissing { .. }
                | KeepReason::DamagedRecord { .. }
                | KeepReason::SeveralNames { .. }
                | KeepReason::Refused(_)
                | KeepReason::NoSpace { .. }
        )
    }
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeepReason::Newest => f.write_str("is one of the newest checkpoints of its family"),
            KeepReason::NotOldEnough => f.write_str("is not old enough"),
            KeepReason::NotLargeEnough => f.write_str("is not large enough"),
            KeepReason::OtherName => f.write_str("has another name"),
            KeepReason::NoTime => f.write_str("has no known time, which this selection needs"),
            KeepReason::SeveralChildren { children, unused, frozen, has_machines } => {
                several_children(f, children, *has_machines)?;
                unused.iter().take(SHOWN).try_for_each(|disk| of_unused(f, disk))?;
                frozen.iter().take(SHOWN).try_for_each(|disk| of_frozen(f, disk))
            }
            KeepReason::NotACheckpoint { child } => write!(
                f,
                "has a child that is not named .avhdx, {}: it was probably made by hand, and not by a checkpoint",
                Quoted(child)
            ),
            KeepReason::UsedByMachine { disk, configuration } => write!(
                f,
                "must stay: {} names {} as the disk of a machine, although other disks depend on it: a merge \
                 would change what this machine sees",
                Quoted(configuration),
                Quoted(disk)
            ),
            KeepReason::NewerDiskMissing { configuration } => write!(
                f,
                "cannot be deleted: according to {}, a disk that may depend on this checkpoint was not found or cannot be read: name \
                 the folder of that disk too, or solve the problem of that disk first",
                Quoted(configuration)
            ),
            KeepReason::DamagedRecord { record } => write!(
                f,
                "cannot be deleted: {}, the record of an earlier prune, cannot be read: restore or delete it first",
                Quoted(record)
            ),
            KeepReason::SeveralNames { file } => write!(
                f,
                "cannot be deleted: {} has several names (hard links), and the merge would change the file under all of \
                 them",
                Quoted(file)
            ),
            KeepReason::IncompleteChain => {
                f.write_str(
                    "cannot be deleted: a parent in its chain was not found or is damaged: name the folder of the parent too, or \
                     examine the damaged parent",
                )
            }
            KeepReason::UnfinishedMerge => f.write_str(
                "belongs to a family with an incomplete merge or deletion, which must be completed first",
            ),
            KeepReason::Postponed => {
                f.write_str("waits until an interrupted merge or deletion in its family is completed")
            }
            KeepReason::Refused(error) => write!(f, "cannot be deleted: {error}"),
            KeepReason::NoSpace { needed, free } => {
                write!(f, "cannot be deleted: the merge needs {needed} free bytes, and only {free} are free")
            }
        }
    }
}

fn several_children(f: &mut fmt::Formatter<'_>, children: &[PathBuf], has_machines: bool) -> fmt::Result {
    write!(f, "has {} children, and can be deleted when only one is left:", children.len())?;
    let mut shown = children.iter().take(SHOWN).enumerate();
    shown.try_for_each(|(i, child)| write!(f, "{} {}", if i == 0 { "" } else { "," }, Quoted(child)))?;
    if let Some(more @ 1..) = children.len().checked_sub(SHOWN) {
        write!(f, " and {more} more")?;
    }
    match has_machines {
        true => Ok(()),
        false => f.write_str(
            ". No configuration of a machine with these disks was found. Delete one of them only if no machine uses it, no disk \
             depends on it, and its content is not needed",
        ),
    }
}

fn of_frozen(f: &mut fmt::Formatter<'_>, disk: &Path) -> fmt::Result {
    write!(
        f,
        ". {} has the state of another checkpoint, on which no disk depends: only Hyper-V can delete that checkpoint",
        Quoted(disk)
    )
}

/// Says what can be done with a child that nothing uses, so that its parent can be deleted.
fn of_unused(f: &mut fmt::Formatter<'_>, disk: &UnusedDisk) -> fmt::Result {
    write!(f, ". No configuration that was found names {}", Quoted(&disk.path))?;
    if let Some(used) = &disk.used {
        let now = Quoted(&used.path);
        write!(
            f,
            ": if it was made to go back to a checkpoint, choose it in the settings of {used}, which now uses {now}"
        )?;
    }
    match &disk.doubt {
        Some(doubt) => write!(f, ". Do not delete it before the problem of {} is solved", Quoted(doubt)),
        None => f.write_str(
            ". No disk that was found depends on it: if no machine elsewhere uses it and its content is not needed, delete \
             exactly this file",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_child_that_nothing_may_need_can_be_deleted() {
        let disk = |doubt: Option<&str>| UnusedDisk {
            path: "a".into(),
            used: None,
            has_siblings: true,
            doubt: doubt.map(PathBuf::from),
        };
        let message = |unused: Vec<UnusedDisk>, has_machines| {
            let children = ["a", "b"].map(|name| Path::new(name).to_owned()).into();
            KeepReason::SeveralChildren { children, unused, frozen: Vec::new(), has_machines }.to_string()
        };
        let all_named = message(Vec::new(), true);
        assert!(all_named.ends_with(r#"when only one is left: "a", "b""#), "{all_named}");
        assert!(message(vec![disk(None)], true).ends_with("delete exactly this file"));
        let doubtful = message(vec![disk(Some("c"))], true);
        assert!(doubtful.ends_with(r#"Do not delete it before the problem of "c" is solved"#), "{doubtful}");
        assert!(message(Vec::new(), false).contains("only if no machine uses it"));
    }
}
