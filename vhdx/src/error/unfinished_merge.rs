//! Describes a merge that may be incomplete.

use std::path::PathBuf;

/// A layer of a merge that may be incomplete. It may be needed until the merge is known to be complete.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct UnfinishedMerge {
    /// The layer.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub layer: PathBuf,
    /// The merged disk, if it was found. Merging it again completes the merge.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub merged: Option<PathBuf>,
    /// The merge target, if it is known.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub target: Option<PathBuf>,
}
