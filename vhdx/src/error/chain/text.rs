//! Displays lists of files, GUIDs and merges in the messages of chain errors.

use std::fmt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::error::UnfinishedMerge;
use crate::quoted::Quoted;

/// Displays things with a separator between them.
pub(super) struct Joined<'a, T>(pub(super) &'a [T], pub(super) &'static str);

impl<T: fmt::Display> fmt::Display for Joined<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, thing) in self.0.iter().enumerate() {
            write!(f, "{}{thing}", if i == 0 { "" } else { self.1 })?;
        }
        Ok(())
    }
}

pub(super) struct Either<'a>(pub(super) &'a [Uuid]);

impl fmt::Display for Either<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Joined(self.0, " or ").fmt(f)
    }
}

/// Displays the DataWriteGuid that a file must have.
pub(super) struct Must<'a>(pub(super) &'a [Uuid]);

impl fmt::Display for Must<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("the parent linkage of the child is zero, which matches no file"),
            guids => write!(f, "must be {}", Either(guids)),
        }
    }
}

/// The maximum number of paths in a message.
const SHOWN: usize = 8;

/// Displays the first paths and the number of the others.
pub(super) struct Shown<'a>(pub(super) &'a [PathBuf]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first: Vec<_> = self.0.iter().take(SHOWN).map(Quoted).collect();
        Joined(&first, ", ").fmt(f)?;
        match self.0.iter().skip(SHOWN).count() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Displays a file and its DataWriteGuid.
pub(super) struct WithGuid<'a>(pub(super) &'a (PathBuf, Uuid));

impl fmt::Display for WithGuid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, guid) = self.0;
        write!(f, "{} (DataWriteGuid {guid})", Quoted(path))
    }
}

/// Displays two files with the same DataWriteGuid.
pub(super) struct Copies<'a>(pub(super) &'a Option<(PathBuf, PathBuf)>);

impl fmt::Display for Copies<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some((a, b)) => write!(
                f,
                ". {} and {} have the same DataWriteGuid, but they are two files",
                Quoted(a),
                Quoted(b)
            ),
        }
    }
}

pub(super) struct Dependents<'a>(pub(super) &'a [(PathBuf, PathBuf)]);

impl fmt::Display for Dependents<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let child = |(child, parent): &(PathBuf, PathBuf)| {
            format!("{} is a child of {}", Quoted(child), Quoted(parent))
        };
        let children: Vec<String> = self.0.iter().map(child).collect();
        Joined(&children, ", ").fmt(f)
    }
}

pub(super) struct LayerOfMerge<'a> {
    pub(super) parent: &'a Path,
    pub(super) is_complete: bool,
}

impl fmt::Display for LayerOfMerge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parent = Quoted(self.parent);
        match self.is_complete {
            true => write!(
                f,
                "this file is left over from a completed merge into {parent}, or into an earlier file in its place. \
                 After the merge it is no longer part of a chain, and cannot be opened on its own"
            ),
            false => write!(
                f,
                "this file belongs to a merge into {parent} that may be incomplete. It cannot be opened on its own: only the checkpoint that was \
                 merged, and disks that depend on it, are read through it"
            ),
        }
    }
}

pub(super) struct Unfinished<'a>(pub(super) &'a [UnfinishedMerge]);

impl fmt::Display for Unfinished<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|UnfinishedMerge { layer, merged, target }| {
            if target.as_ref() == Some(layer) {
                // The disk itself is the target; the merged files were not searched for, or not found.
                return f.write_str("; run that merge again before you use, move or delete this disk");
            }
            write!(
                f,
                "; {} belongs to a merge that may be incomplete: do not move or delete it until the merge is complete; ",
                Quoted(layer)
            )?;
            match merged {
                Some(merged) => write!(f, "merge {} again", Quoted(merged)),
                None => f.write_str("the merged disk is in none of the folders that were searched"),
            }
        })
    }
}

pub(super) struct AlsoDamaged<'a>(pub(super) &'a [PathBuf]);

impl fmt::Display for AlsoDamaged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let damaged: Vec<_> = self.0.iter().map(Quoted).collect();
        write!(
            f,
            "; these other files may be its parent, but could not be checked: {}",
            Joined(&damaged, ", ")
        )
    }
}
