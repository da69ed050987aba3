//! Defines the error type of this crate. Each error names the attempted operation and its offset, or the file.

mod access;
mod argument;
mod chain;
mod conflict;
mod conversions;
mod internal;
#[cfg(feature = "serde")]
mod serialize;
mod text;
mod unfinished_merge;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use crate::units::FileOffset;
use crate::violation::Violation;
use crate::windows_path::StoredPath;

pub use argument::InvalidArgument;
pub use chain::ChainErrorKind;
pub use conflict::{Conflict, FileChange, InvalidState};
pub(crate) use internal::{Bounded, Guaranteed, Times, in_memory};
#[cfg(feature = "serde")]
pub(crate) use serialize::as_text;
pub use unfinished_merge::UnfinishedMerge;

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why an operation failed.
///
/// [`Display`](std::fmt::Display) prints the whole reason in one sentence: the file, the operation, and the error of
/// the operating system. [`source`](std::error::Error::source) returns only what that sentence does not contain: the
/// source of an [`io::Error`] that a caller's own storage returned, otherwise `None`. So `{}` is complete, and a
/// program that prints all sources prints nothing twice. All error types of this crate follow this rule. The parts of
/// an error have accessors: [`io_error`](Error::io_error), [`violation`](Error::violation),
/// [`chain_error`](Error::chain_error), [`conflict`](Error::conflict), [`path`](Error::path) and
/// [`offset`](Error::offset).
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A call of the operating system failed. [`Error::io`] makes one.
    #[non_exhaustive]
    Io {
        /// The operation, as a verb: `read`, `write`, `open`.
        operation: &'static str,
        /// The offset in the file, if the operation has one.
        offset: Option<FileOffset>,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file system has less free space than an operation may need. Nothing was written.
    NoSpace {
        /// The maximum number of bytes that the operation needs there.
        needed: u64,
        /// The number of bytes that are free there.
        free: u64,
    },
    /// The file breaks a rule, and its content cannot be determined with certainty.
    Corrupt(Violation),
    /// The file may be valid, but it needs something that this library does not support.
    Unsupported(Violation),
    /// The files of a chain do not fit together, or must not be merged.
    Chain(ChainError),
    /// The operation does not fit the present state of the files.
    Conflict(Conflict),
    /// An argument of the call is not valid.
    InvalidArgument(InvalidArgument),
    /// The object cannot be used any more.
    InvalidState(InvalidState),
    /// [`Progress::is_cancelled`](crate::Progress::is_cancelled) returned `true`.
    Cancelled,
    /// An invariant of this library does not hold. This is a bug; the files may be valid.
    #[non_exhaustive]
    Internal {
        /// The statement that is not true.
        invariant: &'static str,
        /// The source file of this library.
        file: &'static str,
        /// The line in that file.
        line: u32,
    },
    /// Another error, with the file in which it occurred. [`Error::in_file`] makes one.
    #[non_exhaustive]
    InFile {
        /// The file.
        path: PathBuf,
        /// The error.
        error: Box<Error>,
    },
}

/// The class of an error, for callers that branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// See [`Error::Io`] and [`Error::NoSpace`].
    Io,
    /// See [`Error::Corrupt`].
    Corrupt,
    /// See [`Error::Unsupported`].
    Unsupported,
    /// See [`Error::Chain`].
    Chain,
    /// See [`Error::Conflict`]. An [`Error::Io`] with [`io::ErrorKind::ResourceBusy`] also is a conflict: another
    /// program uses the file.
    Conflict,
    /// See [`Error::InvalidArgument`].
    InvalidArgument,
    /// See [`Error::InvalidState`].
    InvalidState,
    /// See [`Error::Cancelled`].
    Cancelled,
    /// See [`Error::Internal`].
    Internal,
}

/// The reason why files do not form a chain, or must not be merged.
#[derive(Debug)]
pub struct ChainError(Box<ChainFault>);

/// The parts of a [`ChainError`].
#[derive(Debug)]
pub(crate) enum ChainFault {
    /// The parent was not found, neither by the stored paths nor by its GUIDs.
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
    AmbiguousParent {
        /// The child.
        child: PathBuf,
        /// The DataWriteGuid.
        guid: Uuid,
        /// The files.
        parents: Vec<PathBuf>,
    },
    /// The file in the parent's place is not the parent, or was changed after the child was created.
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
    Cycle {
        /// The file whose parent closes the cycle.
        child: PathBuf,
        /// Its parent, which is in the chain already.
        parent: PathBuf,
    },
    /// A chain that is, or would become, too long.
    TooDeep {
        /// The file at which the limit was reached.
        path: PathBuf,
        /// The maximum number of files of a chain.
        limit: usize,
    },
    /// The child and the parent have different logical sector sizes ([MS-VHDX] 2.6.2.4).
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
    TooManyParents {
        /// The base of the chain.
        path: PathBuf,
        /// The first named parent that is not needed.
        extra: PathBuf,
    },
    /// A merge target that is not an ancestor of the file to merge.
    NotAnAncestor {
        /// The file to merge.
        child: PathBuf,
        /// The merge target.
        target: PathBuf,
    },
    /// Two disks that share no file.
    Unrelated {
        /// The older disk.
        old: PathBuf,
        /// The newer disk.
        new: PathBuf,
        /// The bases of the older and the newer disk, with their DataWriteGuids.
        bases: [(PathBuf, Uuid); 2],
        /// Files of the older and the newer disk that have the same DataWriteGuid.
        copies: Option<(PathBuf, PathBuf)>,
    },
    /// The disk that was named as the older one is a descendant of the newer one.
    Reversed {
        /// The disk that was named as the older one.
        old: PathBuf,
        /// The disk that was named as the newer one.
        new: PathBuf,
        /// The number of levels between them.
        levels: usize,
    },
    /// Two disks with a common ancestor, where one must be an ancestor of the other.
    Siblings {
        /// The older disk.
        old: PathBuf,
        /// The newer disk.
        new: PathBuf,
        /// Their nearest common ancestor.
        ancestor: PathBuf,
    },
    /// A merge would change or delete files on which other disks depend.
    OtherChildren {
        /// The file to merge.
        child: PathBuf,
        /// The merge target.
        target: PathBuf,
        /// The other disks, each with its parent, which is a file of the merge.
        dependents: Vec<(PathBuf, PathBuf)>,
        /// Those of them that belong to another merge, which may be incomplete.
        unfinished: Vec<UnfinishedMerge>,
    },
    /// A layer that was merged into its parent. The parent has newer data, so the layer does not open on its own. With
    /// several levels, it opens only as an ancestor of the merged disk.
    LayerOfMerge {
        /// The merged layer whose parent is the merge target.
        child: PathBuf,
        /// The merge target, or the file in its place.
        parent: PathBuf,
        /// Whether the merge is known to be complete.
        is_complete: bool,
    },
    /// A merge into a disk is or may be incomplete, so its content may be a mix of old and new data.
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
    /// A file whose metadata region has no room for the metadata that it would get ([MS-VHDX] 2.6.1).
    NoRoomForMetadata {
        /// The file.
        path: PathBuf,
    },
    /// A merge may change or delete files on which undetermined disks depend.
    UndeterminedFiles {
        /// The file to merge.
        child: PathBuf,
        /// The files that could not be checked, and folders that may contain such files.
        undetermined: Vec<Undetermined>,
    },
}

/// A file or folder that could not be checked. Its [`Display`](std::fmt::Display) is the path and the reason.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Undetermined {
    /// The file or the folder.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub path: PathBuf,
    /// The reason.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub error: Arc<Error>,
    /// Whether it may be or contain a disk that depends on files of a merge: it has the name or signature of a disk, or
    /// is a folder. A file that another program has locked does not count: Hyper-V also locks the parents of a
    /// running disk, so a merge that would change one of them fails when it locks its files.
    pub may_be_disk: bool,
}

#[cfg(test)]
mod tests;
