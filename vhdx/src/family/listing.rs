//! The problems of folders that cannot be listed.

use std::path::Path;

use super::problem::Problem;
use crate::error::Error;

/// Returns the problem of a folder that cannot be listed. An error without a path concerns the folder in which the search
/// began.
pub(super) fn unreadable(error: walkdir::Error, root: &Path) -> Problem {
    let path = error.path().unwrap_or(root).to_owned();
    let source = error.into_io_error().unwrap_or_else(|| std::io::Error::other("a loop of links"));
    let error = Error::io("list this folder", None, source).in_file(&path);
    Problem::Unreadable { path, error: error.into() }
}
