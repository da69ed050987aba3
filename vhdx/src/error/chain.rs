//! How the files of a chain can fail to fit together.

mod missing_parent;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use self::missing_parent::{InChain, Unreadable, Unusable, Wanted};
use super::Error;
use crate::quoted::Quoted;
use crate::windows_path::StoredPath;

/// Why files do not form a chain. Paths of files that were not opened by a path are the names that their
/// [`ParentResolver`](crate::ParentResolver) gave them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// Nothing that can be used was found under the names that the child stores.
    #[error(
        "{}: its parent is missing. {}{}{}{}",
        Quoted(child),
        Wanted { expected, names, looked_for, folders, searched },
        InChain(in_chain),
        Unusable(unusable),
        Unreadable(unreadable)
    )]
    MissingParent {
        /// The file whose parent is missing.
        child: PathBuf,
        /// The DataWriteGuids of which the parent must have one. Empty if the child's linkage is zero.
        expected: Vec<Uuid>,
        /// Where the child says that its parent is.
        names: Vec<StoredPath>,
        /// Every path that was tried.
        looked_for: Vec<PathBuf>,
        /// The folders below which the stored paths were tried.
        folders: Vec<PathBuf>,
        /// The folders in which every file was searched for one of the GUIDs. Empty if the caller named the parent.
        searched: Vec<PathBuf>,
        /// Files that were found there, but are part of the chain already and have another DataWriteGuid.
        in_chain: Vec<PathBuf>,
        /// What was found there, but is no regular file or cannot be read, and why.
        unusable: Vec<(PathBuf, Error)>,
        /// Files and folders that could not be read in the search for the GUIDs.
        unreadable: Vec<PathBuf>,
    },
    /// No stored path leads to the parent, and several files have its DataWriteGuid.
    #[error(
        "{}: several files have the DataWriteGuid {guid} of its parent, no stored path leads to one of them, and they are not \
         proven to be copies of each other: {}",
        Quoted(child),
        Shown(parents)
    )]
    AmbiguousParent {
        /// The child.
        child: PathBuf,
        /// The DataWriteGuid.
        guid: Uuid,
        /// The files.
        parents: Vec<PathBuf>,
    },
    /// A file stands in the parent's place, but is not the one that the child was made from, or was changed since.
    #[error(
        "{}: {} is not its parent, or was changed after the child was made: its DataWriteGuid is {found}, but {}{}",
        Quoted(child),
        Quoted(parent),
        Must(expected),
        AlsoDamaged(damaged)
    )]
    Mismatch {
        /// The child.
        child: PathBuf,
        /// The file in its parent's place.
        parent: PathBuf,
        /// The DataWriteGuids of which the parent must have one.
        expected: Vec<Uuid>,
        /// The DataWriteGuid that the file has.
        found: Uuid,
        /// Other files in the parent's place that could not be judged, because they are damaged or cannot be read.
        damaged: Vec<PathBuf>,
    },
    /// A file is an ancestor of itself.
    #[error("{}: its parent would be {}, which is already in this chain", Quoted(child), Quoted(parent))]
    Cycle {
        /// The file where the walk came back.
        child: PathBuf,
        /// Where it came back to.
        parent: PathBuf,
    },
    /// There are more files than any implementation accepts.
    #[error("{}: the chain goes on after {limit} files", Quoted(path))]
    TooDeep {
        /// The last file that was looked at.
        path: PathBuf,
        /// How many files a chain may have.
        limit: usize,
    },
    /// Child and parent count in different sectors ([MS-VHDX] 2.6.2.4).
    #[error(
        "{}: its logical sectors have {child_size} bytes, those of its parent {} have {parent_size}",
        Quoted(child),
        Quoted(parent)
    )]
    SectorSize {
        /// The child.
        child: PathBuf,
        /// The parent.
        parent: PathBuf,
        /// The child's logical sector size in bytes.
        child_size: u32,
        /// The parent's logical sector size in bytes.
        parent_size: u32,
    },
    /// A parent was named for a file that has none.
    #[error("{}: it has no parent, but {} was named as one", Quoted(path), Quoted(extra))]
    TooManyParents {
        /// The base of the chain.
        path: PathBuf,
        /// The first parent that is not needed.
        extra: PathBuf,
    },
    /// A file is to be merged into one that is not among its parents.
    #[error("{}: {} is not among its parents", Quoted(child), Quoted(target))]
    NotAnAncestor {
        /// The file.
        child: PathBuf,
        /// The one into which it was to be merged.
        target: PathBuf,
    },
    /// A merge would change the content of other disks, which have one of its files for their parent.
    #[error(
        "{} cannot be merged into {}, because other disks need what a merge changes: {}{}",
        Quoted(child),
        Quoted(target),
        InTheWay(in_the_way),
        Unfinished(unfinished)
    )]
    OtherChildren {
        /// The file that was to be merged.
        child: PathBuf,
        /// The one into which it was to be merged.
        target: PathBuf,
        /// The other disks, each with the file of the merge that is its parent.
        in_the_way: Vec<(PathBuf, PathBuf)>,
        /// Those of them that another merge has left, which may not be complete.
        unfinished: Vec<UnfinishedMerge>,
    },
    /// A merge into the parent has left this layer. The parent holds newer data, so the layer is not read by itself; one of
    /// several levels is read only below the merged disk.
    #[error("{}: {}", Quoted(child), LayerOfMerge { parent, is_complete: *is_complete })]
    Superseded {
        /// The lowest layer that was merged.
        child: PathBuf,
        /// The file into which it was merged, or the one in its place.
        parent: PathBuf,
        /// Whether the merge is known to be complete.
        is_complete: bool,
    },
    /// A merge into a disk is incomplete, or may be: the disk's content may be a mix of old and new data.
    #[error(
        "{}: {}, so its content may be a mix of old and new data{}",
        Quoted(disk),
        if *is_certain { "a merge into it is incomplete" } else { "a merge into it was begun and may be incomplete" },
        Unfinished(unfinished)
    )]
    HalfMerged {
        /// The disk.
        disk: PathBuf,
        /// What the merges have left, each a child of the disk, as far as it was found.
        unfinished: Vec<UnfinishedMerge>,
        /// Whether the disk itself says so. Merges of earlier versions are known only by what they have left, which looks
        /// the same once they are complete.
        is_certain: bool,
    },
    /// A merge would lose data that lies past the end of the merged disk, which is smaller than the target's disk or than
    /// a layer between them.
    #[error(
        "merge refused: {bytes} bytes of data of {target} or of a file between would be lost, because they lie past the end of \
         the virtual disk of {child}; the disk of {target} has {size_before} bytes and would have {size}",
        child = Quoted(child),
        target = Quoted(target)
    )]
    DataPastEnd {
        /// The file that was to be merged.
        child: PathBuf,
        /// The one into which it was to be merged.
        target: PathBuf,
        /// How many bytes of data lie past the end of the child.
        bytes: u64,
        /// The size of the target's disk in bytes.
        size_before: u64,
        /// The size of the child's disk in bytes, which the target would get.
        size: u64,
    },
    /// A merge may change or delete what other disks need: something that cannot be judged may be such a disk.
    #[error(
        "{} is not merged, because what cannot be judged may be a disk that needs what the merge changes: {}",
        Quoted(child),
        Joined(undetermined, ", ")
    )]
    UndeterminedFiles {
        /// The file that was to be merged.
        child: PathBuf,
        /// What cannot be judged: files, and folders that may hold some.
        undetermined: Vec<Undetermined>,
    },
}

impl ChainError {
    /// The error for a disk that says itself that a merge into it is incomplete, where nothing else of the merge is known.
    pub(crate) fn half_merged(disk: &Path) -> Self {
        let merge = UnfinishedMerge { layer: disk.to_owned(), merged: None, target: Some(disk.to_owned()) };
        ChainError::HalfMerged { disk: disk.to_owned(), unfinished: vec![merge], is_certain: true }
    }

    /// The file that cannot be read because of it.
    pub fn path(&self) -> &Path {
        match self {
            ChainError::MissingParent { child: path, .. }
            | ChainError::AmbiguousParent { child: path, .. }
            | ChainError::Mismatch { child: path, .. }
            | ChainError::Cycle { child: path, .. }
            | ChainError::TooDeep { path, .. }
            | ChainError::SectorSize { child: path, .. }
            | ChainError::TooManyParents { path, .. }
            | ChainError::NotAnAncestor { child: path, .. }
            | ChainError::OtherChildren { child: path, .. }
            | ChainError::Superseded { child: path, .. }
            | ChainError::HalfMerged { disk: path, .. }
            | ChainError::DataPastEnd { child: path, .. }
            | ChainError::UndeterminedFiles { child: path, .. } => path,
        }
    }
}

/// A disk that a merge has left, which may be needed as long as that merge is not known to be complete.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnfinishedMerge {
    /// The disk.
    pub layer: PathBuf,
    /// The disk that was merged, if it was found: merging it again completes what was begun.
    pub merged: Option<PathBuf>,
    /// What it was merged into, if that is known.
    pub target: Option<PathBuf>,
}

/// What could not be judged. Its [`Display`](std::fmt::Display) is the path and the reason.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {}", Quoted(path), Bare(error))]
#[non_exhaustive]
pub struct Undetermined {
    /// The file or the folder.
    pub path: PathBuf,
    /// Why.
    pub error: Arc<Error>,
    /// Whether it may be a disk that needs what a merge changes, or hold some: it is called like one, has a signature of one,
    /// or is a folder. A file that another program keeps for itself is none: Hyper-V keeps the parents of a running
    /// disk, too, and a merge finds out when it opens its files.
    pub may_be_disk: bool,
}

impl Undetermined {
    /// Why, without the path.
    pub fn reason(&self) -> String {
        Bare(&self.error).to_string()
    }
}

/// An error without the file's name in front.
pub(crate) struct Bare<'a>(pub(crate) &'a Error);

impl fmt::Display for Bare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Error::InFile { error, .. } => Bare(error).fmt(f),
            error => error.fmt(f),
        }
    }
}

/// Things that are joined by a word.
struct Joined<'a, T>(&'a [T], &'static str);

impl<T: fmt::Display> fmt::Display for Joined<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, thing) in self.0.iter().enumerate() {
            write!(f, "{}{thing}", if i == 0 { "" } else { self.1 })?;
        }
        Ok(())
    }
}

struct Either<'a>(&'a [Uuid]);

impl fmt::Display for Either<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Joined(self.0, " or ").fmt(f)
    }
}

/// What the DataWriteGuid must be; it is not said whose.
struct Must<'a>(&'a [Uuid]);

impl fmt::Display for Must<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("the child's linkage is zero, which no file matches"),
            guids => write!(f, "must be {}", Either(guids)),
        }
    }
}

/// How many paths a message names.
const SHOWN: usize = 8;

/// The first of some paths, and how many more there are.
struct Shown<'a>(&'a [PathBuf]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first: Vec<_> = self.0.iter().take(SHOWN).map(Quoted).collect();
        Joined(&first, ", ").fmt(f)?;
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

struct InTheWay<'a>(&'a [(PathBuf, PathBuf)]);

impl fmt::Display for InTheWay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let child = |(child, parent): &(PathBuf, PathBuf)| {
            format!("{} is a child of {}", Quoted(child), Quoted(parent))
        };
        let children: Vec<String> = self.0.iter().map(child).collect();
        Joined(&children, ", ").fmt(f)
    }
}

struct LayerOfMerge<'a> {
    parent: &'a Path,
    is_complete: bool,
}

impl fmt::Display for LayerOfMerge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parent = Quoted(self.parent);
        match self.is_complete {
            true => write!(
                f,
                "left over from a completed merge into {parent}, or into another file that had its place: it cannot be read by itself"
            ),
            false => write!(
                f,
                "left by a merge into {parent} that may be incomplete: this file can be read only as a parent of the merged disk"
            ),
        }
    }
}

struct Unfinished<'a>(&'a [UnfinishedMerge]);

impl fmt::Display for Unfinished<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|UnfinishedMerge { layer, merged, target }| {
            if target.as_ref() == Some(layer) {
                // The disk itself says so; its merged files were not looked for, or not found.
                return f.write_str("; run that merge again before you use, move or delete it");
            }
            write!(
                f,
                "; {} belongs to a merge that may be incomplete: do not move or delete it before you have run that merge again, ",
                Quoted(layer)
            )?;
            match merged {
                Some(merged) => write!(f, "of {}", Quoted(merged)),
                None => f.write_str("of a disk that is in none of the folders searched"),
            }
        })
    }
}

struct AlsoDamaged<'a>(&'a [PathBuf]);

impl fmt::Display for AlsoDamaged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let damaged: Vec<_> = self.0.iter().map(Quoted).collect();
        write!(f, "; could not be judged: {}", Joined(&damaged, ", "))
    }
}

#[cfg(test)]
mod tests;
