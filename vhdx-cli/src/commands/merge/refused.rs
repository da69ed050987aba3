//! Explains why a merge in place was refused.

use std::path::PathBuf;

use vhdx::ops::{AlreadyMerged, PrepareError};
use vhdx::{
    Chain, ChainErrorKind, Error, FileFacts, Guid, InvalidArgument, Relatives, Vhdx, find_relatives,
    folders_around,
};

use super::left_over;
use crate::args::Merge;
use crate::exit::Failure;
use crate::output::{Output, shown};
use crate::progress::Bar;

/// Returns the failure of a merge that could not be planned, with a hint if the files show what to do.
pub(super) fn failure(output: Output, merge: &Merge, error: PrepareError) -> Failure {
    let found = error.already_merged().cloned();
    let error = Error::from(error);
    if matches!(merge.child.try_exists(), Ok(false)) {
        return match is_gone(output, merge) {
            Ok(hint) => Failure::from(error).with_hint(hint),
            Err(error) => error.into(),
        };
    }
    if let Some(found) = found {
        return after_merge(merge, error, &found);
    }
    if has_no_parent(merge, &error) {
        return Failure::usage(format!("{} has no parent to merge it into", shown(&merge.child)));
    }
    match hint_after_use(merge, &error) {
        Some(hint) => Failure::from(error).with_hint(hint),
        None => error.into(),
    }
}

/// Returns the failure if the chain does not open, and the files show a completed merge.
fn after_merge(merge: &Merge, error: Error, found: &AlreadyMerged) -> Failure {
    match found.is_certain() {
        // Undetermined files do not matter if nothing can be deleted.
        true if found.may_be_only_copy() => left_over::may_be_only_copy(merge, found),
        false if found.remaining_children().is_empty() => Failure::from(error).with_hint(UNPROVEN),
        _ => error.into(),
    }
}

/// Whether the disk has no parent, and no target was named. An incomplete merge into such a disk is not the reason.
fn has_no_parent(merge: &Merge, error: &Error) -> bool {
    let is_half_merged = error.chain_error().is_some_and(|error| error.kind() == ChainErrorKind::HalfMerged);
    let is_base = || Vhdx::open(&merge.child).is_ok_and(|vhdx| vhdx.parent_locator().is_none());
    let no_target =
        matches!(error.without_path(), Error::InvalidArgument(InvalidArgument::MergeTarget { .. }));
    merge.into.is_none() && (no_target || is_half_merged && is_base())
}

/// Returns the hint for an error about other children of the target, if a merge into it was begun before.
///
/// The hint is for merges of earlier versions. Their files do not show whether the merge was complete when the children
/// were made.
fn hint_after_use(merge: &Merge, error: &Error) -> Option<String> {
    let refused = error.chain_error().filter(|error| error.kind() == ChainErrorKind::OtherChildren)?;
    let chain = Chain::open(&merge.child, &merge.parents.resolver()).ok()?;
    let target = chain.layers().iter().position(|layer| layer.path() == refused.target())?;
    let (merged, [into, ..]) = chain.layers().split_at_checked(target)? else { return None };
    let locator = merged.last()?.parent_locator()?;
    // This linkage shows whether the merge is complete, so the error needs no hint.
    if locator.names_incomplete_merge() {
        return None;
    }
    let named = locator.parent_linkage2();
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
    let folders = folders_around(files.map(PathBuf::as_path), &merge.parents.parent_dir);
    let relatives = find_relatives(&folders, &Bar::new(output.quiet))?;
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
