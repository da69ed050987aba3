//! Errors about the content of a disk.

use vhdx_contents::Error;

use crate::exit::Failure;

/// Returns the failure for an error about a file in a disk. `name` is the disk and the file.
pub(in crate::commands) fn failure(error: Error, name: &str) -> Failure {
    match error {
        Error::Disk(error) => error.into(),
        Error::Unsupported(why) => Failure::unsupported(format!("{name}: {why}")),
        Error::NotFound(what) => Failure::failed_io(format!("{name}: {what} is not found")),
        error => Failure::corrupt(format!("{name}: {error}")),
    }
}
