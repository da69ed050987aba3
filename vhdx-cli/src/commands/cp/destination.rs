//! Where the copies go.

use std::ffi::OsString;
use std::path::Path;

use super::host::Folder;
use crate::args::Cp;
use crate::exit::Failure;

/// Where the copies go.
pub(super) enum Destination {
    Stdout,
    /// Into an existing folder, under their own names.
    Into(Folder),
    /// To a new name in a folder.
    As(Folder, OsString),
}

impl Destination {
    pub(super) fn of(ask: &Cp) -> Result<Self, Failure> {
        let path = &ask.destination;
        if path == Path::new("-") {
            return match ask.sources.as_slice() {
                [_] if !ask.recursive => Ok(Destination::Stdout),
                _ => Err(Failure::usage("only one file can be written to stdout (`-`)")),
            };
        }
        let open = |path: &Path| {
            Folder::open(path).map_err(|error| Failure::io("cannot open the folder", &error).in_file(path))
        };
        if path.is_dir() {
            return open(path).map(Destination::Into);
        }
        if ask.sources.len() > 1 {
            let failure = Failure::usage("several files can only be copied into an existing folder");
            return Err(failure.in_file(path));
        }
        if path.to_string_lossy().ends_with(std::path::is_separator) {
            let failure = Failure::failed_io("there is no such folder").in_file(path);
            return Err(failure.with_hint("make the folder first, or leave out the separator at the end"));
        }
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok(Destination::As(open(parent)?, name.to_owned())),
            _ => Err(Failure::usage("the destination has no name").in_file(path)),
        }
    }

    /// Returns the folder in which files are made.
    pub(super) fn folder(&self) -> Option<&Folder> {
        match self {
            Destination::Stdout => None,
            Destination::Into(folder) | Destination::As(folder, _) => Some(folder),
        }
    }
}
