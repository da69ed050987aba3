//! Hints: how to go on after an error of the library.

use std::borrow::Cow;
use std::io;

use vhdx::{ChainError, Error, InvalidArgument, Rule, UnfinishedMerge};

use super::innermost;
use crate::output;

/// Returns the hint for an error of the library.
pub(super) fn of(error: &Error) -> Option<Cow<'static, str>> {
    let text = match innermost(error) {
        Error::Chain(error) => match &**error {
            ChainError::OtherChildren { unfinished, .. } | ChainError::HalfMerged { unfinished, .. }
                if !unfinished.is_empty() =>
            {
                return Some(hint_to_complete(unfinished).into());
            }
            error => chain_hint(error),
        },
        Error::Io { source, .. } if source.kind() == io::ErrorKind::ResourceBusy => {
            Some("turn off the virtual machine, or end the program that uses the file, and try again")
        }
        Error::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
            Some("free space on the file system of that file, and run the command again")
        }
        Error::Changed(_) => {
            Some("discard the output, end the program that writes to the file, and run the command again")
        }
        Error::NoSpace { .. } => Some(
            "free space on the file system of that file. `--no-space-check` starts anyway, which is right where the content is \
             sparse and takes less: if the space runs out, a new file is removed",
        ),
        Error::InvalidArgument(InvalidArgument::DestinationExists) => Some("`--force` replaces it"),
        error if error.violation().is_some_and(|violation| violation.rule == Rule::FileSignature) => Some(
            "the start of the file is damaged, or it is no VHDX: `vhdx convert --from raw` reads a raw disk that has bytes of a \
             VHDX by chance",
        ),
        _ => None,
    };
    text.map(Cow::from)
}

/// Returns the hint for an incomplete merge. Its files must not be moved: other disks depend on them.
fn hint_to_complete(unfinished: &[UnfinishedMerge]) -> String {
    let mut commands: Vec<String> = unfinished.iter().filter_map(command_to_complete).collect();
    commands.dedup();
    let how = match commands.is_empty() {
        true => {
            "find the disk that was merged (`--parent-dir DIR` adds a folder), and merge it again".to_owned()
        }
        false => format!("run it again, with the options that it had: {}", commands.join(", ")),
    };
    format!(
        "an earlier merge comes first: {how}. Do not move or delete any file of that merge before it is complete; \
         `--delete-merged` deletes the merged files afterwards"
    )
}

fn command_to_complete(unfinished: &UnfinishedMerge) -> Option<String> {
    let command = output::merge_command(unfinished.merged.as_deref()?, unfinished.target.as_deref());
    Some(format!("`{command}`"))
}

fn chain_hint(error: &ChainError) -> Option<&'static str> {
    match error {
        ChainError::MissingParent { expected, .. } if expected.is_empty() => Some(
            "a merge in place leaves this of what it has merged. If the disk that was merged is still there, `vhdx merge` \
             of it with `--delete-merged` cleans up; if it is gone, and your disks open, what is left can be deleted by hand",
        ),
        ChainError::MissingParent { .. } => Some(
            "`vhdx tree DIR` finds a parent that was moved or renamed, in subfolders too. `--parent-dir DIR` searches one more folder \
             by GUID, and `--parent FILE`, once for each level, nearest first, names the parents. `vhdx reparent CHILD --parent FILE` \
             stores the path in the child",
        ),
        ChainError::AmbiguousParent { .. } => Some(
            "compare these files, and name the right one: `--parent FILE`, once for each level, nearest first. Keep copies of \
             disks out of the folders in which parents are searched for",
        ),
        ChainError::Cycle { .. } => Some(
            "the GUIDs in these files name each other as parents, so none of them is a base: restore them from a backup",
        ),
        ChainError::Mismatch { .. } => Some(
            "`--parent-dir DIR` and `--parent FILE` look elsewhere, `vhdx tree DIR` finds which file belongs to which; \
             `vhdx reparent CHILD --parent FILE --dry-run` tells all that is known about a parent that was changed",
        ),
        ChainError::OtherChildren { .. } => Some(
            "move what is no longer needed (an old copy is a child too) out of these folders; a parent that several disks \
             share can be merged into its own parent, which relinks them all; `--output NEW.vhdx` makes a new disk and \
             changes none",
        ),
        ChainError::NotAnAncestor { .. } => Some(
            "`vhdx merge CHILD --into ANCESTOR`: the newer disk comes first; `vhdx chain CHILD` lists its parents",
        ),
        ChainError::Superseded { is_complete: true, .. } => Some(
            "`vhdx tree DIR` lists the files that are left over, in the order in which to delete them. Do not delete the merge \
             target. First make sure that the target opens, and that no virtual machine uses the files that are left over",
        ),
        ChainError::Superseded { .. } => Some(
            "run that merge again; once it is complete and no virtual machine uses the merged files, delete them",
        ),
        ChainError::DataPastEnd { .. } => Some(
            "`vhdx chain CHILD` shows the sizes. To keep that data, copy the target first: `vhdx convert TARGET COPY.vhdx`. \
             `--output NEW.vhdx` merges into a new disk of the child's size and changes no existing file. `--shrink-target` merges \
             in place, and the data past the child's end is lost",
        ),
        ChainError::UndeterminedFiles { .. } => Some(
            "make them readable, or move them out of these folders if they are no disks of this family; \
             `--ignore-undetermined` goes on all the same, and what depends on the target is lost then",
        ),
        _ => None,
    }
}

/// Returns the hint for a file that `reparent` refuses as the parent.
pub(super) fn to_relink(error: &Error) -> Option<&'static str> {
    match innermost(error) {
        Error::Chain(error) => match &**error {
            ChainError::Mismatch { expected, .. } if expected.is_empty() => Some(
                "a merge in place leaves this of what it has merged: if your disks open, delete it by hand. \
                 `--ignore-id-mismatch` would bring old content back",
            ),
            ChainError::HalfMerged { .. } => Some(
                "`vhdx info` of that file names the command that completes the merge, if the merged files lie beside it",
            ),
            ChainError::Mismatch { .. } => Some(
                "if a file above has the DataWriteGuid that the child expects, that is the one to give to `--parent`; \
                 `--ignore-id-mismatch` takes this one all the same: make a copy of the child first",
            ),
            _ => None,
        },
        _ => None,
    }
}
