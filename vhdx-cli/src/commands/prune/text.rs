//! The text of `vhdx prune`: the plan, and what became of it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use vhdx::TimeSource;
use vhdx::ops::{
    KeepReason, KeptCheckpoint, MergeOutcome, PruneMerge, PrunePlan, PruneReport, PruneStage,
    PrunedCheckpoint,
};

use super::round::Moved;
use crate::commands::date::utc;
use crate::commands::not_copied::side_files;
use crate::output::{harmless, shown};
use crate::sizes::{both, human};

/// Prints a plan. `is_dry` is whether nothing is executed.
pub(super) fn plan(plan: &PrunePlan, is_dry: bool, out: &mut dyn Write) -> io::Result<()> {
    pending(plan, out)?;
    for merge in &plan.merges {
        self::merge(merge, out)?;
    }
    kept(plan, out)?;
    if plan.is_empty() {
        let has_other_name = |kept: &KeptCheckpoint| matches!(kept.reason, KeepReason::OtherName);
        return match !plan.kept.is_empty() && plan.kept.iter().all(has_other_name) {
            true => writeln!(out, "no checkpoint is to be deleted: none has a name that matches --name"),
            false => writeln!(out, "no checkpoint is to be deleted"),
        };
    }
    let (copied, freed) = (human(plan.bytes_to_copy()), human(plan.bytes_freed()));
    let taken = human(plan.bytes_taken());
    let net = match plan.bytes_freed().checked_sub(plan.bytes_taken()) {
        Some(net) => human(net),
        None => "none".to_owned(),
    };
    let checkpoints = plan.selected().count();
    let to_complete = plan.merges.iter().filter(|merge| merge.stage == PruneStage::Complete).count();
    if to_complete > 0 {
        writeln!(out, "merges to complete: {to_complete}")?;
    }
    writeln!(
        out,
        "checkpoints to delete: {checkpoints}, bytes to copy: {copied}, bytes that become free: {net} ({freed} of deleted \
         files, less {taken} that other files take)"
    )?;
    for space in &plan.volumes {
        let free = space.free.map_or_else(|| "unknown".to_owned(), human);
        let path = shown(&space.path);
        writeln!(
            out,
            "free space on the file system of {path}: needed: at most {}, free: {free}",
            human(space.needed)
        )?;
    }
    if !plan.merges.is_empty() {
        writeln!(
            out,
            "only the named folders were searched: a disk elsewhere that depends on these files becomes unusable"
        )?;
    }
    if plan.needs_another() {
        writeln!(
            out,
            "some families have an interrupted merge or deletion: it is completed first, and then their checkpoints are selected"
        )?;
    }
    if is_dry { writeln!(out, "nothing was changed") } else { Ok(()) }
}

fn merge(merge: &PruneMerge, out: &mut dyn Write) -> io::Result<()> {
    for checkpoint in &merge.checkpoints {
        writeln!(out, "checkpoint to delete: {}", described(checkpoint))?;
    }
    let merged: Vec<String> = merge.merged.iter().map(|path| shown(path)).collect();
    let what = match merge.stage {
        PruneStage::Complete => "complete the merge of",
        PruneStage::Delete => "merge",
    };
    let numbers = format!("copies {}, frees {}", human(merge.bytes_to_copy), human(merge.bytes_freed));
    writeln!(out, "  {what} {} into {}: {numbers}", merged.join(", "), shown(&merge.target))?;
    match next(merge) {
        Some(next) => writeln!(out, "  then {next}"),
        None => Ok(()),
    }
}

/// Returns which file a virtual machine must use when a merge is done, if it may use a merged one now.
fn next(merge: &PruneMerge) -> Option<String> {
    let (newest, target) = (shown(merge.merged.first()?), shown(&merge.target));
    match (merge.machines.is_empty(), merge.checkpoint_configurations.is_empty()) {
        (false, _) => Some(format!("the virtual machine must use {target} instead of {newest}")),
        (true, true) if merge.is_newest => {
            Some(format!("if a virtual machine uses {newest}, it must use {target} instead"))
        }
        _ => None,
    }
}

fn described(checkpoint: &PrunedCheckpoint) -> String {
    let path = shown(&checkpoint.path);
    let name = match checkpoint.names.first() {
        Some(name) => format!("\"{}\" in {path}", harmless(name)),
        None => format!("in {path}"),
    };
    let source = match checkpoint.time_source {
        TimeSource::Configuration => "from its configuration",
        TimeSource::Parent => "from the checkpoint that it depends on, which has a later time",
        _ => "from the times of the files",
    };
    let time = match checkpoint.time {
        Some(time) => format!("{} UTC {source}", utc(time)),
        None => "time unknown".to_owned(),
    };
    format!("{name}: {time}, {}", human(checkpoint.size))
}

/// Prints why checkpoints are kept. Those that were not selected are only counted.
pub(super) fn kept(plan: &PrunePlan, out: &mut dyn Write) -> io::Result<()> {
    let mut not_selected: BTreeMap<&str, usize> = BTreeMap::new();
    for kept in &plan.kept {
        match &kept.reason {
            KeepReason::Newest
            | KeepReason::NotOldEnough
            | KeepReason::NotLargeEnough
            | KeepReason::OtherName => {
                *not_selected.entry(words(&kept.reason)).or_default() += 1;
            }
            reason => {
                let name = kept.names.first().map(|name| format!(" (\"{}\")", harmless(name)));
                let (path, name) = (shown(&kept.path), name.unwrap_or_default()); // Most have no name.
                writeln!(out, "kept: {path}{name} {}", harmless(&reason.to_string()))?;
            }
        }
    }
    for (reason, count) in not_selected {
        writeln!(out, "kept: {count}: {reason}")?;
    }
    Ok(())
}

/// Prints which files must be named instead of a merged one.
fn uses(merge: &PruneMerge, newest: &Path, target: &str, out: &mut dyn Write) -> io::Result<()> {
    if let Some(next) = next(merge) {
        writeln!(out, "  Next: {next}")?;
    }
    let newest = shown(newest);
    for configuration in &merge.machines {
        writeln!(out, "  the machine of {} used {newest}", shown(configuration))?;
    }
    for configuration in &merge.checkpoint_configurations {
        writeln!(
            out,
            "  note: the checkpoint configuration {} still names {newest}; its disk is now {target}",
            shown(configuration)
        )?;
    }
    Ok(())
}

/// Prints what an earlier prune still has to delete.
fn pending(plan: &PrunePlan, out: &mut dyn Write) -> io::Result<()> {
    for pending in &plan.pending {
        let journal = shown(&pending.journal);
        if !pending.is_proven {
            writeln!(
                out,
                "interrupted prune: what the journal {journal} lists cannot be deleted, because a file has changed, or the \
                 merge target was not found. Check every disk in use with `vhdx check DISK --chain`. If all of them open, \
                 and none was replaced by an older copy, delete the listed files on which no disk depends, and then the \
                 journal"
            )?;
        }
        for file in &pending.files {
            writeln!(out, "left over from an interrupted prune, will be deleted first: {}", shown(file))?;
        }
    }
    Ok(())
}

fn words(reason: &KeepReason) -> &'static str {
    match reason {
        KeepReason::Newest => "among the newest (--keep-last)",
        KeepReason::NotOldEnough => "not older than --older-than",
        KeepReason::NotLargeEnough => "not larger than --larger-than",
        _ => "with a name that does not match --name",
    }
}

/// Prints which machines have not been changed after an earlier prune.
pub(super) fn moved(moved: &[Moved], out: &mut dyn Write) -> io::Result<()> {
    for Moved { configuration, instead_of, target } in moved {
        writeln!(
            out,
            "Next: after an earlier prune, the virtual machine of {} must use {} instead of {}",
            shown(configuration),
            shown(target),
            harmless(instead_of)
        )?;
    }
    Ok(())
}

/// Prints what became of the journals of interrupted prunes.
pub(super) fn journals(report: &PruneReport, out: &mut dyn Write) -> io::Result<()> {
    for path in &report.deleted {
        writeln!(out, "deleted: {}", shown(path))?;
    }
    for (path, error) in &report.failed_journals {
        writeln!(out, "not completed: {}: {}", shown(path), harmless(&error.to_string()))?;
    }
    Ok(())
}

/// Prints what became of a merge.
pub(super) fn outcome(merge: &PruneMerge, outcome: &MergeOutcome, out: &mut dyn Write) -> io::Result<()> {
    let target = shown(&merge.target);
    let (Some(done), Some(newest)) = (&outcome.report, merge.merged.first()) else {
        let reason = outcome.error.as_ref().map(|error| harmless(&error.to_string()));
        writeln!(out, "not merged into {target}: {}", reason.unwrap_or_default())?;
        if !outcome.is_begun {
            return writeln!(out, "  {target} reads as before");
        }
        return writeln!(
            out,
            "  Run the same command again to go on. Until then, do not start a virtual machine from {target}: its content \
             may be a mix of old and new data"
        );
    };
    writeln!(out, "merged into {target}: {} copied", both(done.bytes_copied))?;
    for path in &done.deleted {
        writeln!(out, "  deleted: {}", shown(path))?;
    }
    if done.undeleted.is_empty() {
        writeln!(out, "  left: {target}.vhdx-pruned, the record of this merge: keep it with the disks")?;
    }
    for file in &done.undeleted {
        writeln!(
            out,
            "  not deleted: {}: {}",
            shown(&file.path),
            harmless(&file.error.without_path().to_string())
        )?;
    }
    uses(merge, newest, &target, out)?;
    let written: Vec<&Path> =
        std::iter::once(&merge.target).chain(&done.relinked).map(|path| path.as_path()).collect();
    let stale: Vec<String> = written.into_iter().flat_map(side_files).map(|path| shown(&path)).collect();
    if !stale.is_empty() {
        writeln!(
            out,
            "  stale: {}: Hyper-V's change tracking does not know of this merge. Delete these files, and make the next \
             backup a full one",
            stale.join(", ")
        )?;
    }
    Ok(())
}
