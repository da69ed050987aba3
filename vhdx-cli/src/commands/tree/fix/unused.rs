//! Says what to do about a disk that no configuration names.

use std::path::Path;

use vhdx::UnusedDisk;

use crate::output::quoted;

/// Returns how to find the machine of a disk, and what must be known before the disk is moved away.
pub(super) fn find_machine(disk: &UnusedDisk) -> String {
    const SEARCH: &str = "search also the folder with the configuration of its machine";
    let choose = disk.nearest_used.as_ref().map(|used| {
        format!(
            "if this disk was made to go back to a checkpoint, choose it in the settings of {used}, which now uses {}. \
             Otherwise ",
            quoted(&used.path)
        )
    });
    match (choose, &disk.may_be_needed_by) {
        (Some(choose), None) => format!("{choose}{}", move_unused(disk)),
        (Some(choose), Some(needed_by)) => format!("{choose}{}", solve_first(disk, needed_by)),
        (None, Some(needed_by)) => {
            format!("{}. If that does not help, {SEARCH}", solve_first(disk, needed_by))
        }
        (None, None) => format!("{SEARCH}. Do not delete the disk until you know that no machine uses it"),
    }
}

/// Returns what must be solved before an unused disk may be moved away.
fn solve_first(disk: &UnusedDisk, needed_by: &Path) -> String {
    let keep =
        "Do not delete this disk until you know that no machine uses it and that no other disk depends on it";
    let path = quoted(needed_by);
    match needed_by == disk.path {
        true => format!("solve the other problems of this disk first, and search again. {keep}"),
        false if disk.is_example => format!(
            "solve the problems of files that cannot be read and of disks that were not found first, such as that of {path}, \
             and search again. {keep}"
        ),
        false => format!(
            "solve the problem of {path} first, and search again: this disk may be needed because of it. {keep}"
        ),
    }
}

/// Returns the conditions under which an unused disk may be moved away. Deleting it could not be undone.
fn move_unused(disk: &UnusedDisk) -> String {
    let away = "move only this file to a folder that is not searched, if no machine elsewhere uses it, no disk elsewhere \
                depends on it, and its content is not needed. Delete it only when all machines have started without it";
    match disk.has_siblings {
        true => format!(
            "{away}. Keep its parent: `vhdx prune` can delete that checkpoint when only one child is left, and then the \
             moved file cannot be read any more"
        ),
        false => away.to_owned(),
    }
}
