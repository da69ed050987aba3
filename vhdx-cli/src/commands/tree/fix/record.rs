//! Says what to do about records of prunes and reverts that are not beside their disks.

use std::path::Path;

use crate::output::quoted;

/// Returns what to do about a record whose disk was renamed or moved.
pub(super) fn rename(record: &Path, disk: &Path) -> String {
    let disk_now = quoted(disk);
    match record.parent() == disk.parent() {
        true => format!(
            "give {disk_now} its old name again, or rename this file to {}. Do this before a virtual machine uses the disk: \
             after that, they are no longer found to belong together. Do not delete the record",
            quoted(&beside(disk))
        ),
        // The names in the record are relative to its folder.
        false => format!(
            "move {disk_now} back to the folder of this record, or search both folders each time. Do this before a virtual \
             machine uses the disk: after that, they are no longer found to belong together. Do not move only the record, \
             and do not delete it"
        ),
    }
}

/// Returns what to do about a record whose disk was not found, if another disk may be it.
pub(super) fn find_disk(candidate: &Path) -> String {
    let disk = quoted(candidate);
    format!(
        "do not delete {disk}: it may be the only disk with the newest state. If somebody renamed the disk of this record, \
         rename the record to the name of the disk with `.vhdx-pruned` (for {disk}: {}). If that disk was deleted or merged \
         since, move the record to another folder. Then search again",
        quoted(&beside(candidate))
    )
}

fn beside(disk: &Path) -> std::path::PathBuf {
    let mut name = disk.as_os_str().to_owned();
    name.push(".vhdx-pruned");
    name.into()
}
