//! Formats parts of the messages about problems.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::quoted::Quoted;
use crate::windows_path::StoredPath;

/// Returns the fix for a merge that is or may be incomplete.
pub(super) fn complete(merged: &Path, target: &Path) -> String {
    format!(
        "merge {} into {} again, which completes the merge. Until then, do not start a virtual machine from any file \
         of this merge, and do not move or delete these files",
        Quoted(merged),
        Quoted(target)
    )
}

/// Returns the kind of an input or output error; `None` for other errors.
pub(super) fn io_kind(error: &Error) -> Option<io::ErrorKind> {
    match error {
        Error::InFile { error, .. } => io_kind(error),
        Error::Io { source, .. } => Some(source.kind()),
        _ => None,
    }
}

/// Displays the first paths, and how many more there are of a total number.
pub(super) struct List<'a>(pub(super) &'a [PathBuf], pub(super) usize);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, path) in self.0.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, Quoted(path))?;
        }
        match self.1.saturating_sub(self.0.len()) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Displays stored paths.
pub(super) struct Stored<'a>(pub(super) &'a [StoredPath]);

impl fmt::Display for Stored<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (i, path) in self.0.iter().enumerate() {
            write!(f, "{}{path}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
