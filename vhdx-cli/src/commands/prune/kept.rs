//! Prints the checkpoints that a prune keeps, grouped by the reason.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use vhdx::ops::{KeepReason, KeptCheckpoint, PrunePlan};

use crate::commands::checkpoint;
use crate::output::{self, harmless, shown, shown_beside};

/// The order of the reasons in the output. Failures come last, where a terminal shows them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    /// The checkpoint was not selected. Such checkpoints are only counted.
    NotSelected,
    OnPurpose,
    Failure,
}

/// Prints each reason once, with the checkpoints that are kept for it.
pub(super) fn write(plan: &PrunePlan, out: &mut dyn Write) -> io::Result<()> {
    let mut groups: BTreeMap<(Section, String, String), Vec<&KeptCheckpoint>> = BTreeMap::new();
    for kept in &plan.kept {
        let (one, several) = wording(&kept.reason);
        groups.entry((section(&kept.reason), one, several)).or_default().push(kept);
    }
    for ((section, one, several), kept) in groups {
        let wording = if kept.len() == 1 { one } else { several };
        writeln!(out, "kept: {}{wording}", output::count(kept.len(), "checkpoint", "checkpoints"))?;
        if section != Section::NotSelected {
            files(&kept, out)?;
        }
    }
    Ok(())
}

fn section(reason: &KeepReason) -> Section {
    match reason {
        KeepReason::Newest
        | KeepReason::NotOldEnough
        | KeepReason::NotLargeEnough
        | KeepReason::OtherName => Section::NotSelected,
        reason if reason.is_failure() => Section::Failure,
        _ => Section::OnPurpose,
    }
}

/// Returns the wording of a reason without the names of the checkpoints' files, for one checkpoint and for several.
fn wording(reason: &KeepReason) -> (String, String) {
    let same = match reason {
        KeepReason::Newest => " among the newest (--keep-last)",
        KeepReason::NotOldEnough => " not older than --older-than",
        KeepReason::NotLargeEnough => " not larger than --larger-than",
        KeepReason::OtherName => " with a name that does not match --name",
        KeepReason::SeveralChildren { has_machines: true, .. } => {
            " with several children, which `vhdx tree` shows: a checkpoint can be deleted when only one child is left"
        }
        KeepReason::SeveralChildren { has_machines: false, .. } => {
            " with several children, which `vhdx tree` shows: a checkpoint can be deleted when only one child is left. \
             No configuration of a machine with these disks was found. Delete a child only if no machine uses it, no \
             disk depends on it, and its content is not needed"
        }
        KeepReason::NotACheckpoint { .. } => {
            " with a child that is not named .avhdx. The child was probably made by hand, and the checkpoint's file \
             may be a base for other disks. If it is not, --any-extension selects the checkpoint too"
        }
        KeepReason::UsedByMachine { .. } => {
            " that must stay: a machine uses the checkpoint's file or its child, and other disks depend on the file \
             that the machine uses. A merge would change what the machine reads"
        }
        KeepReason::OtherDiskKept { reason, .. } if matches!(**reason, KeepReason::NoChild) => {
            " with another disk that has no children. A checkpoint of several disks is deleted on all of these disks, \
             or on none, and the state of that disk can be deleted only in Hyper-V"
        }
        KeepReason::OtherDiskMissing { .. } => {
            " with another disk that was not found. A checkpoint of several disks is deleted on all of these disks, or \
             on none. Search the folders of the missing disks too, or give the disks their old names and folders \
             again. If a disk is lost, its checkpoint can no longer be applied as a whole: move the configuration of \
             that checkpoint to a folder that is not searched"
        }
        KeepReason::OtherDiskKept { .. } => {
            " with another disk that is kept. A checkpoint of several disks is deleted on all of these disks, or on \
             none"
        }
        reason => {
            let message = match unread(reason) {
                Some(message) => message,
                None => harmless(&reason.to_string()),
            };
            return (format!(": it {message}"), format!(": each {message}"));
        }
    };
    (same.to_owned(), same.to_owned())
}

/// Returns the wording if unreadable files stop a merge.
///
/// It does not name the merge, so that one file that stops many merges is reported once.
fn unread(reason: &KeepReason) -> Option<String> {
    let KeepReason::Refused(error) = reason else { return None };
    let files = error.chain_error()?.undetermined();
    let files: Vec<String> = files.iter().map(|file| harmless(&file.to_string())).collect();
    (!files.is_empty()).then(|| {
        format!(
            "cannot be deleted: some files could not be read, and one of them may be a disk that depends on the merged \
             files. Make them readable, and run the command again. Move a file out of the searched folders only if it \
             does not belong to these disks. Files: {}",
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
        KeepReason::SeveralChildren { children, .. } => {
            let advice = kept.reason.advice_about_children();
            let advice = advice.map(|advice| format!(". {}", harmless(&advice))).unwrap_or_default();
            format!("{path} {name}, {} children{advice}", children.len())
        }
        KeepReason::NotACheckpoint { child } => {
            format!("{path} {name}, child {}", shown_beside(kept.path.parent(), child))
        }
        KeepReason::UsedByMachine { disk, configuration } => {
            let disk = shown_beside(kept.path.parent(), disk);
            format!("{path} {name}, the machine of {} uses {disk}", shown(configuration))
        }
        KeepReason::OtherDiskMissing { configuration, stored } => {
            format!(
                "{path} {name}, {} names {}, which was not found",
                shown(configuration),
                shown(Path::new(stored))
            )
        }
        KeepReason::OtherDiskKept { disk, reason } => {
            let disk = shown_beside(kept.path.parent(), disk);
            // The other disk has a line of its own, unless such reasons are only counted.
            let why = (section(reason) == Section::NotSelected).then(|| format!(", which {reason}"));
            format!("{path} {name}, other disk {disk}{}", why.unwrap_or_default())
        }
        _ => format!("{path} {name}"),
    }
}
