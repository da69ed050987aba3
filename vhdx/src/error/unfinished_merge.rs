//! Describes a merge that may be incomplete.

use std::path::PathBuf;

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
