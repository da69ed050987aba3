//! The text of `vhdx prune`: the plan, and what became of it.

use std::io::{self, Write};
use std::path::Path;

use vhdx::Forest;
use vhdx::ops::{
    KeepReason, KeptCheckpoint, MergeOutcome, PruneMerge, PrunePlan, PruneReport, PruneStage,
    PrunedCheckpoint,
};

use super::groups::{Group, Groups, machines};
use super::kept;
use super::round::{Moved, Round};
use crate::commands::checkpoint;
use crate::commands::date::utc;
use crate::commands::not_copied::side_files;
use crate::output::{self, harmless, shown, shown_beside};
use crate::sizes::{both, human};

/// Prints a plan. `is_dry` is whether nothing is executed.
pub(super) fn plan(forest: &Forest, plan: &PrunePlan, is_dry: bool, out: &mut dyn Write) -> io::Result<()> {
    if plan.is_empty() {
        pending(plan, out)?;
        return nothing_to_do(plan, out);
    }
    let groups = Groups::of(forest, plan);
    summary(plan, &groups, out)?;
    pending(plan, out)?;
    for group in &groups.groups {
        self::group(forest, group, out)?;
    }
    if !groups.groups.is_empty() {
        writeln!(out)?;
    }
    kept::write(plan, out)?;
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
        if forest.machines.is_empty() {
            writeln!(
                out,
                "no configuration of a machine was found: if a machine uses a disk that has children, the merge can \
                 change the content of that disk. Search the folder of the configurations too"
            )?;
        }
    }
    if plan.needs_another() {
        writeln!(
            out,
            "some families have an interrupted merge or deletion: it is completed first, and then their checkpoints are selected"
        )?;
    }
    if is_dry { writeln!(out, "nothing was changed") } else { Ok(()) }
}

fn nothing_to_do(plan: &PrunePlan, out: &mut dyn Write) -> io::Result<()> {
    kept::write(plan, out)?;
    let has_other_name = |kept: &KeptCheckpoint| matches!(kept.reason, KeepReason::OtherName);
    match !plan.kept.is_empty() && plan.kept.iter().all(has_other_name) {
        true => writeln!(out, "no checkpoint is to be deleted: none has a name that matches --name"),
        false => writeln!(out, "no checkpoint is to be deleted"),
    }
}

/// Prints the numbers of the whole plan.
fn summary(plan: &PrunePlan, groups: &Groups<'_>, out: &mut dyn Write) -> io::Result<()> {
    let to_complete = plan.merges.iter().filter(|merge| merge.stage == PruneStage::Complete).count();
    if to_complete > 0 {
        writeln!(out, "merges to complete: {to_complete}")?;
    }
    let machines = match groups.machines {
        0 => String::new(),
        count => format!(" ({})", output::count(count, "known machine", "known machines")),
    };
    writeln!(
        out,
        "to delete: {} in {}{machines}, to copy: {}",
        output::count(plan.selected().count(), "checkpoint", "checkpoints"),
        output::count(groups.families, "family", "families"),
        human(plan.bytes_to_copy()),
    )?;
    let (freed, taken) = (human(plan.bytes_freed()), human(plan.bytes_taken()));
    writeln!(out, "  the deleted files free {freed}, and other files grow by at most {taken}")
}

fn group(forest: &Forest, group: &Group<'_>, out: &mut dyn Write) -> io::Result<()> {
    let checkpoints: usize = group.merges.iter().map(|merge| merge.checkpoints.len()).sum();
    let count = output::count(checkpoints, "checkpoint", "checkpoints");
    writeln!(
        out,
        "\n{}{}",
        group.heading,
        if checkpoints == 0 { String::new() } else { format!(": {count}") }
    )?;
    group.merges.iter().try_for_each(|merge| self::merge(forest, merge, out))
}

fn merge(forest: &Forest, merge: &PruneMerge, out: &mut dyn Write) -> io::Result<()> {
    for checkpoint in &merge.checkpoints {
        writeln!(out, "  delete {}", described(checkpoint))?;
    }
    let beside = |path: &Path| shown_beside(merge.target.parent(), path);
    let mut start = match merge.stage {
        PruneStage::Complete => "  complete the merge of",
        PruneStage::Delete => "  merge",
    };
    // Oldest first, like the checkpoints. The first checkpoint is in the target; each other one is in a merged file.
    for path in merge.merged.iter().rev() {
        writeln!(out, "{start} {}", beside(path))?;
        start = "    and";
    }
    let numbers = format!("copies {}, frees {}", human(merge.bytes_to_copy), human(merge.bytes_freed));
    writeln!(out, "    into {}: {numbers}", shown(&merge.target))?;
    match next(merge, &machines_of(forest, merge), beside) {
        Some([first, second]) => writeln!(out, "    after this merge: {first}\n      {second}"),
        None => Ok(()),
    }
}

/// Returns how the machines are called that are known to use a merged file.
fn machines_of(forest: &Forest, merge: &PruneMerge) -> String {
    let named = forest.machines.iter().map(|machine| &machine.configuration);
    machines(named.filter(|of| merge.machines.contains(&of.path)))
}

/// Returns the two lines that say which file a virtual machine must use after a merge; `None` if it uses no merged
/// file.
///
/// `machine` is the wording for the machines that are known to use a merged file.
fn next(merge: &PruneMerge, machine: &str, shown: impl Fn(&Path) -> String) -> Option<[String; 2]> {
    let (newest, target) = (shown(merge.merged.first()?), shown(&merge.target));
    match (merge.machines.is_empty(), merge.checkpoint_configurations.is_empty()) {
        (false, _) => {
            Some([format!("the virtual {machine} must use {target}"), format!("instead of {newest}")])
        }
        (true, true) if merge.is_newest => {
            Some([format!("if a virtual machine uses {newest},"), format!("it must use {target} instead")])
        }
        _ => None,
    }
}

fn described(checkpoint: &PrunedCheckpoint) -> String {
    let time = match checkpoint.time {
        Some(time) => {
            let source = checkpoint::source(checkpoint.time_source);
            format!("made {} UTC (time from {source})", utc(time))
        }
        None => "made at an unknown time".to_owned(),
    };
    format!("{}: {time}, {}", checkpoint::quoted(&checkpoint.names), human(checkpoint.size))
}

/// Prints which files must be named instead of a merged one.
fn uses(
    forest: &Forest,
    merge: &PruneMerge,
    newest: &Path,
    target: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    // One line, which `contrib/mail/vhdx-mail` finds.
    if let Some(next) = next(merge, &machines_of(forest, merge), shown) {
        writeln!(out, "  Next: {}", next.join(" "))?;
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

/// Prints which machines have not been changed after an earlier prune or revert.
pub(super) fn moved(moved: &[Moved], out: &mut dyn Write) -> io::Result<()> {
    for Moved { configuration, instead_of, target } in moved {
        writeln!(
            out,
            "Next: after an earlier prune or revert, the virtual machine of {} must use {} instead of {}",
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
pub(super) fn outcome(
    forest: &Forest,
    merge: &PruneMerge,
    outcome: &MergeOutcome,
    out: &mut dyn Write,
) -> io::Result<()> {
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
    uses(forest, merge, newest, &target, out)?;
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

/// Prints what all rounds did, as the last line of a long answer.
pub(super) fn result(rounds: &[Round], out: &mut dyn Write) -> io::Result<()> {
    let merges = rounds.iter().filter_map(|round| Some((&round.plan, round.report.as_ref()?)));
    let merges = merges.flat_map(|(plan, report)| plan.merges.iter().zip(&report.merges));
    let done: Vec<&PruneMerge> =
        merges.filter(|(_, outcome)| outcome.report.is_some()).map(|(merge, _)| merge).collect();
    let deleted: usize = done.iter().map(|merge| merge.checkpoints.len()).sum();
    let kept = rounds.last().into_iter().flat_map(|round| &round.plan.kept);
    let kept = kept.filter(|kept| kept.reason.is_failure()).count();
    writeln!(
        out,
        "result: {}, {} deleted, {kept} selected but kept",
        output::count(done.len(), "merge", "merges"),
        output::count(deleted, "checkpoint", "checkpoints"),
    )
}
