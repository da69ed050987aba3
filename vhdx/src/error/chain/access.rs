//! Takes the errors of chains apart, for callers.

use std::fmt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::error::{ChainError, ChainFault, Error, Undetermined, UnfinishedMerge};
use crate::windows_path::StoredPath;

/// The class of a [`ChainError`], for callers that branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChainErrorKind {
    /// The parent was not found, neither by the stored paths nor by its GUIDs.
    MissingParent,
    /// No stored path leads to the parent, and several files have its DataWriteGuid that are not proven to be copies.
    AmbiguousParent,
    /// The file in the parent's place is not the parent, or was changed after the child was created.
    Mismatch,
    /// A file is an ancestor of itself.
    Cycle,
    /// A chain is, or would become, longer than [`MAX_CHAIN_LENGTH`](crate::MAX_CHAIN_LENGTH).
    TooDeep,
    /// The child and the parent have different logical sector sizes ([MS-VHDX] 2.6.2.4).
    SectorSize,
    /// A parent was named for a disk that has no parent.
    TooManyParents,
    /// A merge target is not an ancestor of the file to merge.
    NotAnAncestor,
    /// Two disks share no file, where both must be points in time of one disk.
    Unrelated,
    /// The disk that was named as the older one is a descendant of the newer one.
    Reversed,
    /// Two disks have a common ancestor, where one must be an ancestor of the other.
    Siblings,
    /// A merge would change or delete files on which other disks depend.
    OtherChildren,
    /// A layer was merged into its parent.
    ///
    /// The parent has newer data, so the layer does not open on its own. With several levels, it opens only as an
    /// ancestor of the merged disk.
    LayerOfMerge,
    /// A merge into a disk is or may be incomplete, so its content may be a mix of old and new data.
    HalfMerged,
    /// A merge would lose data past the end of the merged disk, which is smaller than the target or a layer between.
    DataPastEnd,
    /// A file has no room for the metadata that it would get ([MS-VHDX] 2.6.1).
    NoRoomForMetadata,
    /// A merge may change or delete files on which undetermined disks depend.
    UndeterminedFiles,
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ChainError {}

impl ChainError {
    pub(crate) fn fault(&self) -> &ChainFault {
        &self.0
    }

    /// Returns the class of the error.
    pub fn kind(&self) -> ChainErrorKind {
        match self.fault() {
            ChainFault::MissingParent { .. } => ChainErrorKind::MissingParent,
            ChainFault::AmbiguousParent { .. } => ChainErrorKind::AmbiguousParent,
            ChainFault::Mismatch { .. } => ChainErrorKind::Mismatch,
            ChainFault::Cycle { .. } => ChainErrorKind::Cycle,
            ChainFault::TooDeep { .. } => ChainErrorKind::TooDeep,
            ChainFault::SectorSize { .. } => ChainErrorKind::SectorSize,
            ChainFault::TooManyParents { .. } => ChainErrorKind::TooManyParents,
            ChainFault::NotAnAncestor { .. } => ChainErrorKind::NotAnAncestor,
            ChainFault::Unrelated { .. } => ChainErrorKind::Unrelated,
            ChainFault::Reversed { .. } => ChainErrorKind::Reversed,
            ChainFault::Siblings { .. } => ChainErrorKind::Siblings,
            ChainFault::OtherChildren { .. } => ChainErrorKind::OtherChildren,
            ChainFault::LayerOfMerge { .. } => ChainErrorKind::LayerOfMerge,
            ChainFault::HalfMerged { .. } => ChainErrorKind::HalfMerged,
            ChainFault::DataPastEnd { .. } => ChainErrorKind::DataPastEnd,
            ChainFault::NoRoomForMetadata { .. } => ChainErrorKind::NoRoomForMetadata,
            ChainFault::UndeterminedFiles { .. } => ChainErrorKind::UndeterminedFiles,
        }
    }

    /// Returns the file that cannot be opened or changed because of the error.
    ///
    /// A file that was not opened by a path has the name that its [`ParentResolver`](crate::ParentResolver) gave it.
    pub fn path(&self) -> &Path {
        self.fault().path()
    }

    /// Returns the file in the parent's place, or the parent that was named but is not needed.
    pub fn parent(&self) -> Option<&Path> {
        match self.fault() {
            ChainFault::Mismatch { parent, .. }
            | ChainFault::Cycle { parent, .. }
            | ChainFault::SectorSize { parent, .. }
            | ChainFault::LayerOfMerge { parent, .. }
            | ChainFault::TooManyParents { extra: parent, .. } => Some(parent),
            _ => None,
        }
    }

    /// Returns the target of the merge that was refused.
    pub fn target(&self) -> Option<&Path> {
        match self.fault() {
            ChainFault::NotAnAncestor { target, .. }
            | ChainFault::OtherChildren { target, .. }
            | ChainFault::DataPastEnd { target, .. } => Some(target),
            _ => None,
        }
    }

    /// Returns the disk that was named as the older one, for [`ChainErrorKind::Unrelated`],
    /// [`ChainErrorKind::Reversed`] and [`ChainErrorKind::Siblings`]. [`path`](Self::path) is the newer one.
    pub fn old(&self) -> Option<&Path> {
        match self.fault() {
            ChainFault::Unrelated { old, .. }
            | ChainFault::Reversed { old, .. }
            | ChainFault::Siblings { old, .. } => Some(old),
            _ => None,
        }
    }

    /// Returns the bases of the older and the newer disk with their DataWriteGuids, for
    /// [`ChainErrorKind::Unrelated`].
    pub fn bases(&self) -> Option<&[(PathBuf, Uuid); 2]> {
        match self.fault() {
            ChainFault::Unrelated { bases, .. } => Some(bases),
            _ => None,
        }
    }

    /// Returns the nearest common ancestor of both disks, for [`ChainErrorKind::Siblings`].
    pub fn common_ancestor(&self) -> Option<&Path> {
        match self.fault() {
            ChainFault::Siblings { ancestor, .. } => Some(ancestor),
            _ => None,
        }
    }

    /// Returns the DataWriteGuids of which the parent must have one.
    ///
    /// None are returned if the child's linkage is zero, and for errors that are not about a parent's GUID.
    pub fn expected(&self) -> &[Uuid] {
        match self.fault() {
            ChainFault::MissingParent { expected, .. } | ChainFault::Mismatch { expected, .. } => expected,
            ChainFault::AmbiguousParent { guid, .. } => std::slice::from_ref(guid),
            _ => &[],
        }
    }

    /// Returns the DataWriteGuid of the file in the parent's place, for [`ChainErrorKind::Mismatch`].
    pub fn found(&self) -> Option<Uuid> {
        match self.fault() {
            ChainFault::Mismatch { found, .. } => Some(*found),
            _ => None,
        }
    }

    /// Returns the files that have the parent's DataWriteGuid, for [`ChainErrorKind::AmbiguousParent`].
    pub fn candidates(&self) -> &[PathBuf] {
        match self.fault() {
            ChainFault::AmbiguousParent { parents, .. } => parents,
            _ => &[],
        }
    }

    /// Returns the paths to the parent that are stored in the child, for [`ChainErrorKind::MissingParent`].
    pub fn stored_paths(&self) -> &[StoredPath] {
        match self.fault() {
            ChainFault::MissingParent { names, .. } => names,
            _ => &[],
        }
    }

    /// Returns every path that was tried, for [`ChainErrorKind::MissingParent`].
    pub fn looked_for(&self) -> &[PathBuf] {
        match self.fault() {
            ChainFault::MissingParent { looked_for, .. } => looked_for,
            _ => &[],
        }
    }

    /// Returns the folders in which the stored paths were tried, for [`ChainErrorKind::MissingParent`].
    pub fn folders(&self) -> &[PathBuf] {
        match self.fault() {
            ChainFault::MissingParent { folders, .. } => folders,
            _ => &[],
        }
    }

    /// Returns the folders in which every file was searched for the GUIDs, for [`ChainErrorKind::MissingParent`].
    ///
    /// None are returned if the caller named the parent.
    pub fn searched(&self) -> &[PathBuf] {
        match self.fault() {
            ChainFault::MissingParent { searched, .. } => searched,
            _ => &[],
        }
    }

    /// Returns the files that were found, but are in the chain already and have another DataWriteGuid.
    pub fn in_chain(&self) -> &[PathBuf] {
        match self.fault() {
            ChainFault::MissingParent { in_chain, .. } => in_chain,
            _ => &[],
        }
    }

    /// Returns the files that were found, but cannot be used, and the reasons.
    pub fn unusable(&self) -> &[(PathBuf, Error)] {
        match self.fault() {
            ChainFault::MissingParent { unusable, .. } => unusable,
            _ => &[],
        }
    }

    /// Returns the files and folders that could not be read during a search for a parent.
    ///
    /// For [`ChainErrorKind::Mismatch`], these are other files in the parent's place that are damaged or cannot be
    /// read.
    pub fn unreadable(&self) -> &[PathBuf] {
        match self.fault() {
            ChainFault::MissingParent { unreadable, .. } => unreadable,
            ChainFault::Mismatch { damaged, .. } => damaged,
            _ => &[],
        }
    }

    /// Returns the logical sector sizes of child and parent in bytes, for [`ChainErrorKind::SectorSize`].
    pub fn sector_sizes(&self) -> Option<(u32, u32)> {
        match self.fault() {
            ChainFault::SectorSize { child_size, parent_size, .. } => Some((*child_size, *parent_size)),
            _ => None,
        }
    }

    /// Returns the disks that depend on files of the merge, each with its parent.
    pub fn dependents(&self) -> &[(PathBuf, PathBuf)] {
        match self.fault() {
            ChainFault::OtherChildren { dependents, .. } => dependents,
            _ => &[],
        }
    }

    /// Returns the merges to complete first, as far as they were found.
    pub fn unfinished(&self) -> &[UnfinishedMerge] {
        match self.fault() {
            ChainFault::OtherChildren { unfinished, .. } | ChainFault::HalfMerged { unfinished, .. } => {
                unfinished
            }
            _ => &[],
        }
    }

    /// Returns the files that could not be checked, and folders that may contain such files, for
    /// [`ChainErrorKind::UndeterminedFiles`].
    pub fn undetermined(&self) -> &[Undetermined] {
        match self.fault() {
            ChainFault::UndeterminedFiles { undetermined, .. } => undetermined,
            _ => &[],
        }
    }

    /// Returns whether the merge is known to be complete, for [`ChainErrorKind::LayerOfMerge`].
    pub fn is_complete(&self) -> bool {
        matches!(self.fault(), ChainFault::LayerOfMerge { is_complete: true, .. })
    }

    /// Returns whether the disk itself says that the merge is incomplete, for [`ChainErrorKind::HalfMerged`].
    ///
    /// A merge by an earlier version is visible only in its layers, which look the same once it is complete.
    pub fn is_certain(&self) -> bool {
        matches!(self.fault(), ChainFault::HalfMerged { is_certain: true, .. })
    }

    /// Returns the number of bytes of data past the end of the child, for [`ChainErrorKind::DataPastEnd`].
    pub fn bytes_past_end(&self) -> Option<u64> {
        match self.fault() {
            ChainFault::DataPastEnd { bytes, .. } => Some(*bytes),
            _ => None,
        }
    }

    /// Returns the sizes of the target's and the child's disk in bytes, for [`ChainErrorKind::DataPastEnd`].
    pub fn sizes(&self) -> Option<(u64, u64)> {
        match self.fault() {
            ChainFault::DataPastEnd { size_before, size, .. } => Some((*size_before, *size)),
            _ => None,
        }
    }
}
