//! Where a new file may be made.

use std::io;
use std::path::Path;

use vhdx::{Error, FileIdentity, NewFile, Result, free_space};

use crate::args::Writing;
use crate::sizes::both;

/// Refuses a destination that is one of the sources, and one that no new file can be made at.
pub(super) fn judge(destination: &Path, writing: &Writing, sources: Vec<FileIdentity>) -> Result<()> {
    NewFile::refuse_source(destination, sources).map_err(|error| error.in_file(destination))?;
    NewFile::judge(destination, writing.force)
}

/// Refuses to begin what cannot end: `bytes` is the most that will be copied.
pub(super) fn judge_space(destination: &Path, bytes: u64) -> Result<()> {
    // A host that does not say what is free will say when nothing is left.
    match free_space(folder(destination)) {
        Ok(Some(free)) if bytes > free => {
            let reason = format!("needs up to {} bytes, {} are free", both(bytes), both(free));
            let source = io::Error::new(io::ErrorKind::StorageFull, reason);
            let error = Error::Io { operation: "make it", offset: None, source };
            Err(error.in_file(destination))
        }
        _ => Ok(()),
    }
}

fn folder(destination: &Path) -> &Path {
    match destination.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}
