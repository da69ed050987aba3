//! Formats parts of the messages about problems.

use std::fmt;
use std::path::PathBuf;

use crate::quoted::Quoted;
use crate::windows_path::StoredPath;

/// Displays the first paths, and how many more there are of a total number.
pub(in crate::family) struct List<'a>(pub(in crate::family) &'a [PathBuf], pub(in crate::family) usize);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, path) in self.0.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, Quoted(path))?;
        }
        match self.1.checked_sub(self.0.len()) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, " and {more} more"),
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
