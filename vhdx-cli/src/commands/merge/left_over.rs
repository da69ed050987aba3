//! `vhdx merge` of a disk that was merged before: copies nothing, and may delete the merged files.

use std::io::{self, Write};

use serde_json::{Value, json};
use vhdx::ops::{AlreadyMerged, Deletion, HostFiles};
use vhdx::{Chain, Conflict, Error};

use super::undeleted;
use crate::args::Merge;
use crate::commands::facts::delete_if_target_is_known;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, shown};

/// Reports a merge that was completed before, if the chain no longer opens, and deletes the merged files.
///
/// # Errors
/// Returns why the chain does not open, with a hint, if `--delete-merged` is given and nothing proves that another file
/// has the data. Also fails as [`AlreadyMerged::delete`] does.
pub(super) fn run(output: Output, merge: &Merge, found: &AlreadyMerged) -> Result<Outcome, Failure> {
    if merge.delete_merged && found.may_be_only_copy() {
        return Err(may_be_only_copy(merge, found));
    }
    let deletion = match merge.delete_merged {
        true => delete(merge, found)?,
        false => Deletion::default(),
    };
    let report = Report { merge, found, deletion: &deletion };
    output.answer(|| report.json(), |out| report.text(out))?;
    undeleted::ensure_all_deleted(&deletion.undeleted, found.target())
}

/// Returns the failure of a deletion of files that may be the only copy of their data: why the chain does not open.
pub(super) fn may_be_only_copy(merge: &Merge, found: &AlreadyMerged) -> Failure {
    let error = match Chain::open(&merge.child, &merge.parents.resolver()) {
        Err(error) => error,
        // The files have changed since they were checked.
        Ok(_) => Error::Conflict(Conflict::StalePlan),
    };
    Failure::from(error).with_hint(not_proven(found))
}

/// Returns the warning for merged files whose data is not proven to be in another file.
fn not_proven(found: &AlreadyMerged) -> String {
    let files: Vec<String> = found.layers().iter().map(|layer| shown(&layer.path)).collect();
    format!(
        "nothing is deleted. The merge is complete, but its target was not found, was changed since, or was replaced \
         by another copy; {}",
        delete_if_target_is_known(&files.join(", "))
    )
}

/// Deletes the layers of a merge that was completed before. In a dry run, returns what it would delete.
fn delete(merge: &Merge, found: &AlreadyMerged) -> vhdx::Result<Deletion> {
    match merge.writing.dry_run {
        false => found.delete(&HostFiles, &merge.options()),
        true if found.may_delete() => {
            found.ensure_not_in_use(&HostFiles)?;
            let mut would_be = Deletion::default();
            would_be.deleted = found.layers().iter().map(|layer| layer.path.clone()).collect();
            Ok(would_be)
        }
        true => Ok(Deletion::default()),
    }
}

struct Report<'a> {
    merge: &'a Merge,
    found: &'a AlreadyMerged,
    deletion: &'a Deletion,
}

impl Report<'_> {
    fn json(&self) -> Value {
        json!({
            "dry_run": self.merge.writing.dry_run,
            "already_merged": true,
            "merged": self.found.layers().iter().map(|layer| output::path(&layer.path)).collect::<Value>(),
            "into": self.found.target().map(output::path),
            "bytes_copied": 0,
            "blocks": 0,
            "relinked": self.found.relinked().iter().map(|child| output::path(&child.path)).collect::<Value>(),
            "deleted": output::paths(&self.deletion.deleted),
            "not_deleted": undeleted::json(&self.deletion.undeleted),
            "in_use": output::children(self.found.remaining_children()),
            "folders": output::paths(self.found.folders()),
        })
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let child = shown(&self.merge.child);
        match self.found.target() {
            Some(into) => writeln!(
                out,
                "{child} was already merged into {}, and that merge is complete: there is nothing to copy",
                shown(into)
            )?,
            None => writeln!(
                out,
                "{child} was already merged, and that merge is complete: there is nothing to copy"
            )?,
        }
        for child in self.found.relinked() {
            writeln!(out, "already relinked: {}", shown(&child.path))?;
        }
        for (child, parent) in self.found.remaining_children() {
            writeln!(
                out,
                "still needed, do not delete: {} is the parent of {}",
                shown(parent),
                shown(child)
            )?;
        }
        let deleted = if self.merge.writing.dry_run { "would be deleted" } else { "deleted" };
        for path in &self.deletion.deleted {
            writeln!(out, "{deleted}: {}", shown(path))?;
        }
        undeleted::text(&self.deletion.undeleted, out)?;
        if !self.merge.delete_merged && self.found.may_delete() {
            let left: Vec<String> = self.found.layers().iter().map(|layer| shown(&layer.path)).collect();
            writeln!(
                out,
                "no longer needed: {}; if no virtual machine uses them, run the same command with --delete-merged to \
                 delete them",
                left.join(", ")
            )?;
        }
        if self.found.may_be_only_copy() {
            writeln!(out, "warning: {}", not_proven(self.found))?;
        }
        Ok(())
    }
}
