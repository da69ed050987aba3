//! Where a new file may be made.

use std::io;
use std::path::Path;

use vhdx::{Error, FileIdentity, FileOffset, InvalidArgument, NewFile, Result};

use crate::args::Writing;

/// Refuses a destination that is one of the sources, and one that exists unless it may be replaced.
pub(super) fn judge(destination: &Path, writing: &Writing, sources: Vec<FileIdentity>) -> Result<()> {
    NewFile::refuse_source(destination, sources)?;
    let refuse = |reason: InvalidArgument| Err(Error::from(reason).in_file(destination));
    match destination.symlink_metadata() {
        Ok(_) if !writing.force => refuse(InvalidArgument::DestinationExists),
        Ok(_) if !destination.is_file() => refuse(InvalidArgument::NotARegularFile),
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            let error = Error::Io { operation: "look at", offset: FileOffset::new(0), source };
            Err(error.in_file(destination))
        }
        _ => Ok(()),
    }
}
