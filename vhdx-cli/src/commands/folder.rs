//! Folders that the command line names. One that is not there is a slip of the pen, not an empty one.

use std::fs::Metadata;
use std::io;
use std::path::Path;

use vhdx::{Error, Result};

/// Refuses what does not exist or is no folder.
pub(super) fn ensure_is_folder(folder: &Path) -> Result<()> {
    if look(folder)?.is_dir() {
        return Ok(());
    }
    Err(error(folder, io::ErrorKind::NotADirectory.into()))
}

/// What is at a place to search.
pub(super) fn look(place: &Path) -> Result<Metadata> {
    place.metadata().map_err(|source| error(place, source))
}

fn error(place: &Path, source: io::Error) -> Error {
    Error::Io { operation: "search", offset: None, source }.in_file(place)
}
