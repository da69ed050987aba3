//! Walks through folders, each of them once.

use std::collections::HashSet;
use std::ops::ControlFlow;

use vhdx_contents::files::{Entry, FileSystem, Node};
use vhdx_contents::{Error, Result};

/// The deepest folder that is read. Windows allows paths of 32,767 letters, which nobody nests deeper.
const MAX_DEPTH: usize = 512;

/// The most entries of a folder. Its entries are in memory, and a damaged file system can claim any number.
const MAX_ENTRIES: usize = 10_000_000;

/// Lists folders, and remembers which ones: on a damaged file system, a folder can be inside itself, or in several
/// others.
#[derive(Default)]
pub(in crate::commands) struct Tree {
    /// The identities of the folders that were listed.
    listed: HashSet<u64>,
}

impl Tree {
    /// Returns the entries of a folder, sorted by name, and the error that ended the list early.
    pub(in crate::commands) fn entries(
        &mut self,
        fs: &dyn FileSystem,
        folder: Node,
        depth: usize,
    ) -> (Vec<Entry>, Result<()>) {
        let damaged = |why: &str| Error::Damaged { what: "the folder".to_owned(), why: why.to_owned() };
        if depth > MAX_DEPTH {
            return (Vec::new(), Err(damaged("its path has more than 512 folders")));
        }
        let identity = match fs.folder_identity(folder) {
            Ok(identity) => identity,
            Err(error) => return (Vec::new(), Err(error)),
        };
        if !self.listed.insert(identity) {
            return (Vec::new(), Err(damaged("it is in several folders, or inside itself")));
        }
        let mut found = Vec::new();
        let listed = fs.list(folder, &mut |entry| {
            if found.len() == MAX_ENTRIES {
                return Err(damaged("it has more than 10 million entries"));
            }
            found.push(entry);
            Ok(ControlFlow::Continue(()))
        });
        found.sort_by(|a, b| a.name.cmp(&b.name));
        (found, listed)
    }
}
