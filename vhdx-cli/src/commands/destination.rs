//! Where a new file may be made.

use std::io;
use std::path::Path;

use vhdx::{Error, FileIdentity, InvalidArgument, NewFile, Result, free_space};

use crate::args::Writing;
use crate::sizes::both;

/// Refuses a destination that is one of the sources, one that exists unless it may be replaced, and one without a
/// folder.
pub(super) fn judge(destination: &Path, writing: &Writing, sources: Vec<FileIdentity>) -> Result<()> {
    let judge = || {
        NewFile::refuse_source(destination, sources)?;
        match destination.symlink_metadata() {
            Ok(_) if !writing.force => Err(InvalidArgument::DestinationExists.into()),
            Ok(_) if !destination.is_file() => Err(InvalidArgument::NotARegularFile.into()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("look at it", error)),
            Ok(_) => Ok(()),
            Err(_) => judge_folder(folder(destination)),
        }
    };
    judge().map_err(|error: Error| error.in_file(destination))
}

fn judge_folder(folder: &Path) -> Result<()> {
    match folder.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(failed("find its folder", io::ErrorKind::NotADirectory.into())),
        Err(error) => Err(failed("find its folder", error)),
    }
}

/// Refuses to begin what cannot end: `bytes` is the most that will be copied.
pub(super) fn judge_space(destination: &Path, bytes: u64) -> Result<()> {
    // A host that does not say what is free will say when nothing is left.
    match free_space(folder(destination)) {
        Ok(Some(free)) if bytes > free => {
            let reason = format!("needs up to {} bytes, {} are free", both(bytes), both(free));
            let error = failed("make it", io::Error::new(io::ErrorKind::StorageFull, reason));
            Err(error.in_file(destination))
        }
        _ => Ok(()),
    }
}

fn failed(operation: &'static str, source: io::Error) -> Error {
    Error::Io { operation, offset: None, source }
}

fn folder(destination: &Path) -> &Path {
    match destination.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}
