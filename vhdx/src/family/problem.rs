//! Defines the problems that a search for disks reports, with messages.

mod pruned;
mod remedy;
mod substitute;
pub(super) mod text;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use uuid::Uuid;

pub use self::pruned::{PrunedParent, TargetContent};
pub use self::remedy::Remedy;
pub use self::substitute::{Evidence, Fallback, Substitute};
use self::text::{List, Stored};
use super::machine::problem::MachineProblem;
use crate::error::Error;
use crate::quoted::Quoted;
use crate::storage::FileFormat;
use crate::violation::Violation;
use crate::windows_path::StoredPath;

/// A problem with a file, a folder or a link between files.
///
/// Its [`Display`](fmt::Display) continues a sentence that begins with the [`path`](Self::path).
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Problem {
    /// A configuration file of Hyper-V, or its link to a disk, has a problem.
    Machine(MachineProblem),
    /// A folder or file cannot be read, so disks may be missing from the forest.
    Unreadable {
        /// The folder or file.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The reason.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        error: Arc<Error>,
    },
    /// A file has the name or a signature of a VHDX, but cannot be opened as one.
    Damaged {
        /// The file.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The reason.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        error: Arc<Error>,
    },
    /// A file has the name of a VHDX, but its content has another format.
    OtherFormat {
        /// The file.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The format of the content.
        format: FileFormat,
    },
    /// A path has the name of a VHDX, but is not a regular file, or is a link that leads nowhere.
    NotARegularFile {
        /// The path.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
    },
    /// A file breaks tolerated rules of the format.
    Imperfect {
        /// The file.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The first broken rule.
        first: Violation,
        /// The number of other broken rules.
        more: usize,
    },
    /// A file has a name that no child can store, because Windows does not allow it.
    NameNotAllowedOnWindows {
        /// The file.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
    },
    /// A file with Hyper-V's change tracking is beside a disk.
    SideFile {
        /// The disk.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The `.rct` or `.mrt` file.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        side_file: PathBuf,
    },
    /// Several files have the same DataWriteGuid.
    DuplicateGuid {
        /// The first of the files, sorted by path. Only this one has the problem.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The DataWriteGuid.
        guid: Uuid,
        /// The first of the other files.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        others: Vec<PathBuf>,
        /// The number of other files.
        count: usize,
    },
    /// Several files have the DataWriteGuid of the parent, and it is not known which one it is.
    AmbiguousParent {
        /// The child.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The first of the possible parents.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        parents: Vec<PathBuf>,
        /// The number of possible parents.
        count: usize,
    },
    /// No stored path leads to the parent, so the chain may open only if the parent is named.
    StalePath {
        /// The child.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The parent.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        parent: PathBuf,
        /// The stored paths.
        stored: Vec<StoredPath>,
        /// Whether the chain of the parent is complete, so that the child can be relinked.
        parent_opens: bool,
        /// A configuration that also names the parent by an old path. If set, move the parent back instead of relinking
        /// the child.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        configuration: Option<PathBuf>,
    },
    /// No file in the forest is the parent.
    LostParent {
        /// The child.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The DataWriteGuids of which the parent must have one; empty for a zero linkage.
        expected: Vec<Uuid>,
        /// The stored paths.
        stored: Vec<StoredPath>,
        /// The first paths where the parent may be: damaged or unreadable files with a stored name of the parent, and
        /// stored folders that cannot be listed.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        unidentified: Vec<PathBuf>,
        /// The number of such files and folders.
        unidentified_count: usize,
        /// Disks that may replace the parent, the best first. None of them is the parent.
        substitutes: Vec<Substitute>,
    },
    /// The parent is missing because a prune has deleted or changed it, as the record of that prune says.
    PrunedParent {
        /// The child. Usually it was restored from a backup.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The parent, and what the prune did with it.
        parent: PrunedParent,
    },
    /// The file is an older copy, from before a prune. Files that the prune merged into it were not found.
    OlderThanPrune {
        /// The merge target of the prune.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// When the prune was planned.
        time: SystemTime,
        /// The merged files that were not found, the newest first.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        merged: Vec<PathBuf>,
    },
    /// The file is a layer of a merge of several levels that may or may not be complete.
    LayerOfMerge {
        /// The merged layer whose parent is the merge target.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The merged disk, if it is in the forest.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        merged: Option<PathBuf>,
        /// The merge target, if it is in the forest and was not written to since.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        target: Option<PathBuf>,
    },
    /// A merge of this disk was started and is, or may be, incomplete.
    MergeBegun {
        /// The merged disk. If it was not found, the merged layer whose parent is the target.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The merge target.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        target: PathBuf,
        /// Whether the files say that the merge is incomplete. Files of earlier versions do not.
        is_certain: bool,
    },
    /// A merge into this disk is incomplete, and the merged files are not in the forest.
    HalfMerged {
        /// The merge target.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
    },
    /// A layer of a completed merge that no disk needs any more.
    LeftOver {
        /// The merged layer whose parent is the merge target.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The files of the merge that still exist, in the order of deletion: this layer is last.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        layers: Vec<PathBuf>,
        /// The merge target, if it is in the forest and was not changed since.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        target: Option<PathBuf>,
    },
    /// The parent is outside the folders that were searched.
    ParentElsewhere {
        /// The child.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The parent.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        parent: PathBuf,
    },
    /// The child and the parent have different logical sector sizes.
    SectorSize {
        /// The child.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The parent.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        parent: PathBuf,
        /// The child's logical sector size in bytes.
        child_size: u32,
        /// The parent's logical sector size in bytes.
        parent_size: u32,
    },
    /// A file is an ancestor of itself.
    Cycle {
        /// The file.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The file that would be its parent.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        parent: PathBuf,
    },
    /// The file has so many ancestors that its chain cannot be opened.
    TooDeep {
        /// The first file of the chain, counted from the base, that exceeds the limit.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The maximum number of files in a chain.
        limit: usize,
    },
}

impl Problem {
    /// Returns the file or folder with the problem.
    pub fn path(&self) -> &Path {
        match self {
            Problem::Machine(problem) => problem.path(),
            Problem::Unreadable { path, .. }
            | Problem::Damaged { path, .. }
            | Problem::OtherFormat { path, .. }
            | Problem::NotARegularFile { path }
            | Problem::Imperfect { path, .. }
            | Problem::NameNotAllowedOnWindows { path }
            | Problem::SideFile { path, .. }
            | Problem::DuplicateGuid { path, .. }
            | Problem::AmbiguousParent { path, .. }
            | Problem::StalePath { path, .. }
            | Problem::LostParent { path, .. }
            | Problem::PrunedParent { path, .. }
            | Problem::OlderThanPrune { path, .. }
            | Problem::LayerOfMerge { path, .. }
            | Problem::MergeBegun { path, .. }
            | Problem::HalfMerged { path }
            | Problem::LeftOver { path, .. }
            | Problem::ParentElsewhere { path, .. }
            | Problem::SectorSize { path, .. }
            | Problem::Cycle { path, .. }
            | Problem::TooDeep { path, .. } => path,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Machine(problem) => problem.fmt(f),
            Problem::Unreadable { error, .. } => {
                write!(f, "cannot be searched, so disks may be missing here: {}", error.without_path())
            }
            Problem::Damaged { error, .. } => write!(f, "is not a readable VHDX: {}", error.without_path()),
            Problem::OtherFormat { format, .. } => {
                write!(f, "is named like a VHDX, but its content is {format}")
            }
            Problem::NotARegularFile { .. } => {
                f.write_str("is named like a disk, but is not a regular file, or is a link that leads nowhere")
            }
            Problem::Imperfect { first, more, .. } => {
                write!(f, "breaks a rule of the format, but can be read: {first}")?;
                if *more > 0 { write!(f, "; and {more} more") } else { Ok(()) }
            }
            Problem::NameNotAllowedOnWindows { .. } => {
                f.write_str("has a name that Windows does not allow, so no child can store it")
            }
            Problem::SideFile { side_file, .. } => {
                write!(
                    f,
                    "has a change tracking file of Hyper-V beside it, {}: backup programs use that file, and it is wrong \
                     after every change to the disk that Hyper-V did not make",
                    Quoted(side_file)
                )
            }
            Problem::DuplicateGuid { guid, others, count, .. } => {
                write!(
                    f,
                    "has the same DataWriteGuid, {guid}, as {}; usually these files are copies",
                    List(others, *count)
                )
            }
            Problem::AmbiguousParent { parents, count, .. } => {
                write!(
                    f,
                    "has several possible parents: {}. They have the same DataWriteGuid, but are not proven to be \
                     copies, and no stored path leads to one of them",
                    List(parents, *count)
                )
            }
            Problem::StalePath { parent, stored, .. } => {
                let (parent, stored) = (Quoted(parent), Stored(stored));
                write!(f, "stores no path that leads to its parent {parent}; stored paths: {stored}")
            }
            Problem::LostParent { expected, stored, unidentified, unidentified_count, substitutes, .. } => {
                let unidentified = List(unidentified, *unidentified_count);
                substitute::describe(f, expected, &Stored(stored), &unidentified, substitutes)
            }
            Problem::PrunedParent { parent, .. } => parent.fmt(f),
            Problem::OlderThanPrune { merged, .. } => write!(
                f,
                "is an older copy: a prune merged {} into this file, and this copy does not have the merged data",
                List(merged, merged.len())
            ),
            Problem::LayerOfMerge { .. } => f.write_str(
                "belongs to a merge that may be incomplete. It cannot be opened on its own: only the checkpoint that was \
                 merged, and disks that depend on it, are read through it",
            ),
            Problem::MergeBegun { target, is_certain, .. } => write!(
                f,
                "has a merge into {0} that {1} incomplete: {0} may be a mix of old and new data until the merge is \
                 complete",
                Quoted(target),
                if *is_certain { "is" } else { "may be" }
            ),
            Problem::HalfMerged { .. } => f.write_str(
                "is the target of an incomplete merge, and the merged files were not found: its content may be a mix \
                 of old and new data",
            ),
            Problem::LeftOver { target: Some(target), .. } => {
                write!(
                    f,
                    "is left over from a completed merge into {0}: {0} has all its data, and the file is no longer \
                     needed",
                    Quoted(target)
                )
            }
            Problem::LeftOver { target: None, .. } => f.write_str(
                "is left over from a completed merge, but the merge target was not found, was changed since, or was \
                 replaced",
            ),
            Problem::ParentElsewhere { parent, .. } => {
                write!(f, "has its parent {} outside the searched folders", Quoted(parent))
            }
            Problem::SectorSize { parent, child_size, parent_size, .. } => write!(
                f,
                "has logical sectors of {child_size} bytes, but its parent {} has sectors of {parent_size} bytes: they \
                 cannot be read together",
                Quoted(parent)
            ),
            Problem::Cycle { parent, .. } => {
                write!(f, "is its own ancestor: by DataWriteGuid, its parent would be {}", Quoted(parent))
            }
            Problem::TooDeep { limit, .. } => {
                write!(f, "has {limit} ancestors, so its chain has too many files: at most {limit} are opened as one chain")
            }
        }
    }
}
