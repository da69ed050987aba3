//! Describes what a prune did with a missing parent.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::quoted::Quoted;

/// A missing parent that a prune has deleted or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PrunedParent {
    /// The parent. It equals `target` if other files were merged into the parent.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub path: PathBuf,
    /// The merge target.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub target: PathBuf,
    /// When the prune was planned.
    pub time: SystemTime,
    /// What the target holds now.
    pub content: TargetContent,
    /// The disk that has the newest state of the child, if a prune has merged the child too.
    ///
    /// In that case, the child was restored after the prune.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub successor: Option<PathBuf>,
    /// Whether disks that were found depend on the child.
    pub has_children: bool,
    /// Whether the DataWriteGuid proves that it was this parent. Otherwise only its path is the same.
    pub is_certain: bool,
}

/// What the target of a prune holds, compared with a [missing parent](PrunedParent).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum TargetContent {
    /// Exactly the content that the parent had, as the DataWriteGuids prove.
    Parent,
    /// Other content. A child of the parent would read wrong data from it.
    Other,
    /// The content from before the prune: the target was restored.
    Restored,
}

impl fmt::Display for PrunedParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parent, target) = (Quoted(&self.path), Quoted(&self.target));
        match (self.content, self.path == self.target) {
            (_, false) if !self.is_certain => write!(
                f,
                "lacks its parent {parent}: a prune merged a file of this name into {target} and deleted it, which was \
                 probably the parent"
            )?,
            (TargetContent::Restored, true) => write!(
                f,
                "lacks its parent: {target} is an older copy, from before a prune that merged other files into it"
            )?,
            (TargetContent::Restored, false) => write!(
                f,
                "lacks its parent {parent}, which a prune deleted; {target} is an older copy, from before that prune"
            )?,
            (_, true) => write!(
                f,
                "lacks its parent: a prune merged other files into the parent {target}, whose content is different now"
            )?,
            (_, false) => {
                write!(
                    f,
                    "lacks its parent {parent}: a prune merged the parent into {target} and deleted it"
                )?;
            }
        }
        match &self.successor {
            Some(successor) => {
                let successor = Quoted(successor);
                write!(f, ". The file that had this name was merged too: {successor} has its newest state")
            }
            None => Ok(()),
        }
    }
}
