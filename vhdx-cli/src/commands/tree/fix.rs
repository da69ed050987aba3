//! Says what the user can do about a problem, with the commands of this binary.
//!
//! An administrator follows a fix while a chain is broken. So a fix says under which condition a file may be deleted,
//! and which files must be kept: any of them may hold the only copy of some data.

mod pruned;
mod record;
mod unused;

use std::path::{Path, PathBuf};

use vhdx::ops::has_prune_journal;
use vhdx::{Fallback, Problem, Remedy};

use crate::commands::date::utc;
use crate::commands::facts::delete_if_target_is_known;
use crate::output::{quoted, word};

/// Returns the message of a problem. It continues a sentence that begins with the path.
pub(in crate::commands) fn message(problem: &Problem) -> String {
    match problem {
        Problem::OlderThanPrune { time, .. } => format!("{problem}. Time of the prune: {} UTC", utc(*time)),
        Problem::PrunedParent { parent, .. } => {
            format!("{problem}. Time of the prune: {} UTC", utc(parent.time))
        }
        _ => problem.to_string(),
    }
}

/// Returns the sentence for the remedy for a problem.
pub(in crate::commands) fn text(problem: &Problem) -> String {
    let path = problem.path();
    of_remedy(path, problem.remedy())
}

/// Returns the sentence for the remedy for a problem of the file at `path`.
fn of_remedy(path: &Path, remedy: Remedy<'_>) -> String {
    let sentence = match remedy {
        Remedy::GetAccess => "search again as a user who may read it",
        Remedy::EndUse => "end the program that uses it, and search again",
        Remedy::CorrectPath => "it does not exist: correct the path, and search again",
        Remedy::RemoveCause => "remove the cause of the error, and search again",
        Remedy::Examine => EXAMINE,
        Remedy::Unpack => "rename it to match its format, and then unpack it with a tool for that format",
        Remedy::Convert => "rename it to match its format, or convert it to VHDX with a tool for that format",
        Remedy::MakeAvailable => MAKE_AVAILABLE,
        Remedy::Rewrite => REWRITE,
        Remedy::Rename => "rename the file to a name that Windows allows",
        Remedy::KeepSideFile { side_file } => return keep_side_file(path, side_file),
        Remedy::SeparateCopies => SEPARATE_COPIES,
        Remedy::ChooseParent => CHOOSE_PARENT,
        Remedy::MoveBack { parent, configuration } => {
            return format!(
                "{} was probably renamed or moved: first solve the problem of {}, and search again",
                quoted(parent),
                quoted(configuration)
            );
        }
        Remedy::StorePath { parent } => return store_path(path, parent),
        Remedy::CompleteChainOf { parent } => return complete_chain_of(parent),
        Remedy::IdentifyParent { files, count } => return identify_parent(files, count),
        Remedy::CompleteEarlierMerge => COMPLETE_EARLIER_MERGE,
        Remedy::FindParent { fallback } => return find_parent(fallback),
        Remedy::CompleteMerge { merged, target } => return complete_merge(merged, target),
        Remedy::FindMerge => FIND_MERGE,
        Remedy::FindMergedFiles => FIND_MERGED_FILES,
        Remedy::DeleteLeftOvers { layers, target } => return delete_left_overs(layers, target),
        Remedy::SearchFolderOf { parent } => return format!("search the folder of {} too", quoted(parent)),
        Remedy::FindOriginal => {
            "find the file from which this child was created: both have the same sector size"
        }
        Remedy::RestoreChain => RESTORE_CHAIN,
        Remedy::CopyConfiguration => {
            "copy this file again from the host. The disks can be read without it. Until then, `vhdx prune` keeps the \
             checkpoints in the folder of its machine, and each checkpoint on which a disk depends that no known \
             machine uses. To prune other machines now, name only their folders on the command line"
        }
        Remedy::FindDisk { stored, candidates, damaged, moved_to } => {
            return find_disk(stored, candidates, damaged, moved_to);
        }
        Remedy::UseTarget { target } => {
            return format!("choose {} in the settings of the machine before you start it", quoted(target));
        }
        Remedy::ApplyOffline { target } => return apply_offline(target),
        Remedy::RenameRecord { target } => return record::rename(path, target),
        Remedy::FindDiskOfRecord { candidate } => return record::find_disk(candidate),
        Remedy::DeleteConfiguration => {
            "this checkpoint cannot be applied any more. If the machine is registered in Hyper-V, do not delete this file: \
             delete the checkpoint in Hyper-V. Otherwise you can delete this file"
        }
        Remedy::RestoreRecord => {
            "make sure that you may read this file, and search again. If it is damaged, restore it from a backup. The disks \
             do not need it, but without it the names and times of checkpoints can be missing or wrong, and `vhdx prune` \
             selects by them"
        }
        Remedy::RestoreMergedFiles { merged } => return pruned::restore_merged_files(merged),
        Remedy::RestorePrunedChain { parent } => return pruned::restore_chain(parent),
        Remedy::SelectAllDisks { disks: [] } => {
            "first solve the problems of the other disks that this configuration names, and search again. If no \
             problem is listed for them, search their folders too"
        }
        Remedy::SelectAllDisks { .. } => SELECT_ALL_DISKS,
        Remedy::UseOnce => "start only one of these machines, or give each machine a disk of its own",
        Remedy::AttachNewest => {
            "do not start this machine. If it is meant to go back to this state, make a new child of the disk with `vhdx \
             revert`, and choose that child in the settings of the machine. Otherwise choose the newest disk of the chain"
        }
        Remedy::FindMachine { disk } => return unused::find_machine(disk),
        // Its own disks first: they have problems with a fix in any case.
        Remedy::FindConfiguration { lacks_disks: true, .. } => {
            "solve the other problems of this configuration first: disks that it names were not found. Then search \
             again. A checkpoint is matched to its machine by the disks that both name"
        }
        Remedy::FindConfiguration { cause: Some(cause), .. } => {
            return format!(
                "solve the problem of {} first, and search again. A checkpoint is matched to its machine by the disks \
                 that both name",
                quoted(cause)
            );
        }
        Remedy::FindConfiguration { .. } => {
            "search also the folder with the configuration of the machine. A checkpoint is matched to its machine by \
             the disks that both name"
        }
        Remedy::ShortenChain => {
            "shorten the chain first: merge the parent of this file into one of the ancestors of that parent (`vhdx merge \
             PARENT --into ANCESTOR`)"
        }
    };
    sentence.to_owned()
}

fn apply_offline(target: &Path) -> String {
    format!(
        "the state is kept, but Hyper-V does not find it any more. To apply this checkpoint, run `vhdx revert DISK --to {}` \
         on the disk that the machine uses now",
        word(target)
    )
}

const SELECT_ALL_DISKS: &str = "this checkpoint cannot be applied as a whole any more. To delete its other states too, \
    run `vhdx prune` on the folder of these disks, with `--name` and the name of this checkpoint. See with `--dry-run` \
    that the plan lists only these disks: other checkpoints can have the same name, and `*`, `?` and `[` are patterns";

const EXAMINE: &str = "run `vhdx check` on this file: it shows the damage and what can still be done. To restore the \
    disk from a backup, restore it to another folder; do not overwrite or delete this file before the restored disk \
    opens";

const MAKE_AVAILABLE: &str = "if it is a link to a disk, make that disk available (for example, mount its drive), and \
    search again; if it is not meant to be a disk, do nothing";

const REWRITE: &str = "this file can be read as it is. `vhdx check` lists all broken rules; `vhdx convert` makes a \
    copy without them";

const SEPARATE_COPIES: &str = "compare these files with `vhdx compare`, because files with the same GUID can still \
    differ. Move copies that no virtual machine uses to a folder in which parents are not searched for; do not delete \
    files that differ";

const CHOOSE_PARENT: &str = "compare these files with `vhdx compare`. Then link the child to the right one with `vhdx \
    reparent`, or name the right one with `--parent` when you open the chain";

const COMPLETE_EARLIER_MERGE: &str = "do not delete this file yet. If the merged disk still exists, run that merge \
    again with `--delete-merged`: it deletes only files that are no longer needed. If the merged disk is gone, or \
    nothing proves the merge any more, make sure that all disks in use open (`vhdx check DISK --chain`), and that \
    none was replaced by an older copy. Then delete only the merged files that still exist, newest first. Do not \
    delete the merge target";

const FIND_MERGE: &str = "first solve the problems of files here that are damaged or cannot be read. If files of that \
    merge are still missing, search more folders. Then run the same merge again. Until it is complete, do not use, \
    move or delete these files. After that, delete the merged files only if no virtual machine uses them. Do not \
    delete the merge target";

const FIND_MERGED_FILES: &str = "first solve the problems of files here that are damaged or cannot be read. If the \
    files that are merged into this disk are still missing, search more folders. Then run the same merge again. Until \
    it is complete, do not start a virtual machine from this disk, and do not move or delete it";

const RESTORE_CHAIN: &str = "restore these files from a backup to another folder, because their linkages are wrong. \
    Keep the old files until the restored disk opens";

const FIND_PARENT: &str = "find an unchanged copy of the missing parent: search more folders and your backups. Until \
    then, do not delete any file of this chain. If the child does not find the copy, link it with `vhdx reparent \
    CHILD --parent COPY`";

fn keep_side_file(disk: &Path, side_file: &Path) -> String {
    format!(
        "if only Hyper-V has changed the disk, do nothing. If another program has changed it (for example, a merge by \
         vhdx), delete {}, and make the next backup a full one. Do not delete the disk {}",
        quoted(side_file),
        quoted(disk)
    )
}

fn find_disk(
    stored: &str,
    candidates: &[PathBuf],
    damaged: Option<&Path>,
    moved_to: Option<&Path>,
) -> String {
    let stored = quoted(Path::new(stored));
    let names: Vec<String> = candidates.iter().map(|path| quoted(path)).collect();
    match (damaged, moved_to, &names[..]) {
        (Some(damaged), ..) => format!(
            "solve the problem of {} first, and search again. Do not delete it: it may be or contain the only copy of \
             the disk",
            quoted(damaged)
        ),
        (None, Some(moved), _) => format!(
            "move or rename {} so that its name and folder are those in {stored} again, and search again. If a record \
             (`NAME.vhdx-pruned`) is beside the disk, rename it with the disk. Do not run `vhdx reparent` on children \
             of the disk before that: they may store the old name too",
            quoted(moved)
        ),
        (None, None, []) => {
            "search also the folder with the missing disk. If the disk was renamed or moved, give it its old name and \
             folder again"
                .to_owned()
        }
        (None, None, names) => format!(
            "search only the folders of one copy of the machine, or rename the folders to the names that they have in \
             {stored}. Files with this name: {}",
            names.join(", ")
        ),
    }
}

fn store_path(child: &Path, parent: &Path) -> String {
    format!(
        "run `vhdx reparent {} --parent {}`, which stores the path of the parent in the child. Or give `--parent` each \
         time you open the chain. If no other disk depends on {}, you can also move it to a stored path",
        word(child),
        word(parent),
        quoted(parent)
    )
}

fn complete_chain_of(parent: &Path) -> String {
    format!(
        "first solve the problems of {} and its parents, and search again. A child can be relinked only if the chain of \
         its parent opens",
        quoted(parent)
    )
}

fn identify_parent(files: &[PathBuf], count: usize) -> String {
    let mut names: Vec<String> = files.iter().map(|file| quoted(file)).collect();
    if count > files.len() {
        names.push(format!("and {} more", count - files.len()));
    }
    format!(
        "solve the problems of these paths first, and search again: {}. The parent may be one of them or in one of \
         them. Until then, do not delete any file of this chain, and do not link another parent",
        names.join(", ")
    )
}

fn find_parent(fallback: Option<Fallback<'_>>) -> String {
    match fallback {
        None => FIND_PARENT.to_owned(),
        Some(Fallback::ChangedParent(path)) => format!(
            "{FIND_PARENT}. If no copy exists: {} may be the parent, but it was changed after the child was created, \
             or it is an older copy. Data that the child does not contain may be wrong. Link only copies of both files \
             (`vhdx reparent CHILD --parent FILE --ignore-id-mismatch`), and keep the originals",
            quoted(path)
        ),
        Some(Fallback::NearestAncestor(path)) => format!(
            "{FIND_PARENT}. If no copy exists, the data of the missing file is lost. {} is probably the nearest \
             surviving ancestor. To rescue single files, link copies of both files (`vhdx reparent CHILD --parent FILE \
             --ignore-id-mismatch`), and keep the originals: the linked disk is incomplete and may be inconsistent",
            quoted(path)
        ),
        Some(Fallback::NotRecommended) => format!(
            "{FIND_PARENT}. If no copy exists, the data of the missing file is lost, and no substitute can be \
             recommended. A substitute on which other disks depend would leave out the data of those disks"
        ),
    }
}

fn complete_merge(merged: &Path, target: &Path) -> String {
    if has_prune_journal(target) {
        return format!(
            "a prune into {} was interrupted: run the same `vhdx prune` again, which completes it. Until then, do not start \
             a virtual machine from any file of this merge, and do not move or delete these files",
            quoted(target)
        );
    }
    format!(
        "merge {} into {} again, which completes the merge. Until then, do not start a virtual machine from any file \
         of this merge, and do not move or delete these files",
        quoted(merged),
        quoted(target)
    )
}

fn delete_left_overs(layers: &[PathBuf], target: Option<&Path>) -> String {
    let layers = layers.iter().map(|layer| quoted(layer)).collect::<Vec<_>>().join(", ");
    match target {
        Some(target) => format!(
            "if no virtual machine uses these files, delete only these, in this order: {layers}. Do not delete {}",
            quoted(target)
        ),
        None => delete_if_target_is_known(&layers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_of(remedy: Remedy<'_>) -> String {
        of_remedy(Path::new("child.avhdx"), remedy)
    }

    #[test]
    fn a_disk_that_is_there_is_not_searched_for_in_other_folders() {
        let stored = r"D:\vm\a.vhdx";
        let words = |damaged: Option<&str>, moved_to: Option<&str>| {
            let (damaged, moved_to) = (damaged.map(Path::new), moved_to.map(Path::new));
            words_of(Remedy::FindDisk { stored, candidates: &[], damaged, moved_to })
        };
        assert!(words(None, None).starts_with("search also the folder with the missing disk"));
        assert!(words(Some("x"), Some("y")).starts_with("solve the problem of \"x\" first"));
        let moved = words(None, Some("y"));
        let rename = r#"move or rename "y" so that its name and folder are those in "D:\vm\a.vhdx" again"#;
        assert!(moved.starts_with(rename) && moved.contains("Do not run `vhdx reparent`"), "{moved}");
        for (cause, lacks_disks) in
            [(Some(Path::new("x")), false), (None, true), (Some(Path::new("x")), true)]
        {
            let words = words_of(Remedy::FindConfiguration { cause, lacks_disks });
            let start =
                if lacks_disks { "solve the other problems of this" } else { "solve the problem of \"x\"" };
            assert!(words.starts_with(start), "{words}");
        }
    }

    #[test]
    fn a_stale_path_has_the_whole_command() {
        let text = words_of(Remedy::StorePath { parent: Path::new("a b/base.vhdx") });
        let command = match cfg!(windows) {
            true => r#"`vhdx reparent child.avhdx --parent "a b/base.vhdx"`"#,
            false => "`vhdx reparent child.avhdx --parent 'a b/base.vhdx'`",
        };
        assert!(text.contains(command), "{text}");
    }

    #[test]
    fn the_fix_names_the_reason_why_a_path_cannot_be_read() {
        assert_eq!(words_of(Remedy::CorrectPath), "it does not exist: correct the path, and search again");
        assert_eq!(words_of(Remedy::RemoveCause), "remove the cause of the error, and search again");
        assert_eq!(words_of(Remedy::GetAccess), "search again as a user who may read it");
    }

    #[test]
    fn a_missing_parent_is_searched_for_before_a_substitute_is_linked() {
        let words = |fallback| words_of(Remedy::FindParent { fallback });
        let find = words(None);
        assert!(find.starts_with("find an unchanged copy of the missing parent"), "{find}");
        assert!(!find.contains("lost"), "{find}");

        let path = Path::new("a/b");
        let changed = words(Some(Fallback::ChangedParent(path)));
        assert!(changed.contains("\"a/b\" may be the parent, but it was changed"), "{changed}");
        let nearest = words(Some(Fallback::NearestAncestor(path)));
        assert!(nearest.contains("\"a/b\" is probably the nearest surviving"), "{nearest}");
        let none = words(Some(Fallback::NotRecommended));
        assert!(none.contains("no substitute can be recommended"), "{none}");
        for text in [&changed, &nearest, &none] {
            assert!(text.starts_with(&find), "{text}");
            let links_copies = text.contains("copies of both files") && text.contains("keep the originals");
            assert_eq!(links_copies, text.contains("--ignore-id-mismatch"), "{text}");
        }
    }

    /// The target must never be in the list of files to delete.
    #[test]
    fn left_overs_are_deleted_in_order_and_without_the_target() {
        let layers = [PathBuf::from("c"), PathBuf::from("b")];
        let known = words_of(Remedy::DeleteLeftOvers { layers: &layers, target: Some(Path::new("a")) });
        assert!(known.ends_with("in this order: \"c\", \"b\". Do not delete \"a\""), "{known}");
        let unknown = words_of(Remedy::DeleteLeftOvers { layers: &layers, target: None });
        assert!(unknown.starts_with("find the merge target first"), "{unknown}");
        assert!(unknown.ends_with("in this order: \"c\", \"b\". Do not delete the target"), "{unknown}");
    }
}
