//! Says what to do about files that were restored from a backup made before a prune.

use std::path::PathBuf;

use vhdx::{PrunedParent, TargetContent};

use crate::output::quoted;

/// Returns what to do about a disk whose parent a prune has deleted or changed.
pub(super) fn restore_chain(parent: &PrunedParent) -> String {
    let (lost, target) = (quoted(&parent.path), quoted(&parent.target));
    if !parent.is_certain {
        return format!(
            "find an unchanged copy of the missing parent: search more folders and your backups. If the prune deleted it, only \
             backups made before that prune have it. Until then, do not delete any file of this chain, and do not link this \
             file to {target}"
        );
    }
    if parent.content == TargetContent::Restored {
        return match parent.path == parent.target {
            true => format!(
                "solve the problem of {target} first, and search again. Until then, do not delete any file of this chain"
            ),
            false => format!(
                "restore {lost} from the backup of {target} to the same place, and search again. Until then, do not delete any \
                 file of this chain"
            ),
        };
    }
    let including = match parent.path == parent.target {
        true => String::new(),
        false => format!(", including {lost},"),
    };
    let needed = match parent.has_children {
        true => "Other disks here depend on this file, so do not delete it",
        false => {
            "The disks that the prune kept do not need a restored file. If this file was not restored, keep it: it may be \
             the only copy"
        }
    };
    let restore = format!(
        "To read the old state of this file, restore the other files of its chain{including} to another folder, and \
         copy this file there. Use one backup made before that prune: the backup of this file, if this file was \
         restored"
    );
    let link = "Copy both files while no virtual machine uses them, and link only the copies (`vhdx reparent CHILD-COPY \
                --parent TARGET-COPY --ignore-id-mismatch`)";
    let sentence = match (parent.content, parent.has_children) {
        (TargetContent::Parent, true) => format!(
            "{needed}. {target} has exactly the content that {lost} had. {link}. If the copies read right, and no \
             machine uses {target}, do the same with the originals"
        ),
        (TargetContent::Parent, false) => format!(
            "do not link the original files. {restore}. {needed}. If there is no such backup: {target} has exactly the \
             content that {lost} had. {link}"
        ),
        _ => format!("do not link this file to {target}: the data would be wrong. {restore}. {needed}"),
    };
    match &parent.successor {
        Some(disk) => {
            format!(
                "{sentence}. If a machine uses this file, choose {} in its settings instead",
                quoted(disk)
            )
        }
        None => sentence,
    }
}

/// Returns what to do about a merge target that has its content from before a prune.
pub(super) fn restore_merged_files(merged: &[PathBuf]) -> String {
    let names: Vec<String> = merged.iter().map(|path| quoted(path)).collect();
    format!(
        "keep all files as they are, and do not start a virtual machine from this chain. If you have a backup of this file \
         from after the prune, restore it to another folder, check it, and put it in the place of this copy. Otherwise \
         restore {} from the backup of this copy to the same place, and search again. If you want this old state, move \
         the record of the prune (the name of this file with `.vhdx-pruned`) to another folder",
        names.join(", ")
    )
}
