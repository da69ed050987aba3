//! `vhdx merge` in place: merges a checkpoint into its parent or into another ancestor.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::{Value, json};
use vhdx::ops::{BlockAction, FileState, HostFiles, MergePlan, MergeReport, MergeTarget, Planned};
use vhdx::{Error, Vhdx};

use super::{left_over, refused, space, undeleted};
use crate::args::Merge;
use crate::commands::not_copied::side_files;
use crate::commands::reading::Reading;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, shown};
use crate::progress::Bar;
use crate::sizes::both;

pub(super) fn run(output: Output, merge: &Merge) -> Result<Outcome, Failure> {
    let folders = &merge.parents.parent_dir;
    let target = merge.into.as_deref().map_or(MergeTarget::Parent, MergeTarget::Ancestor);
    let (resolver, options, progress) = (merge.parents.resolver(), merge.options(), Bar::new(output.quiet));
    let planned = MergePlan::prepare(&merge.child, target, &resolver, folders, &options, &progress);
    drop(progress);
    let plan = match planned {
        Ok(Planned::Ready(plan) | Planned::Complete(plan)) => plan,
        Ok(Planned::AlreadyMerged(found)) => return left_over::run(output, merge, &found),
        Err(error) => return Err(refused::failure(output, merge, error)),
    };
    let mut reading = Reading::new(output, folders);
    reading.report_plan(&plan);
    for file in plan.other_formats() {
        let path = shown(&file.path);
        output.warning(&format!(
            "{path} is named like a VHDX, but is {}; it cannot be a child of these disks",
            file.format
        ));
    }
    // The merge changes the files, and with them the space that it needs.
    let space = match plan.space_needed(&HostFiles) {
        // Without the check, a host that cannot tell does not stop the merge.
        Err(_) if options.ignore_space => plan
            .layers()
            .last()
            .map(|target| (target.path.clone(), plan.bytes_needed()))
            .into_iter()
            .collect(),
        space => space?,
    };
    let with_hint = |error| space::with_hint(output, merge, &plan, error);
    let done = match merge.writing.dry_run {
        true => would_be_done(&plan).map_err(with_hint)?,
        false => execute(output, merge, &plan, with_hint)?,
    };
    let report = Report::new(merge, &plan, &space, &done);
    reading.answer(|| report.json(), |out| report.text(out))?;
    undeleted::ensure_all_deleted(&done.undeleted, Some(&report.into))
}

/// Executes the plan. `with_hint` converts errors to failures.
fn execute(
    output: Output,
    merge: &Merge,
    plan: &MergePlan,
    with_hint: impl Fn(Error) -> Failure,
) -> Result<MergeReport, Failure> {
    for (path, message) in plan.undetermined() {
        let what = format!(
            "could not be read, so a disk that depends on this merge may be overlooked: {}",
            output::harmless(message)
        );
        output.note(path, &what);
    }
    let progress = Bar::tidying_up(
        output,
        "stopping as soon as the files are in a state from which the merge can go on; this can take some time",
    )?;
    let result = plan.execute(&HostFiles, &progress);
    drop(progress);
    match result {
        Err(Error::Cancelled) => {
            Err(Failure::interrupted(format!("{} {}", shown(&merge.child), half_done(plan))))
        }
        Err(error) => {
            if is_begun(plan) {
                output.note(&merge.child, &half_done(plan));
            }
            Err(with_hint(error))
        }
        Ok(done) => Ok(done),
    }
}

/// Whether the DataWriteGuid of the target is no longer the planned one: the merge has begun to change it.
fn is_begun(plan: &MergePlan) -> bool {
    let is_other = |target: &FileState| {
        Vhdx::open(&target.path).is_ok_and(|found| found.data_write_guid() != target.data_write_guid)
    };
    plan.layers().last().is_some_and(is_other)
}

fn half_done(plan: &MergePlan) -> String {
    let path_of = |layer: Option<&FileState>| layer.map(|layer| shown(&layer.path)).unwrap_or_default();
    let (leaf, target) = (path_of(plan.layers().first()), path_of(plan.layers().last()));
    format!(
        "is not merged completely into {target}. Run the same command again to finish. Until then, do not start a \
         virtual machine from {target}: its content may be a mix of old and new data. The checkpoint {leaf} and the \
         disks that depend on it read as before"
    )
}

/// Returns the merge's actions, or the error that would stop it before its first write.
fn would_be_done(plan: &MergePlan) -> vhdx::Result<MergeReport> {
    plan.ensure_not_in_use(&HostFiles)?;
    plan.ensure_space(&HostFiles)?;
    let children = plan.children().iter().map(|child| child.path.clone());
    let deleted =
        plan.deleted_layers().iter().filter_map(|&layer| Some(plan.layers().get(layer)?.path.clone()));
    Ok(MergeReport {
        bytes_copied: plan.bytes_to_copy(),
        blocks: plan.block_counts().into_values().sum(),
        relinked: plan.relinked().iter().map(|child| child.path.clone()).chain(children).collect(),
        deleted: deleted.collect(),
        undeleted: Vec::new(),
    })
}

/// Returns a readable name of a merge's action on a block.
fn words(action: BlockAction) -> &'static str {
    match action {
        BlockAction::Zero => "set to zeros",
        BlockAction::Overwrite => "overwritten",
        BlockAction::Mark => "extended by sectors",
        BlockAction::Promote => "completed",
        BlockAction::Fill => "added",
        BlockAction::FillPart => "added in part",
    }
}

struct Report<'a> {
    merge: &'a Merge,
    plan: &'a MergePlan,
    /// The free bytes that each file system needed before the merge, with a file that lies there.
    space: &'a [(PathBuf, u64)],
    /// In a dry run: the expected result.
    done: &'a MergeReport,
    merged: Vec<PathBuf>,
    into: PathBuf,
    /// The change tracking files of all disks that the merge writes to.
    stale: Vec<PathBuf>,
}

impl<'a> Report<'a> {
    fn new(
        merge: &'a Merge,
        plan: &'a MergePlan,
        space: &'a [(PathBuf, u64)],
        done: &'a MergeReport,
    ) -> Self {
        let mut merged: Vec<PathBuf> = plan.layers().iter().map(|layer| layer.path.clone()).collect();
        let into = merged.pop().unwrap_or_default();
        let written = merged.iter().chain([&into]).chain(&done.relinked);
        let stale = written.flat_map(|path| side_files(path)).collect();
        Self { merge, plan, space, done, merged, into, stale }
    }

    fn json(&self) -> Value {
        let plan = self.plan;
        let actions = plan.block_counts();
        json!({
            "dry_run": self.merge.writing.dry_run,
            "already_merged": plan.is_merged(),
            "merged": output::paths(&self.merged),
            "into": output::path(&self.into),
            "virtual_size": plan.virtual_size(),
            "virtual_size_before": plan.virtual_size_before(),
            "bytes_dropped": plan.bytes_dropped(),
            "bytes_copied": self.done.bytes_copied,
            "blocks": self.done.blocks,
            "block_actions": actions.iter().map(|(action, n)| (action.name().to_owned(), json!(n))).collect::<Value>(),
            "batches": plan.batch_count(),
            "file_size": plan.file_size(),
            "bytes_needed": self.bytes_needed(),
            "space_needed": self.space.iter()
                .map(|(path, bytes)| json!({ "path": output::path(path), "bytes_needed": bytes }))
                .collect::<Value>(),
            "relinked": output::paths(&self.done.relinked),
            "left_over_children": plan.left_over().iter().map(|file| output::path(&file.path)).collect::<Value>(),
            "deleted": output::paths(&self.done.deleted),
            "not_deleted": undeleted::json(&self.done.undeleted),
            "stale": output::paths(&self.stale),
            "folders": output::paths(self.plan.folders()),
            "undetermined": plan.undetermined().iter()
                .map(|(path, message)| json!({ "path": output::path(path), "message": message }))
                .collect::<Value>(),
            "other_formats": plan.other_formats().iter()
                .map(|file| json!({ "path": output::path(&file.path), "format": file.format.name() }))
                .collect::<Value>(),
        })
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let (plan, done) = (self.plan, self.done);
        let is_dry = self.merge.writing.dry_run;
        let would = |what: &str| if is_dry { format!("would be {what}") } else { what.to_owned() };
        if plan.is_merged() {
            return self.already_merged(out);
        }
        writeln!(
            out,
            "{} into {}, a disk of {}",
            would("merged"),
            shown(&self.into),
            both(plan.virtual_size())
        )?;
        for (position, path) in (1..).zip(&self.merged) {
            writeln!(out, "  from {position}. {}", shown(path))?;
        }
        self.sizes(out)?;
        if plan.is_copied() {
            writeln!(out, "an earlier run of this merge has already copied all data")?;
        }
        let counts: Vec<String> =
            plan.block_counts().iter().map(|(action, count)| format!("{count} {}", words(*action))).collect();
        let counts = if counts.is_empty() { String::new() } else { format!(" ({})", counts.join(", ")) };
        let copied = if is_dry { "bytes to copy" } else { "bytes copied" };
        writeln!(out, "{copied}: {}, blocks: {}{counts}", both(done.bytes_copied), done.blocks)?;
        if is_dry {
            self.space_text(out)?;
        }
        for path in &self.done.relinked {
            writeln!(out, "{}: {}", would("relinked"), shown(path))?;
        }
        for path in &self.done.deleted {
            writeln!(out, "{}: {}", would("deleted"), shown(path))?;
        }
        undeleted::text(&self.done.undeleted, out)?;
        for file in self.plan.left_over() {
            writeln!(
                out,
                "left over from an earlier merge, which is complete: {}. The files of this merge have its data, and it \
                 can no longer be read after this merge. If no virtual machine uses it, delete it",
                shown(&file.path)
            )?;
        }
        for folder in self.plan.folders() {
            writeln!(out, "searched for other disks that depend on these files in {}", shown(folder))?;
        }
        for (path, message) in plan.undetermined() {
            writeln!(out, "could not be read: {}: {}", shown(path), output::harmless(message))?;
        }
        if is_dry { Ok(()) } else { self.what_next(out) }
    }

    /// Returns the free bytes that all file systems need together.
    fn bytes_needed(&self) -> u64 {
        self.space.iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }

    fn space_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let (most, needed) = (both(self.plan.file_size()), both(self.bytes_needed()));
        writeln!(out, "file size: at most {most}, free space needed: at most {needed}")?;
        if self.space.len() > 1 {
            for (path, bytes) in self.space {
                let path = shown(path);
                writeln!(out, "  free space needed on the file system of {path}: at most {}", both(*bytes))?;
            }
        }
        Ok(())
    }

    fn already_merged(&self, out: &mut dyn Write) -> io::Result<()> {
        let is_dry = self.merge.writing.dry_run;
        let (child, into) = (shown(&self.merge.child), shown(&self.into));
        writeln!(
            out,
            "{child} was already merged into {into}, and that merge is complete: there is nothing to copy"
        )?;
        for path in &self.done.relinked {
            writeln!(out, "already relinked: {}", shown(path))?;
        }
        let deleted = if is_dry { "would be deleted" } else { "deleted" };
        for path in &self.done.deleted {
            writeln!(out, "{deleted}: {}", shown(path))?;
        }
        undeleted::text(&self.done.undeleted, out)?;
        if self.plan.deleted_layers().is_empty() {
            let merged: Vec<String> = self.merged.iter().map(|path| shown(path)).collect();
            writeln!(
                out,
                "no longer needed: {}; if no virtual machine uses them, run the same command with --delete-merged to \
                 delete them",
                merged.join(", ")
            )?;
            let unread: Vec<String> =
                self.plan.possible_dependents().iter().map(|path| shown(path)).collect();
            if !unread.is_empty() && !self.merge.ignore_undetermined {
                writeln!(
                    out,
                    "that is refused until these files can be read, because they may need the merged files: {}; make \
                     them readable, or add --ignore-undetermined",
                    unread.join(", ")
                )?;
            }
        }
        Ok(())
    }

    /// Prints how the size of the target's virtual disk changes, and how much data is lost.
    fn sizes(&self, out: &mut dyn Write) -> io::Result<()> {
        let (before, after) = (self.plan.virtual_size_before(), self.plan.virtual_size());
        let is_dry = self.merge.writing.dry_run;
        if before != after {
            let was = if is_dry { "is" } else { "was" };
            writeln!(out, "the size of the target's virtual disk changes: it {was} {}", both(before))?;
        }
        if self.plan.bytes_dropped() == 0 {
            return Ok(());
        }
        let (lost, child) = (both(self.plan.bytes_dropped()), shown(&self.merge.child));
        let lost = format!("warning: {lost} of data past the end of the virtual disk of {child}");
        writeln!(out, "{lost} {}", if is_dry { "would be lost" } else { "are lost" })?;
        Ok(())
    }

    fn what_next(&self, out: &mut dyn Write) -> io::Result<()> {
        let into = shown(&self.into);
        for path in &self.stale {
            writeln!(out, "stale: {}", shown(path))?;
        }
        if !self.stale.is_empty() {
            writeln!(
                out,
                "Hyper-V's change tracking does not know of this merge. Delete these stale .rct and .mrt files,"
            )?;
            writeln!(out, "and make the next backup a full one.")?;
        }
        if self.done.relinked.is_empty() {
            writeln!(
                out,
                "Next: if a virtual machine uses a merged file, point the virtual machine's disk at {into}."
            )?;
        } else {
            writeln!(
                out,
                "Next: point every virtual machine that uses a merged file as its disk at {into}."
            )?;
            writeln!(
                out,
                "A machine whose disk was relinked, or depends on a relinked disk, needs no change."
            )?;
        }
        if self.done.deleted.is_empty() {
            let merged: Vec<String> = self.merged.iter().map(|path| shown(path)).collect();
            writeln!(
                out,
                "After that, the merged files are no longer needed. Delete only these, newest first: {}.",
                merged.join(", ")
            )?;
            writeln!(
                out,
                "Do not delete {into}. Once {into} changes, the merged files can no longer be read."
            )?;
            if self.merged.len() > 1 {
                writeln!(
                    out,
                    "{} is readable until then. The files between it and {into} can no longer be opened on their own.",
                    shown(&self.merge.child)
                )?;
            }
        }
        Ok(())
    }
}
