//! Prints the checkpoints that a prune keeps, grouped by the reason.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use vhdx::ops::{KeepReason, KeptCheckpoint, PrunePlan};

use crate::commands::checkpoint;
use crate::output::{self, harmless, shown, shown_beside};

/// How a reason is printed. Those that need attention come last: a terminal shows the end of the answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// The checkpoint was not selected. Such checkpoints are only counted.
    NotSelected,
    OnPurpose,
    Failure,
}

/// Prints each reason once, with the checkpoints that are kept for it.
pub(super) fn write(plan: &PrunePlan, out: &mut dyn Write) -> io::Result<()> {
    let mut groups: BTreeMap<(Weight, String, String), Vec<&KeptCheckpoint>> = BTreeMap::new();
    for kept in &plan.kept {
        let (one, several) = words(&kept.reason);
        groups.entry((weight(&kept.reason), one, several)).or_default().push(kept);
    }
    for ((weight, one, several), kept) in groups {
        let words = if kept.len() == 1 { one } else { several };
        writeln!(out, "kept: {}{words}", output::count(kept.len(), "checkpoint", "checkpoints"))?;
        if weight != Weight::NotSelected {
            files(&kept, out)?;
        }
    }
    Ok(())
}

fn weight(reason: &KeepReason) -> Weight {
    match reason {
        KeepReason::Newest
        | KeepReason::NotOldEnough
        | KeepReason::NotLargeEnough
        | KeepReason::OtherName => Weight::NotSelected,
        reason if reason.is_failure() => Weight::Failure,
        _ => Weight::OnPurpose,
    }
}

/// Returns a reason without what differs from file to file: after the words "1 checkpoint", and after "2 checkpoints".
fn words(reason: &KeepReason) -> (String, String) {
    let same = match reason {
        KeepReason::Newest => " among the newest (--keep-last)",
        KeepReason::NotOldEnough => " not older than --older-than",
        KeepReason::NotLargeEnough => " not larger than --larger-than",
        KeepReason::OtherName => " with a name that does not match --name",
        KeepReason::SeveralChildren { has_machines: true, .. } => {
            " with several children, which `vhdx tree` shows: a checkpoint can be deleted when only one child is left"
        }
        KeepReason::SeveralChildren { has_machines: false, .. } => {
            " with several children, which `vhdx tree` shows: a checkpoint can be deleted when only one child is left. No \
             configuration of a machine with these disks was found. Delete a child only if no machine uses it, no disk \
             depends on it, and its content is not needed"
        }
        KeepReason::NotACheckpoint { .. } => {
            " with a child that is not named .avhdx: such a child was probably made by hand, and not by a checkpoint"
        }
        KeepReason::UsedByMachine { .. } => {
            " that must stay: a machine uses the checkpoint or its child, although other disks depend on that one, and a merge would \
             change what the machine sees"
        }
        reason => {
            let message = match unread(reason) {
                Some(message) => message,
                None => harmless(&reason.to_string()),
            };
            return (format!(", which {message}"), format!(", each of which {message}"));
        }
    };
    (same.to_owned(), same.to_owned())
}

/// Returns the reason if unread files stop a merge. One such file often stops many merges: the reason names none of them.
fn unread(reason: &KeepReason) -> Option<String> {
    let KeepReason::Refused(error) = reason else { return None };
    let files = error.chain_error()?.undetermined();
    let files: Vec<String> = files.iter().map(|file| harmless(&file.to_string())).collect();
    (!files.is_empty()).then(|| {
        format!(
            "cannot be deleted: a disk that depends on the files of the merge may be among these, which could not be read. \
             Make them readable, or move them out of these folders if they do not belong to these disks: {}",
            files.join(", ")
        )
    })
}

/// Prints the files of checkpoints. If several lie in one folder, its path is printed once.
fn files(kept: &[&KeptCheckpoint], out: &mut dyn Write) -> io::Result<()> {
    let mut folders: BTreeMap<Option<&Path>, Vec<&KeptCheckpoint>> = BTreeMap::new();
    for kept in kept {
        folders.entry(kept.path.parent()).or_default().push(kept);
    }
    for (folder, kept) in folders {
        match (folder, &kept[..]) {
            (Some(path), [_, _, ..]) => {
                writeln!(out, "  {}:", shown(path))?;
                kept.iter().try_for_each(|kept| writeln!(out, "    {}", file(folder, kept)))?;
            }
            _ => kept.iter().try_for_each(|kept| writeln!(out, "  {}", file(None, kept)))?,
        }
    }
    Ok(())
}

fn file(folder: Option<&Path>, kept: &KeptCheckpoint) -> String {
    let path = shown_beside(folder, &kept.path);
    let name = checkpoint::quoted(&kept.names);
    match &kept.reason {
        KeepReason::SeveralChildren { children, unused, frozen, has_machines } => {
            match *has_machines && !(unused.is_empty() && frozen.is_empty()) {
                true => format!("{path} {name} {}", harmless(&kept.reason.to_string())),
                false => format!("{path} {name}, {} children", children.len()),
            }
        }
        KeepReason::NotACheckpoint { child } => {
            format!("{path} {name}, child {}", shown_beside(kept.path.parent(), child))
        }
        KeepReason::UsedByMachine { disk, configuration } => {
            let disk = shown_beside(kept.path.parent(), disk);
            format!("{path} {name}, the machine of {} uses {disk}", shown(configuration))
        }
        _ => format!("{path} {name}"),
    }
}
