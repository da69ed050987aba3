//! Checks the folders on the command line. A missing folder is an error, because it is probably a typing mistake.

use std::fs::Metadata;
use std::io;
use std::path::Path;

use vhdx::{Error, Result};

/// Returns [`Error::Io`] if the path does not exist or is not a folder.
pub(super) fn ensure_is_folder(folder: &Path) -> Result<()> {
    if look(folder)?.is_dir() {
        return Ok(());
    }
    Err(error(folder, io::ErrorKind::NotADirectory.into()))
}

/// Returns the metadata of a path to search.
pub(super) fn look(place: &Path) -> Result<Metadata> {
    place.metadata().map_err(|source| error(place, source))
}

fn error(place: &Path, source: io::Error) -> Error {
    Error::io("search", None, source).in_file(place)
}
