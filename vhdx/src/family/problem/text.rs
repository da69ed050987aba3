//! Parts of the messages about problems.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::quoted::Quoted;
use crate::windows_path::StoredPath;

/// What can be done about a merge that may be incomplete.
pub(super) fn complete(merged: &Path, target: &Path) -> String {
    format!(
        "merge {} into {} again, which completes the merge; do not use, move or delete these files before",
        Quoted(merged),
        Quoted(target)
    )
}

pub(super) fn io_kind(error: &Error) -> Option<io::ErrorKind> {
    match error {
        Error::InFile { error, .. } => io_kind(error),
        Error::Io { source, .. } => Some(source.kind()),
        _ => None,
    }
}

/// The first of so many paths.
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

pub(super) struct Stored<'a>(pub(super) &'a [StoredPath]);

impl fmt::Display for Stored<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no stored path");
        }
        for (i, path) in self.0.iter().enumerate() {
            write!(f, "{}{path}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
