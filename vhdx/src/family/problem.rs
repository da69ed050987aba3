//! What is wrong with the files of a forest, why it matters, and what to do.

mod text;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use self::text::{List, Stored, complete, io_kind};
use super::substitutes::{self, Substitute};
use crate::error::Bare;
use crate::error::Error;
use crate::quoted::Quoted;
use crate::storage::FileFormat;
use crate::violation::Violation;
use crate::windows_path::StoredPath;

/// Something that was found wrong. Its [`Display`](fmt::Display) says what, without the [`path`](Self::path).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Problem {
    /// A folder or a file cannot be read, so that disks may be missing from the forest.
    Unreadable {
        /// The folder or the file.
        path: PathBuf,
        /// Why.
        error: Arc<Error>,
    },
    /// A file is called like a VHDX, or has a signature of one, but cannot be opened as one.
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        error: Arc<Error>,
    },
    /// A file is called like a VHDX, but its content is of another format.
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// What it is.
        format: FileFormat,
    },
    /// Something is called like a VHDX, but is no file, or a link that leads nowhere.
    NotARegularFile {
        /// What it is called.
        path: PathBuf,
    },
    /// A file breaks rules that are worked around.
    Imperfect {
        /// The file.
        path: PathBuf,
        /// The first broken rule.
        first: Violation,
        /// How many others there are.
        more: usize,
    },
    /// A name that no child can store, because Windows has no such names.
    OddName {
        /// The file.
        path: PathBuf,
    },
    /// A file in which Hyper-V tracks changes lies beside a disk.
    SideFile {
        /// The disk.
        path: PathBuf,
        /// The `.rct` or `.mrt` file.
        side_file: PathBuf,
    },
    /// Several files claim to have the same content.
    DuplicateGuid {
        /// The first of them, by path: the only one that reports it.
        path: PathBuf,
        /// The DataWriteGuid.
        guid: Uuid,
        /// The first of the others.
        others: Vec<PathBuf>,
        /// How many others there are.
        count: usize,
    },
    /// Several files that are not proven to be copies of each other could be the parent, and the stored paths do not say which.
    AmbiguousParent {
        /// The child.
        path: PathBuf,
        /// The first of the files.
        parents: Vec<PathBuf>,
        /// How many there are.
        count: usize,
    },
    /// The stored paths do not lead to the parent, so that the chain opens only with help.
    StalePath {
        /// The child.
        path: PathBuf,
        /// The parent.
        parent: PathBuf,
        /// Where the child says that it is.
        stored: Vec<StoredPath>,
    },
    /// No file in the forest is the parent.
    LostParent {
        /// The child.
        path: PathBuf,
        /// The DataWriteGuids of which the parent must have one.
        expected: Vec<Uuid>,
        /// Where the child says that it is.
        stored: Vec<StoredPath>,
        /// Disks of the same family that may stand in for the parent, the best first. None of them is the parent.
        substitutes: Vec<Substitute>,
    },
    /// A merge of a disk that stands, or stood, on this one was begun, and may be complete.
    Superseded {
        /// The lowest layer that was merged.
        path: PathBuf,
        /// The disk that was merged, if it is in the forest.
        merged: Option<PathBuf>,
        /// The one into which it was merged, if it is in the forest and was not used by itself since.
        target: Option<PathBuf>,
    },
    /// A merge of this disk was begun and is incomplete, or may be.
    MergeBegun {
        /// The disk.
        path: PathBuf,
        /// The one into which it is merged.
        target: PathBuf,
        /// Whether the files say that it is incomplete. Those of earlier versions do not tell.
        is_certain: bool,
    },
    /// A merge into this disk is incomplete, and the files that are merged are not in the forest.
    HalfMerged {
        /// The disk.
        path: PathBuf,
    },
    /// The lowest layer of a completed merge, which no disk needs any more.
    LeftOver {
        /// The layer.
        path: PathBuf,
        /// The files of the merge that are left, the merged disk first.
        layers: Vec<PathBuf>,
        /// The disk into which they were merged, if it is in the forest and was not changed since.
        target: Option<PathBuf>,
    },
    /// The parent lies outside of the folders that were searched.
    ParentElsewhere {
        /// The child.
        path: PathBuf,
        /// The parent.
        parent: PathBuf,
    },
    /// Child and parent count in different sectors.
    SectorSize {
        /// The child.
        path: PathBuf,
        /// The parent.
        parent: PathBuf,
        /// The child's logical sector size in bytes.
        child_size: u32,
        /// The parent's logical sector size in bytes.
        parent_size: u32,
    },
    /// A file is an ancestor of itself.
    Cycle {
        /// The file.
        path: PathBuf,
        /// What its parent would be.
        parent: PathBuf,
    },
    /// The chain from this file down is longer than any implementation accepts.
    TooDeep {
        /// The first file too many.
        path: PathBuf,
        /// How many files a chain may have.
        limit: usize,
    },
}

impl Problem {
    /// The file or folder that it is about.
    pub fn path(&self) -> &Path {
        match self {
            Problem::Unreadable { path, .. }
            | Problem::Damaged { path, .. }
            | Problem::OtherFormat { path, .. }
            | Problem::NotARegularFile { path }
            | Problem::Imperfect { path, .. }
            | Problem::OddName { path }
            | Problem::SideFile { path, .. }
            | Problem::DuplicateGuid { path, .. }
            | Problem::AmbiguousParent { path, .. }
            | Problem::StalePath { path, .. }
            | Problem::LostParent { path, .. }
            | Problem::Superseded { path, .. }
            | Problem::MergeBegun { path, .. }
            | Problem::HalfMerged { path }
            | Problem::LeftOver { path, .. }
            | Problem::ParentElsewhere { path, .. }
            | Problem::SectorSize { path, .. }
            | Problem::Cycle { path, .. }
            | Problem::TooDeep { path, .. } => path,
        }
    }

    /// What a person can do about it.
    pub fn fix(&self) -> String {
        match self {
            Problem::Unreadable { error, .. } => match io_kind(error) {
                Some(io::ErrorKind::PermissionDenied) => "search again with the permission to read it",
                Some(io::ErrorKind::NotFound) => "search again, and name what exists",
                _ => "remove the cause, and search again",
            }
            .to_owned(),
            Problem::Damaged { .. } => {
                "check the file, which tells what can still be done; if it is broken, restore it from a backup"
                    .to_owned()
            }
            Problem::OtherFormat { format, .. } => match format.is_packed() {
                true => "unpack it, and give the packed file another name",
                false => "rename the file by its format, or convert it",
            }
            .to_owned(),
            Problem::NotARegularFile { .. } => "nothing, if it is not meant to be a disk".to_owned(),
            Problem::Imperfect { .. } => {
                "check the file; it can be read, and a copy of it will be sound".to_owned()
            }
            Problem::OddName { .. } => "rename the file".to_owned(),
            Problem::SideFile { .. } => {
                "keep it as long as the disk is unchanged, and delete it after any change made offline"
                    .to_owned()
            }
            Problem::DuplicateGuid { .. } => {
                "compare the files; keep copies out of the folders in which parents are looked for".to_owned()
            }
            Problem::AmbiguousParent { .. } => {
                "reparent it to the right one, or name that when opening the chain".to_owned()
            }
            Problem::StalePath { parent, .. } => {
                format!(
                    "reparent it to {}, name that when opening the chain, or put it where the child looks for it",
                    Quoted(parent)
                )
            }
            Problem::LostParent { expected, .. } if expected.is_empty() => {
                "if the disk that was merged is still there, merge it again with --delete-merged, which cleans up; if it \
                 is gone, or that is refused because nothing proves the merge any more, and the disks in use open, delete \
                 what is left"
                    .to_owned()
            }
            Problem::LostParent { substitutes, .. } => substitutes::fix(substitutes),
            Problem::Superseded { merged: Some(merged), target: Some(target), .. } => complete(merged, target),
            Problem::Superseded { .. } => {
                "run that merge again; once it is complete and no virtual machine uses the merged files, delete them"
                    .to_owned()
            }
            Problem::MergeBegun { path, target, .. } => complete(path, target),
            Problem::HalfMerged { .. } => {
                "find the files that are merged into it, and run that merge again; until then do not use this disk"
                    .to_owned()
            }
            Problem::LeftOver { layers, target: Some(target), .. } => format!(
                "if no virtual machine uses these files, delete them, in this order: {}; do not delete {}",
                List(layers, layers.len()),
                Quoted(target)
            ),
            Problem::LeftOver { layers, target: None, .. } => format!(
                "find the disk into which they were merged. If it is lost, or was restored from an older backup, keep these \
                 files: they may be the only copy of their data. If it opens, and no virtual machine uses these files, delete \
                 them, in this order: {}",
                List(layers, layers.len())
            ),
            Problem::ParentElsewhere { parent, .. } => format!("search the folder of {} too", Quoted(parent)),
            Problem::SectorSize { .. } => "find the parent that the child was made from".to_owned(),
            Problem::Cycle { .. } => {
                "restore the files from a backup: their linkage is not what it was".to_owned()
            }
            Problem::TooDeep { .. } => "merge the chain below this file first".to_owned(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Unreadable { error, .. } => write!(f, "cannot be searched: {}", Bare(error)),
            Problem::Damaged { error, .. } => write!(f, "is not a readable VHDX: {}", Bare(error)),
            Problem::OtherFormat { format, .. } => {
                write!(f, "is called like a VHDX, but its content is that of {format}")
            }
            Problem::NotARegularFile { .. } => {
                f.write_str("is called like a disk, but is not a regular file")
            }
            Problem::Imperfect { first, more, .. } => {
                write!(f, "breaks a rule that is worked around: {first}")?;
                if *more > 0 { write!(f, "; and {more} more") } else { Ok(()) }
            }
            Problem::OddName { .. } => {
                f.write_str("has a name that Windows cannot store, so no child can name it")
            }
            Problem::SideFile { side_file, .. } => {
                write!(
                    f,
                    "has a side file, {}: it belongs to Hyper-V's change tracking of the disk of that name, and is stale \
                     after any offline change",
                    Quoted(side_file)
                )
            }
            Problem::DuplicateGuid { guid, others, count, .. } => {
                write!(
                    f,
                    "has the same DataWriteGuid, {guid}, as {}; one is usually a copy",
                    List(others, *count)
                )
            }
            Problem::AmbiguousParent { parents, count, .. } => {
                write!(
                    f,
                    "may belong to {}, which are not proven to be the same, and its stored paths lead to none of them",
                    List(parents, *count)
                )
            }
            Problem::StalePath { parent, stored, .. } => {
                write!(f, "does not find its parent {} by {}", Quoted(parent), Stored(stored))
            }
            Problem::LostParent { expected, stored, substitutes, .. } => {
                substitutes::describe(f, expected, &Stored(stored), substitutes)
            }
            Problem::Superseded { .. } => f.write_str(
                "was left by a merge that may be incomplete: it is read only below the disk that was merged",
            ),
            Problem::MergeBegun { target, is_certain, .. } => write!(
                f,
                "is being merged into {0}, and the merge {1} incomplete: until it is complete, the content of {0} may be a mix of \
                 old and new data",
                Quoted(target),
                if *is_certain { "is" } else { "may be" }
            ),
            Problem::HalfMerged { .. } => f.write_str(
                "is only partly merged: a merge into it is incomplete, and its content may be a mix of old and new data",
            ),
            Problem::LeftOver { target: Some(target), .. } => {
                write!(f, "is left over from a completed merge into {}, and no longer needed", Quoted(target))
            }
            Problem::LeftOver { target: None, .. } => f.write_str(
                "is left over from a completed merge into another disk, which was not found, was changed since, or was replaced",
            ),
            Problem::ParentElsewhere { parent, .. } => {
                write!(f, "has its parent {} outside of what was searched", Quoted(parent))
            }
            Problem::SectorSize { parent, child_size, parent_size, .. } => write!(
                f,
                "has logical sectors of {child_size} bytes, its parent {} of {parent_size}: they cannot be read together",
                Quoted(parent)
            ),
            Problem::Cycle { parent, .. } => {
                write!(f, "is its own ancestor: by DataWriteGuid its parent would be {}", Quoted(parent))
            }
            Problem::TooDeep { limit, .. } => {
                write!(f, "stands on a chain of {limit} files, the most that can be opened")
            }
        }
    }
}
