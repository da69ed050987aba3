//! Returns hints: what the user can do after an error of the library.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use vhdx::{ChainError, ChainErrorKind, Conflict, Error, Rule, UnfinishedMerge, Vhdx};

use crate::output;

/// Returns the hint for an error of the library.
pub(super) fn for_error(error: &Error) -> Option<Cow<'static, str>> {
    let text = match error.without_path() {
        Error::Chain(error) if !error.unfinished().is_empty() => {
            return Some(hint_to_complete(error.unfinished()).into());
        }
        Error::Chain(error) => match (error.kind(), error.parent()) {
            (ChainErrorKind::LayerOfMerge, Some(target)) => {
                return Some(hint_for_merged(error.path(), target, error.is_complete()).into());
            }
            (ChainErrorKind::MissingParent, _) if !error.unreadable().is_empty() => {
                return chain_hint(error).map(|hint| format!("{UNREADABLE}: {hint}").into());
            }
            _ => chain_hint(error),
        },
        Error::Io { source, .. } if source.kind() == io::ErrorKind::ResourceBusy => Some(
            "turn off the virtual machine, or end the program that uses the file (also `vhdx mount` or `vhdx serve`), and try again",
        ),
        Error::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
            Some("free space on the file system of that file, and run the command again")
        }
        Error::Conflict(Conflict::Changed(_)) => {
            Some("do not use the result. End the program that writes to the file, and run the command again")
        }
        Error::NoSpace { .. } => Some(
            "free space on the file system of that file. `--no-space-check` starts anyway: use it if the content is \
             sparse and takes less. If the space runs out, the new file is removed",
        ),
        Error::Conflict(Conflict::OtherBase(_)) => Some(
            "nothing was written. Check that this is the right target, and that it holds the disk of `--since` or an \
             interrupted update from it. Without `--since`, `vhdx convert NEW TARGET --in-place` overwrites all of it",
        ),
        Error::Conflict(Conflict::DestinationExists) => Some("`--force` replaces it"),
        error if error.violation().is_some_and(|violation| violation.rule() == Rule::FileSignature) => Some(
            "the start of the file is damaged, or the file is not a VHDX. If it is a raw disk that contains bytes of a \
             VHDX by chance, read it with `vhdx convert --from raw`",
        ),
        error if error.violation().is_some_and(|violation| violation.rule() == Rule::HeaderSequence) => Some(
            "`vhdx merge FILE --output NEW.vhdx` makes a new file of the same disk, without this limit. Use the new file \
             in the place of this one",
        ),
        error if error.violation().is_some_and(|violation| is_beyond_repair(violation.rule())) => Some(
            "vhdx cannot repair this. Keep this file unchanged, and restore the disk from a backup to another folder",
        ),
        _ => None,
    };
    text.map(Cow::from)
}

/// What precedes the hint for a missing parent if it may be among files that could not be read.
const UNREADABLE: &str = "some files could not be read (no permission, in use or damaged), and one of them may be the parent. If not";

/// Whether a file that breaks the rule is damaged in a way that no command can repair.
fn is_beyond_repair(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::BlockOverlapsBlock
            | Rule::BlockOverlapsLog
            | Rule::BlockOverlapsRegion
            | Rule::MetadataSignature
            | Rule::MetadataCount
            | Rule::MetadataReserved
            | Rule::MetadataDuplicate
            | Rule::MetadataItemPlace
            | Rule::MetadataItemOverlap
            | Rule::MetadataItemMissing
            | Rule::MetadataItemSize
    )
}

/// Returns the hint for an incomplete merge. Its files must not be moved: other disks depend on them.
fn hint_to_complete(unfinished: &[UnfinishedMerge]) -> String {
    let mut commands: Vec<String> = unfinished.iter().filter_map(command_to_complete).collect();
    commands.dedup();
    let how = match commands.is_empty() {
        true => {
            "find the merged disk (`--parent-dir DIR` adds a folder to search), and merge it again".to_owned()
        }
        false => format!("run it again, with the same options: {}", commands.join(", ")),
    };
    format!(
        "complete the earlier merge first: {how}. Do not move or delete any file of that merge before it is complete; \
         `--delete-merged` then deletes the merged files"
    )
}

fn command_to_complete(unfinished: &UnfinishedMerge) -> Option<String> {
    let command = output::merge_command(unfinished.merged.as_deref()?, unfinished.target.as_deref());
    Some(format!("`{command}`"))
}

fn chain_hint(error: &ChainError) -> Option<&'static str> {
    match error.kind() {
        ChainErrorKind::MissingParent if error.expected().is_empty() => Some(
            "nothing in this file tells which disk is its parent. A merge by an earlier version of vhdx leaves such a file. \
             If the merged disk still exists, merge it again with `--delete-merged`: that deletes the files that are no \
             longer needed. Otherwise keep this file: it may be the only copy of its data",
        ),
        ChainErrorKind::MissingParent => Some(
            "`vhdx tree DIR` finds a parent that was moved or renamed, also in subfolders. `--parent-dir DIR` searches \
             one more folder. `--parent FILE` names a parent: give it once for each level, nearest first. \
             `vhdx reparent CHILD --parent FILE` stores the path in the child",
        ),
        ChainErrorKind::AmbiguousParent => Some(
            "compare these files, and name the right one with `--parent FILE`, once for each level, nearest first. \
             Keep copies of disks in other folders, which are not searched for parents",
        ),
        ChainErrorKind::Cycle => Some(
            "these files name each other as parents, so the chain has no base: restore them from a backup",
        ),
        ChainErrorKind::Mismatch => Some(
            "`vhdx tree DIR` shows which file belongs to which. If the parent is in another place, use \
             `--parent-dir DIR`, or `--parent FILE` once for each level, nearest first. If the parent was changed, \
             `vhdx reparent CHILD --parent FILE --dry-run` shows what is known about it",
        ),
        ChainErrorKind::OtherChildren if is_base_shared(error) => Some(
            "`--output NEW.vhdx` makes a new disk and changes no existing disk. Or move a child away, but only if it \
             is never needed again (an old copy is a child, too): it cannot be opened after this merge",
        ),
        ChainErrorKind::OtherChildren => Some(
            "`--output NEW.vhdx` makes a new disk and changes no existing disk. Or merge the shared parent into its \
             own parent, which keeps all its children. Or move a child away, but only if it is never needed again (an \
             old copy is a child, too): it cannot be opened after this merge",
        ),
        ChainErrorKind::NotAnAncestor => Some(
            "name the newer disk first: `vhdx merge CHILD --into ANCESTOR`. `vhdx chain CHILD` lists the ancestors",
        ),
        ChainErrorKind::Unrelated => Some(
            "name two files of one family: `vhdx chain FILE` lists a disk and its ancestors, `vhdx tree DIR` shows whole \
             families. A copy of a file does not count: name the file that the newer disk depends on",
        ),
        ChainErrorKind::Reversed => Some(
            "swap the two disks: the older one must be an ancestor of the newer one. To bring a raw copy back to an older \
             state, write that state as a whole: `vhdx convert OLDER COPY --in-place`",
        ),
        ChainErrorKind::Siblings => Some(
            "name an ancestor of the newer disk as the older one: `vhdx chain NEW` lists them. `vhdx diff` also compares \
             two disks with a common ancestor",
        ),
        ChainErrorKind::TooDeep => Some(
            "shorten the chain first: merge one of its older files into an ancestor of that file (`vhdx merge FILE --into \
             ANCESTOR`). `vhdx tree DIR` shows the chain",
        ),
        ChainErrorKind::SectorSize => Some(
            "find the file from which the child was created: it has the child's sector size. `vhdx info FILE` shows it",
        ),
        ChainErrorKind::TooManyParents => Some(
            "leave out the last `--parent`: give the option once for each level, nearest first; a base has no parent",
        ),
        ChainErrorKind::DataPastEnd => Some(
            "`vhdx chain CHILD` shows the sizes. To keep that data, copy the target first: \
             `vhdx convert TARGET COPY.vhdx`. `--output NEW.vhdx` merges into a new disk of the child's size and \
             changes no existing file. `--shrink-target` merges in place, and the data past the child's end is lost",
        ),
        ChainErrorKind::UndeterminedFiles => Some(
            "make these files readable, or move them out of these folders if they do not belong to these disks. \
             `--ignore-undetermined` merges anyway: a disk among these files that depends on a changed file is then \
             lost",
        ),
        _ => None,
    }
}

/// Whether the other disks depend on a base, which has no parent to be merged into.
fn is_base_shared(error: &ChainError) -> bool {
    let is_base = |path: &Path| Vhdx::open(path).is_ok_and(|vhdx| vhdx.parent_locator().is_none());
    error.dependents().iter().any(|(_, parent)| is_base(parent))
}

/// Returns the hint for a file that was merged into `target`, or into an earlier file at that path.
fn hint_for_merged(file: &Path, target: &Path, is_complete: bool) -> String {
    let folder = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let (tree, target) = (format!("`vhdx tree {}`", output::word(folder)), output::shown(target));
    match is_complete {
        true => format!(
            "that merge is complete. {tree} shows which files are left over, if any. Delete only these, in that order, if \
             {target} opens, is not an older copy from a backup, and no virtual machine uses the files. If {target} is an \
             older copy, this file may be the only copy of the merged data: then keep all of them. Do not delete {target}"
        ),
        false => format!(
            "complete that merge first: {tree} names the command, if the disk that was merged is in that folder. Until \
             then, do not delete any of these files"
        ),
    }
}

/// Returns the hint for a file that `reparent` refused as the parent.
///
/// `is_listed`: the error lists another file with a DataWriteGuid that the child expects.
pub(super) fn to_relink(error: &Error, is_listed: bool) -> Option<Cow<'static, str>> {
    let Error::Chain(error) = error.without_path() else { return None };
    let text = match error.kind() {
        ChainErrorKind::Mismatch if error.expected().is_empty() => {
            "nothing in this child tells which disk is its parent. A merge by an earlier version of vhdx leaves such a \
             file, and `--ignore-id-mismatch` would then bring old content back. Make a copy of the child before you \
             use that option"
        }
        ChainErrorKind::HalfMerged if !error.unfinished().is_empty() => {
            return Some(hint_to_complete(error.unfinished()).into());
        }
        ChainErrorKind::HalfMerged => {
            "find the merged files (`vhdx tree DIR` searches a folder and its subfolders), and run that merge again. Until \
             it is complete, do not use the target as a parent"
        }
        ChainErrorKind::Mismatch if is_listed => {
            "use the listed file that has the expected DataWriteGuid as `--parent`. `--ignore-id-mismatch` accepts this \
             file anyway: make a copy of the child first"
        }
        ChainErrorKind::Mismatch => {
            "search other folders (`--parent-dir DIR`) and backups for the file with the expected DataWriteGuid. \
             `--ignore-id-mismatch` accepts this file anyway: make a copy of the child first"
        }
        _ => return None,
    };
    Some(text.into())
}

/// Returns the hint for a new parent whose chain does not open, if a link in that chain is the reason. It is for commands
/// whose `--parent` does not name the levels of a chain.
pub(super) fn to_open_parent(error: &Error) -> Option<&'static str> {
    let is_wrong_link = error.chain_error().is_some_and(|error| match error.kind() {
        ChainErrorKind::MissingParent => !error.expected().is_empty(),
        ChainErrorKind::Mismatch | ChainErrorKind::AmbiguousParent => true,
        _ => false,
    });
    is_wrong_link.then_some(
        "the chain of the new parent does not open. `--parent-dir DIR` adds a folder to search. Or first point \
         each file of that chain at its own parent, starting at the base: `vhdx reparent CHILD --parent FILE`",
    )
}
