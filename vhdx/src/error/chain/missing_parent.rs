//! Displays the details of a missing parent.

use std::fmt;
use std::path::PathBuf;

use uuid::Uuid;

use super::text::{Either, Joined, Shown};
use crate::error::Error;
use crate::quoted::Quoted;
use crate::windows_path::StoredPath;

pub(super) struct Wanted<'a> {
    pub(super) expected: &'a [Uuid],
    pub(super) names: &'a [StoredPath],
    pub(super) looked_for: &'a [PathBuf],
    pub(super) folders: &'a [PathBuf],
    pub(super) searched: &'a [PathBuf],
}

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.expected.is_empty() {
            return f.write_str("its parent linkage is zero, which matches no file");
        }
        write!(f, "the parent's DataWriteGuid must be {}; ", Either(self.expected))?;
        // Without folders the stored paths were not tried, because the caller named the files.
        if self.folders.is_empty() && !self.looked_for.is_empty() {
            let tried: Vec<_> = self.looked_for.iter().map(Quoted).collect();
            return write!(f, "tried {}", Joined(&tried, ", "));
        }
        match self.names {
            [] => f.write_str("the child stores no path to it")?,
            names => write!(f, "looked for {}", Joined(names, ", "))?,
        }
        if !self.names.is_empty() && !self.folders.is_empty() {
            let folders: Vec<_> = self.folders.iter().map(Quoted).collect();
            write!(f, " in {}", Joined(&folders, ", "))?;
        }
        if self.searched.is_empty() {
            return Ok(());
        }
        if !self.names.is_empty() && self.searched == self.folders {
            return f.write_str(", and for the DataWriteGuid in every file there");
        }
        let searched: Vec<_> = self.searched.iter().map(Quoted).collect();
        write!(f, "; looked for the DataWriteGuid in every file in {}", Joined(&searched, ", "))
    }
}

pub(super) struct InChain<'a>(pub(super) &'a [PathBuf]);

impl fmt::Display for InChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|path| {
            write!(f, "; {} is already in this chain and has another DataWriteGuid", Quoted(path))
        })
    }
}

pub(super) struct Unusable<'a>(pub(super) &'a [(PathBuf, Error)]);

impl fmt::Display for Unusable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(path, error)| {
            write!(f, "; {} exists, but cannot be used: {}", Quoted(path), error.without_path())
        })
    }
}

pub(super) struct Unreadable<'a>(pub(super) &'a [PathBuf]);

impl fmt::Display for Unreadable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            paths => write!(
                f,
                "; these files or folders could not be read, and the parent may be among them: {}",
                Shown(paths)
            ),
        }
    }
}
