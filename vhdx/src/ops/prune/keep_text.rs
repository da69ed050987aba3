//! Words the reasons to keep a checkpoint.

use std::fmt;
use std::path::{Path, PathBuf};

use super::keep::KeepReason;
use crate::family::UnusedDisk;
use crate::quoted::Quoted;

/// The most children that a message names.
const SHOWN: usize = 4;

impl KeepReason {
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
            KeepReason::MissingLink { child, elsewhere: Some(parent) } => write!(
                f,
                "cannot be deleted: {0} depends on {1}, which may depend on this checkpoint. Search the folder of {1} too",
                Quoted(child),
                Quoted(parent)
            ),
            KeepReason::MissingLink { child, elsewhere: None } => write!(
                f,
                "cannot be deleted: {0} is not linked to its parent, and that parent may depend on this checkpoint. Solve the \
                 problem of {0} first. Only if nobody needs {0}, move it to a folder that is not searched",
                Quoted(child)
            ),
            KeepReason::Unread { path } => write!(
                f,
                "cannot be deleted: {} cannot be read, and a machine or a disk there may need this checkpoint or its child. \
                 Make it readable, or copy it again from the host. To prune other machines now, name only their \
                 folders on the command line",
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
            KeepReason::OtherDiskMissing { configuration, stored } => write!(
                f,
                "cannot be deleted: the checkpoint {0} names the disk {1}, which was not found at that path. A \
                 checkpoint of several disks is deleted on all of these disks, or on none. Search the folder of the \
                 missing disk too, or give the disk its old name and folder again. If the disk is lost, the checkpoint \
                 can no longer be applied as a whole: move {0} to a folder that is not searched",
                Quoted(configuration),
                Quoted(Path::new(stored))
            ),
            KeepReason::UnfinishedRevert { configuration } => write!(
                f,
                "cannot be deleted: a revert has replaced one disk of the machine of {}, but not the other disks of \
                 that machine. To revert those too, this checkpoint may be needed. Revert them to the same checkpoint. \
                 If they must stay as they are, choose the new disk in the settings of the machine, and then copy the \
                 configuration here again",
                Quoted(configuration)
            ),
            KeepReason::OtherDiskKept { disk, reason } => write!(
                f,
                "is kept together with {}, a disk of the same checkpoint or of one that shares disks with it: that \
                 disk {reason}",
                Quoted(disk)
            ),
            KeepReason::NoChild => f.write_str(
                "has the state of the checkpoint and no children, so only Hyper-V can delete the checkpoint",
            ),
            KeepReason::IncompleteChain { elsewhere: Some(parent) } => write!(
                f,
                "cannot be deleted: its chain needs {}, which is in a folder that was not searched. Search that folder \
                 too",
                Quoted(parent)
            ),
            KeepReason::IncompleteChain { elsewhere: None } => {
                f.write_str(
                    "cannot be deleted: a parent in its chain is missing or damaged. Solve the problems of the disks in \
                     this chain first",
                )
            }
            KeepReason::UnfinishedMerge => f.write_str(
                "belongs to a family with an incomplete merge or deletion, which must be completed first",
            ),
            KeepReason::Postponed => f.write_str(
                "waits until an interrupted merge or deletion in its family, or in the family of another disk of its \
                 checkpoint, is completed",
            ),
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
