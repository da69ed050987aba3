//! `vhdx merge` of a disk that was merged before: copies nothing, and may delete the merged files.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::{Value, json};
use vhdx::ops::{AlreadyMerged, Deletion, HostFiles, already_merged};
use vhdx::{Chain, ChainErrorKind, Error, FileFacts, Guid, Relatives, Vhdx, inspect_chain};

use super::{relatives, undeleted};
use crate::args::Merge;
use crate::commands::facts::delete_if_target_is_known;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, shown};

/// Runs the merge of a chain that does not open. If it was merged before, there is nothing to copy.
///
/// # Errors
/// Returns `error`, perhaps with a hint, if the files do not prove that the merge is complete, or if `--delete-merged`
/// is given and nothing proves that another file has the data. Also fails as [`AlreadyMerged::delete`] does.
pub(super) fn run(output: Output, merge: &Merge, error: Error) -> Result<Outcome, Failure> {
    if matches!(merge.child.try_exists(), Ok(false)) {
        return Err(Failure::from(error).with_hint(is_gone(output, merge)?));
    }
    let Ok(layers) = inspect_chain(&merge.child, &merge.parents.resolver()) else { return Err(error.into()) };
    let relatives = relatives::around(output, merge, layers.iter().map(|layer| layer.name.as_path()))?;
    let found = match already_merged(&layers, &relatives) {
        Some(found) if found.is_certain() => found,
        Some(found) if found.remaining_children.is_empty() => {
            return Err(Failure::from(error).with_hint(UNPROVEN));
        }
        _ => return Err(error.into()),
    };
    drop(layers);
    if merge.delete_merged && found.may_be_only_copy() {
        return Err(Failure::from(error).with_hint(not_proven(&found)));
    }
    let deletion = match merge.delete_merged {
        true => delete(merge, &found, &relatives)?,
        false => Deletion::default(),
    };
    let report = Report { merge, found: &found, deletion: &deletion, folders: &relatives.folders };
    output.answer(|| report.json(), |out| report.text(out))?;
    undeleted::ensure_all_deleted(&deletion.undeleted, found.target())
}

/// Adds a hint to an error about other children of the target, if a merge into it was begun before.
///
/// The hint is for merges of earlier versions. Their files do not show whether the merge was complete when the children
/// were made.
pub(super) fn used_since(chain: &Chain, target: usize, error: Error) -> Failure {
    match hint_after_use(chain, target, &error) {
        Some(hint) => Failure::from(error).with_hint(hint),
        None => error.into(),
    }
}

fn hint_after_use(chain: &Chain, target: usize, error: &Error) -> Option<String> {
    let (merged, [into, ..]) = chain.layers().split_at_checked(target)? else { return None };
    let locator = merged.last()?.parent_locator()?;
    // This linkage shows whether the merge is complete, so the error needs no hint.
    if locator.names_incomplete_merge() {
        return None;
    }
    let named = locator.parent_linkage2();
    let refused = error.chain_error().filter(|error| error.kind() == ChainErrorKind::OtherChildren)?;
    let (dependents, unfinished) = (refused.dependents(), refused.unfinished());
    // A child that was made from the target names it first. A merged layer, or a copy of one, names the target second.
    let names_first = |child: &PathBuf| {
        let child = Vhdx::open(child).ok();
        child.and_then(|child| child.parent_locator()?.parent_linkage()) == Some(into.data_write_guid())
    };
    let were_made_of_it = dependents.iter().all(|(child, _)| names_first(child));
    if named != Some(into.data_write_guid()) || !were_made_of_it || !unfinished.is_empty() {
        return None;
    }
    let files = merged.iter().filter_map(Vhdx::path).map(shown).collect::<Vec<_>>().join(", ");
    let children = dependents.iter().map(|(child, _)| shown(child)).collect::<Vec<_>>().join(", ");
    Some(format!(
        "this merge was begun before, but no file shows whether it was complete when these disks were made: \
         {children}. If the merge reported success, and the merged files ({files}) were not used since and have no \
         children, there is nothing left to merge. If it was interrupted, these disks may contain a mix of old and new \
         data: do not use them, move them to another folder, merge again, and compare"
    ))
}

/// Returns the hint for a merge whose disk does not exist.
fn is_gone(output: Output, merge: &Merge) -> vhdx::Result<String> {
    let files = [Some(&merge.child), merge.into.as_ref()].into_iter().flatten();
    let relatives = relatives::around(output, merge, files.map(PathBuf::as_path))?;
    let mut left_overs = relatives.left_overs();
    let listed = |is: &mut dyn FnMut(&FileFacts) -> bool| {
        let disks = relatives.disks.iter().filter(|disk| is(disk));
        disks.map(|disk| shown(&disk.path)).collect::<Vec<_>>().join(", ")
    };
    let needed = listed(&mut |disk| lacks_required_mark(disk, &relatives) && !left_overs.contains(disk));
    if !needed.is_empty() {
        return Ok(format!(
            "this file does not exist: check the path. Do not move or delete {needed}: a merge of these files may be \
             incomplete, and the disk that was merged is in none of the searched folders. Find that disk, and merge it \
             again (`--parent-dir DIR` adds a folder to search)"
        ));
    }
    let left = listed(&mut |disk| names_no_parent(disk) || left_overs.contains(disk));
    Ok(match left.is_empty() {
        true => "this file does not exist: check the path. If this disk was merged before with `--delete-merged`, that merge is \
                 complete and has deleted the file: there is nothing left to do"
            .to_owned(),
        false => format!(
            "this file does not exist: check the path. If this disk was merged before with `--delete-merged`, that merge \
             is complete, and these files are left over from that merge: {left}. Before you delete them, make sure that \
             all disks in use open (`vhdx check DISK --chain`), and that the merge target was not replaced by an older \
             copy. Do not delete the merge target"
        ),
    })
}

/// Whether both linkages are zero, as in the layer next to the target after a merge that an earlier version began.
fn names_no_parent(disk: &FileFacts) -> bool {
    let is_nil = |linkage: Option<Guid>| linkage.is_some_and(|linkage| linkage.is_nil());
    is_nil(disk.linkage) && (disk.linkage2.is_none() || is_nil(disk.linkage2))
}

/// Whether a disk requires a mark that no disk found here carries: the merged disk is gone or in another folder.
fn lacks_required_mark(disk: &FileFacts, relatives: &Relatives) -> bool {
    let is_carried = || relatives.disks.iter().any(|other| other.carries_mark_for(disk));
    disk.requires_mark() && !is_carried()
}

/// The hint for a layer with zero linkages, if no relinked child proves which disk was merged. Only the end of a merge
/// that an earlier version began leaves such a layer.
const UNPROVEN: &str = "this file is left over from a completed merge, but no file here proves which disk was merged. \
    The relinked child of that disk may be in another folder: add it with `--parent-dir DIR`. If a later merge has \
    changed the child, `--delete-merged` cannot delete these files. Then make sure that all disks in use open \
    (`vhdx check DISK --chain`), and delete only the merged files by hand, newest first, this file last. Do not delete \
    the merge target";

/// Returns the warning for merged files whose data is not proven to be in another file.
fn not_proven(found: &AlreadyMerged) -> String {
    let files: Vec<String> = found.layers.iter().map(|layer| shown(&layer.path)).collect();
    format!(
        "nothing is deleted. The merge is complete, but its target was not found, was changed since, or was replaced \
         by another copy; {}",
        delete_if_target_is_known(&files.join(", "))
    )
}

/// Deletes the layers of a merge that was completed before. In a dry run, returns what it would delete.
fn delete(merge: &Merge, found: &AlreadyMerged, relatives: &Relatives) -> vhdx::Result<Deletion> {
    if !merge.ignore_undetermined {
        relatives.ensure_all_determined(&merge.child)?;
    }
    match merge.writing.dry_run {
        false => found.delete(&HostFiles, &merge.options()),
        true if found.may_delete() => {
            found.ensure_not_in_use(&HostFiles)?;
            let mut would_be = Deletion::default();
            would_be.deleted = found.layers.iter().map(|layer| layer.path.clone()).collect();
            Ok(would_be)
        }
        true => Ok(Deletion::default()),
    }
}

struct Report<'a> {
    merge: &'a Merge,
    found: &'a AlreadyMerged,
    deletion: &'a Deletion,
    folders: &'a [PathBuf],
}

impl Report<'_> {
    fn json(&self) -> Value {
        json!({
            "dry_run": self.merge.writing.dry_run,
            "already_merged": true,
            "merged": self.found.layers.iter().map(|layer| output::path(&layer.path)).collect::<Value>(),
            "into": self.found.target().map(output::path),
            "bytes_copied": 0,
            "blocks": 0,
            "relinked": self.found.relinked.iter().map(|child| output::path(&child.path)).collect::<Value>(),
            "deleted": output::paths(&self.deletion.deleted),
            "not_deleted": undeleted::json(&self.deletion.undeleted),
            "in_use": output::children(&self.found.remaining_children),
            "folders": output::paths(self.folders),
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
        for child in &self.found.relinked {
            writeln!(out, "already relinked: {}", shown(&child.path))?;
        }
        for (child, parent) in &self.found.remaining_children {
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
            let left: Vec<String> = self.found.layers.iter().map(|layer| shown(&layer.path)).collect();
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
