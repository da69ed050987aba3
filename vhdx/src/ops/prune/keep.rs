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
    /// It belongs to a checkpoint with another disk that is kept. A checkpoint is deleted with all of its disks, or not.
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
    IncompleteChain,
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
            KeepReason::OtherDiskKept { .. } => "other_disk_kept",
            KeepReason::NoChild => "no_child",
            KeepReason::IncompleteChain => "incomplete_chain",
            KeepReason::UnfinishedMerge => "unfinished_merge",
            KeepReason::Postponed => "postponed",
            KeepReason::Refused(_) => "refused",
            KeepReason::NoSpace { .. } => "no_space",
        }
    }

    /// Returns what can be done with the children of a checkpoint that has [several](KeepReason::SeveralChildren).
    ///
    /// These sentences are the end of the message, after the list of all children. `None` for other reasons, and if no
    /// child is known to be unused or frozen.
    pub fn advice_about_children(&self) -> Option<String> {
        let KeepReason::SeveralChildren { unused, frozen, .. } = self else { return None };
        let of_unused = unused.iter().take(SHOWN).map(of_unused);
        let mut sentences: Vec<String> =
            of_unused.chain(frozen.iter().take(SHOWN).map(|disk| of_frozen(disk))).collect();
        // A list that is not longer has no more.
        match unused.len().saturating_sub(SHOWN) + frozen.len().saturating_sub(SHOWN) {
            0 => {}
            1 => sentences.push("1 more child is not listed".to_owned()),
            more => sentences.push(format!("{more} more children are not listed")),
        }
        (!sentences.is_empty()).then(|| sentences.join(". "))
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
            KeepReason::IncompleteChain
                | KeepReason::UnfinishedMerge
                | KeepReason::NewerDiskMissing { .. }
                | KeepReason::MachineNotFound { .. }
                | KeepReason::MissingLink { .. }
                | KeepReason::Unread { .. }
                | KeepReason::OlderCopy { .. }
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
            KeepReason::SeveralChildren { children, has_machines, .. } => {
                several_children(f, children, *has_machines)?;
                match self.advice_about_children() {
                    Some(advice) => write!(f, ". {advice}"),
                    None => Ok(()),
                }
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
                "cannot be deleted: {} shows that a disk was not found or cannot be read, and that disk may depend on \
                 this checkpoint. Solve the problem of that disk, or search its folder too",
                Quoted(configuration)
            ),
            KeepReason::MachineNotFound { configuration } => write!(
                f,
                "cannot be deleted: the machine of the checkpoint {} was not found, and a disk that it uses may depend on this \
                 checkpoint. Search the folder of that machine too, or solve the problem of its configuration",
                Quoted(configuration)
            ),
            KeepReason::MissingLink { child } => write!(
                f,
                "cannot be deleted: {0} is not linked to its parent, and that parent may depend on this checkpoint. Solve the \
                 problem of {0} first. Only if nobody needs {0}, move it to a folder that is not searched",
                Quoted(child)
            ),
            KeepReason::Unread { path } => write!(
                f,
                "cannot be deleted: {} cannot be read, and a machine or a disk there may need this checkpoint or its child. \
                 Make it readable, or copy it again from the host",
                Quoted(path)
            ),
            KeepReason::OlderCopy { path } => write!(
                f,
                "cannot be deleted: {} is an older copy, from before a prune. Solve its problem first",
                Quoted(path)
            ),
            KeepReason::DamagedRecord { record } => write!(
                f,
                "cannot be deleted: {}, the record of an earlier prune or revert, cannot be read: restore or delete it first",
                Quoted(record)
            ),
            KeepReason::SeveralNames { file } => write!(
                f,
                "cannot be deleted: {} has several names (hard links), and the merge would change the file under all \
                 of them",
                Quoted(file)
            ),
            KeepReason::OtherDiskKept { disk, reason } => write!(
                f,
                "can be deleted only together with {}, a disk of the same checkpoint, which {reason}",
                Quoted(disk)
            ),
            KeepReason::NoChild => f.write_str(
                "has the state of a checkpoint, and no disk depends on it: only Hyper-V can delete that checkpoint",
            ),
            KeepReason::IncompleteChain => {
                f.write_str(
                    "cannot be deleted: a parent in its chain is missing or damaged. Solve the problems of the disks in \
                     this chain first",
                )
            }
            KeepReason::UnfinishedMerge => f.write_str(
                "belongs to a family with an incomplete merge or deletion, which must be completed first",
            ),
            KeepReason::Postponed => {
                f.write_str("waits until an interrupted merge or deletion is completed, in its family or in that of another disk of \
                             its checkpoint")
            }
            KeepReason::Refused(error) => write!(f, "cannot be deleted: {error}"),
            KeepReason::NoSpace { needed, free } => {
                write!(f, "cannot be deleted: the merge needs {needed} free bytes, and only {free} are free")
            }
        }
    }
}

fn several_children(f: &mut fmt::Formatter<'_>, children: &[PathBuf], has_machines: bool) -> fmt::Result {
    write!(f, "has {} children (", children.len())?;
    let mut shown = children.iter().take(SHOWN).enumerate();
    shown.try_for_each(|(i, child)| write!(f, "{}{}", if i == 0 { "" } else { ", " }, Quoted(child)))?;
    if let Some(more @ 1..) = children.len().checked_sub(SHOWN) {
        write!(f, " and {more} more")?;
    }
    f.write_str("), and can be deleted when only one child is left")?;
    match has_machines {
        true => Ok(()),
        false => f.write_str(
            ". No configuration of a machine with these disks was found. Delete a child only if no machine uses it, no \
             disk depends on it, and its content is not needed",
        ),
    }
}

fn of_frozen(disk: &Path) -> String {
    format!(
        "Do not delete {}: it has the state of another checkpoint. If that checkpoint is not needed, delete it in \
         Hyper-V",
        Quoted(disk)
    )
}

/// Returns what can be done with a child that no configuration names, so that its parent can be deleted.
fn of_unused(disk: &UnusedDisk) -> String {
    let path = Quoted(&disk.path);
    let choose = disk.nearest_used.as_ref().map(|used| {
        format!(
            ". If {path} was made to go back to a checkpoint, choose {path} in the settings of {used}, which now uses \
             {}",
            Quoted(&used.path)
        )
    });
    let delete = match &disk.may_be_needed_by {
        Some(needed_by) if *needed_by == disk.path => {
            format!("Do not delete {path} before its other problems are solved")
        }
        Some(needed_by) if disk.is_example => format!(
            "Do not delete {path} before the problems of files that cannot be read or were not found are solved, such as \
             that of {}",
            Quoted(needed_by)
        ),
        Some(needed_by) => {
            format!("Do not delete {path} before the problem of {} is solved", Quoted(needed_by))
        }
        None => format!(
            "Move only {path} to another folder, if no machine elsewhere uses it, no disk elsewhere depends on it, and \
             its content is not needed. Delete it only when all machines have started without it. Keep its parent"
        ),
    };
    format!("No configuration that was found names {path}{}. {delete}", choose.unwrap_or_default()) // No machine may be known.
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_child_that_nothing_may_need_can_be_deleted() {
        let disk = |needed_by: Option<&str>| UnusedDisk {
            path: "a".into(),
            nearest_used: None,
            is_example: false,
            has_siblings: true,
            may_be_needed_by: needed_by.map(PathBuf::from),
        };
        let message = |unused: Vec<UnusedDisk>, has_machines| {
            let children = ["a", "b"].map(|name| Path::new(name).to_owned()).into();
            KeepReason::SeveralChildren { children, unused, frozen: Vec::new(), has_machines }.to_string()
        };
        let all_named = message(Vec::new(), true);
        assert_eq!(all_named, r#"has 2 children ("a", "b"), and can be deleted when only one child is left"#);
        let unused = message(vec![disk(None)], true);
        assert!(
            unused.contains(r#"Move only "a" to another folder, if no machine elsewhere uses it"#),
            "{unused}"
        );
        assert!(unused.ends_with("Keep its parent"), "{unused}");
        for (needed_by, end) in [
            ("c", r#"Do not delete "a" before the problem of "c" is solved"#),
            ("a", r#"Do not delete "a" before its other problems are solved"#),
        ] {
            let needed = message(vec![disk(Some(needed_by))], true);
            assert!(needed.ends_with(end) && !needed.contains("Move only"), "{needed}");
        }
        assert!(message(Vec::new(), false).contains("only if no machine uses it"));
        let many = message(vec![disk(None); SHOWN + 2], true);
        assert!(many.ends_with("Keep its parent. 2 more children are not listed"), "{many}");
        assert_eq!(KeepReason::Newest.advice_about_children(), None);
    }
}
