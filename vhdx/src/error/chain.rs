//! Defines the errors of chains: files that do not fit together, and merges that must not start.

mod missing_parent;
mod text;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use self::missing_parent::{InChain, Unreadable, Unusable, Wanted};
use self::text::{AlsoDamaged, InTheWay, Joined, LayerOfMerge, Must, Shown, Unfinished};
use super::Error;
use crate::quoted::Quoted;
use crate::windows_path::StoredPath;

/// The reason why files do not form a chain, or must not be merged. A file that was not opened by a path has the name
/// that its [`ParentResolver`](crate::ParentResolver) gave it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The parent was not found, neither by the stored paths nor by its GUIDs.
    #[error(
        "{}: its parent is missing: {}{}{}{}",
        Quoted(child),
        Wanted { expected, names, looked_for, folders, searched },
        InChain(in_chain),
        Unusable(unusable),
        Unreadable(unreadable)
    )]
    #[non_exhaustive]
    MissingParent {
        /// The file whose parent is missing.
        child: PathBuf,
        /// The DataWriteGuids of which the parent must have one; empty if the child's linkage is zero.
        expected: Vec<Uuid>,
        /// The paths to the parent that are stored in the child.
        names: Vec<StoredPath>,
        /// Every path that was tried.
        looked_for: Vec<PathBuf>,
        /// The folders in which the stored paths were tried.
        folders: Vec<PathBuf>,
        /// The folders in which every file was searched for the GUIDs; empty if the caller named the parent.
        searched: Vec<PathBuf>,
        /// Files that were found, but are in the chain already and have another DataWriteGuid.
        in_chain: Vec<PathBuf>,
        /// Files that were found, but cannot be used, and the reasons.
        unusable: Vec<(PathBuf, Error)>,
        /// Files and folders that could not be read during the search for the GUIDs.
        unreadable: Vec<PathBuf>,
    },
    /// No stored path leads to the parent, and several files have its DataWriteGuid that are not proven to be copies.
    #[error(
        "{}: its parent is ambiguous: several files have the parent's DataWriteGuid {guid}, no stored path leads to \
         one of them, and they are not proven to be copies of each other: {}",
        Quoted(child),
        Shown(parents)
    )]
    #[non_exhaustive]
    AmbiguousParent {
        /// The child.
        child: PathBuf,
        /// The DataWriteGuid.
        guid: Uuid,
        /// The files.
        parents: Vec<PathBuf>,
    },
    /// The file in the parent's place is not the parent, or was changed after the child was created.
    #[error(
        "{}: {} is not its parent, or was changed after the child was created: the DataWriteGuid of that file is \
         {found}, but {}{}",
        Quoted(child),
        Quoted(parent),
        Must(expected),
        AlsoDamaged(damaged)
    )]
    #[non_exhaustive]
    Mismatch {
        /// The child.
        child: PathBuf,
        /// The file in its parent's place.
        parent: PathBuf,
        /// The DataWriteGuids of which the parent must have one.
        expected: Vec<Uuid>,
        /// The DataWriteGuid of that file.
        found: Uuid,
        /// Other files in the parent's place that could not be checked, because they are damaged or cannot be read.
        damaged: Vec<PathBuf>,
    },
    /// A file is an ancestor of itself.
    #[error("{}: its parent would be {}, which is already in this chain", Quoted(child), Quoted(parent))]
    #[non_exhaustive]
    Cycle {
        /// The file whose parent closes the cycle.
        child: PathBuf,
        /// Its parent, which is in the chain already.
        parent: PathBuf,
    },
    /// A chain that is, or would become, too long.
    #[error("{}: the chain is too long: a chain can have at most {limit} files", Quoted(path))]
    #[non_exhaustive]
    TooDeep {
        /// The file at which the limit was reached.
        path: PathBuf,
        /// The maximum number of files of a chain.
        limit: usize,
    },
    /// The child and the parent have different logical sector sizes ([MS-VHDX] 2.6.2.4).
    #[error(
        "{}: its logical sector size is {child_size} bytes, but that of its parent {} is {parent_size} bytes",
        Quoted(child),
        Quoted(parent)
    )]
    #[non_exhaustive]
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
    /// A parent was named for a disk that has no parent.
    #[error("{}: this disk has no parent, but {} was named as its parent", Quoted(path), Quoted(extra))]
    #[non_exhaustive]
    TooManyParents {
        /// The base of the chain.
        path: PathBuf,
        /// The first named parent that is not needed.
        extra: PathBuf,
    },
    /// A merge target that is not an ancestor of the file to merge.
    #[error("{}: {} is not one of its ancestors", Quoted(child), Quoted(target))]
    NotAnAncestor {
        /// The file to merge.
        child: PathBuf,
        /// The merge target.
        target: PathBuf,
    },
    /// A merge would change or delete files on which other disks depend.
    #[error(
        "{} cannot be merged into {}, because other disks depend on the files that the merge would change: {}{}",
        Quoted(child),
        Quoted(target),
        InTheWay(in_the_way),
        Unfinished(unfinished)
    )]
    #[non_exhaustive]
    OtherChildren {
        /// The file to merge.
        child: PathBuf,
        /// The merge target.
        target: PathBuf,
        /// The other disks, each with its parent, which is a file of the merge.
        in_the_way: Vec<(PathBuf, PathBuf)>,
        /// Those of them that belong to another merge, which may be incomplete.
        unfinished: Vec<UnfinishedMerge>,
    },
    /// A layer that was merged into its parent. The parent has newer data, so the layer does not open on its own. With
    /// several levels, it opens only as an ancestor of the merged disk.
    #[error("{}: {}", Quoted(child), LayerOfMerge { parent, is_complete: *is_complete })]
    #[non_exhaustive]
    Superseded {
        /// The merged layer whose parent is the merge target.
        child: PathBuf,
        /// The merge target, or the file in its place.
        parent: PathBuf,
        /// Whether the merge is known to be complete.
        is_complete: bool,
    },
    /// A merge into a disk is or may be incomplete, so its content may be a mix of old and new data.
    #[error(
        "{}: {}, so its content may be a mix of old and new data{}",
        Quoted(disk),
        if *is_certain { "a merge into it is incomplete" } else { "a merge into it was started and may be incomplete" },
        Unfinished(unfinished)
    )]
    #[non_exhaustive]
    HalfMerged {
        /// The disk.
        disk: PathBuf,
        /// The merges, each with a layer that is a child of the disk, as far as they were found.
        unfinished: Vec<UnfinishedMerge>,
        /// Whether the disk itself says that the merge is incomplete. A merge by an earlier version is visible only in
        /// its layers, which look the same once it is complete.
        is_certain: bool,
    },
    /// A merge would lose data past the end of the merged disk, which is smaller than the target or a layer between.
    #[error(
        "merge refused: {bytes} bytes of data past the end of {child} would be lost, in {target} or in a file between; \
         the virtual disk of {target} has {size_before} bytes and would get {size} bytes",
        child = Quoted(child),
        target = Quoted(target)
    )]
    #[non_exhaustive]
    DataPastEnd {
        /// The file to merge.
        child: PathBuf,
        /// The merge target.
        target: PathBuf,
        /// The number of bytes of data past the end of the child.
        bytes: u64,
        /// The size of the target's disk in bytes.
        size_before: u64,
        /// The size of the child's disk in bytes, which the target would get.
        size: u64,
    },
    /// A merge may change or delete files on which undetermined disks depend.
    #[error(
        "merge of {} refused: these could not be checked, and may be or contain disks that depend on its files: {}",
        Quoted(child),
        Joined(undetermined, ", ")
    )]
    #[non_exhaustive]
    UndeterminedFiles {
        /// The file to merge.
        child: PathBuf,
        /// The files that could not be checked, and folders that may contain such files.
        undetermined: Vec<Undetermined>,
    },
}

impl ChainError {
    /// Returns the error for a disk that is the target of an incomplete merge, if nothing else of the merge is known.
    pub(crate) fn half_merged(disk: &Path) -> Self {
        let merge = UnfinishedMerge { layer: disk.to_owned(), merged: None, target: Some(disk.to_owned()) };
        ChainError::HalfMerged { disk: disk.to_owned(), unfinished: vec![merge], is_certain: true }
    }

    /// Returns the file that cannot be opened or changed because of the error.
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

/// A layer of a merge that may be incomplete. It may be needed until the merge is known to be complete.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnfinishedMerge {
    /// The layer.
    pub layer: PathBuf,
    /// The merged disk, if it was found. Merging it again completes the merge.
    pub merged: Option<PathBuf>,
    /// The merge target, if it is known.
    pub target: Option<PathBuf>,
}

/// A file or folder that could not be checked. Its [`Display`](std::fmt::Display) is the path and the reason.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Undetermined {
    /// The file or the folder.
    pub path: PathBuf,
    /// The reason.
    pub error: Arc<Error>,
    /// Whether it may be or contain a disk that depends on files of a merge: it has the name or signature of a disk, or
    /// is a folder. A file that another program has locked does not count: Hyper-V also locks the parents of a
    /// running disk, so a merge that would change one of them fails when it locks its files.
    pub may_be_disk: bool,
}

impl fmt::Display for Undetermined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Quoted(&self.path), self.error.without_path())
    }
}

impl std::error::Error for Undetermined {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The text of `error` is part of the text of this one.
        self.error.source()
    }
}

impl Undetermined {
    /// Returns the reason without the path.
    pub fn reason(&self) -> String {
        self.error.without_path().to_string()
    }
}

#[cfg(test)]
mod tests;
