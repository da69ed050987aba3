//! Says what to do about records of prunes and reverts that are not beside their disks.

use std::path::Path;

use crate::output::quoted;

/// Returns what to do about a record whose disk was renamed or moved.
pub(super) fn rename(record: &Path, disk: &Path) -> String {
    let disk_now = quoted(disk);
    match record.parent() == disk.parent() {
        true => format!(
            "give {disk_now} its old name again, or rename this file to {}. Do this before a virtual machine uses the disk: \
             after that, vhdx can no longer tell that this record belongs to the disk. Do not delete the record",
            quoted(&beside(disk))
        ),
        // The names in the record are relative to its folder.
        false => format!(
            "move {disk_now} back to the folder of this record before a virtual machine uses the disk. Until then, \
             search both folders. After a virtual machine has used the disk elsewhere, vhdx can no longer tell that \
             this record belongs to it. Do not move only the record, and do not delete it"
        ),
    }
}

/// Returns what to do about a record whose disk was not found, if another disk may be it.
pub(super) fn find_disk(candidate: &Path) -> String {
    let disk = quoted(candidate);
    format!(
        "do not delete {disk}: it may be the only disk with the newest state. If the disk of this record was renamed, \
         give this record the new name of the disk, followed by `.vhdx-pruned` (for {disk}: {}). If the disk of this \
         record was deleted or merged, move this record to a folder that is not searched. Then search again",
        quoted(&beside(candidate))
    )
}

fn beside(disk: &Path) -> std::path::PathBuf {
    let mut name = disk.as_os_str().to_owned();
    name.push(".vhdx-pruned");
    name.into()
}
