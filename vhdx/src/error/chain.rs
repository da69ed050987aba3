//! Displays the errors of chains: files that do not fit together, and merges that must not start.

mod missing_parent;
mod text;

use std::fmt;
use std::path::Path;

use self::missing_parent::{InChain, Unreadable, Unusable, Wanted};
use self::text::{AlsoDamaged, InTheWay, Joined, LayerOfMerge, Must, Shown, Unfinished};
use super::{ChainError, UnfinishedMerge};
use crate::quoted::Quoted;

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChainError::MissingParent {
                child,
                expected,
                names,
                looked_for,
                folders,
                searched,
                in_chain,
                unusable,
                unreadable,
            } => write!(
                f,
                "{}: its parent is missing: {}{}{}{}",
                Quoted(child),
                Wanted { expected, names, looked_for, folders, searched },
                InChain(in_chain),
                Unusable(unusable),
                Unreadable(unreadable)
            ),
            ChainError::AmbiguousParent { child, guid, parents } => write!(
                f,
                "{}: its parent is ambiguous: several files have the parent's DataWriteGuid {guid}, no \
                 stored path leads to one of them, and they are not proven to be copies of each other: {}",
                Quoted(child),
                Shown(parents)
            ),
            ChainError::Mismatch { child, parent, expected, found, damaged } => write!(
                f,
                "{}: {} is not its parent, or was changed after the child was created: the DataWriteGuid of \
                 that file is {found}, but {}{}",
                Quoted(child),
                Quoted(parent),
                Must(expected),
                AlsoDamaged(damaged)
            ),
            ChainError::Cycle { child, parent } => write!(
                f,
                "{}: its parent would be {}, which is already in this chain",
                Quoted(child),
                Quoted(parent)
            ),
            ChainError::TooDeep { path, limit } => {
                write!(
                    f,
                    "{}: the chain has too many files: at most {limit} files are opened as one chain",
                    Quoted(path)
                )
            }
            ChainError::SectorSize { child, parent, child_size, parent_size } => write!(
                f,
                "{}: its logical sector size is {child_size} bytes, but that of its parent {} is \
                 {parent_size} bytes",
                Quoted(child),
                Quoted(parent)
            ),
            ChainError::TooManyParents { path, extra } => write!(
                f,
                "{}: this disk needs no parent, but {} was named as its parent",
                Quoted(path),
                Quoted(extra)
            ),
            ChainError::NotAnAncestor { child, target } => {
                write!(f, "{}: {} is not one of its ancestors", Quoted(child), Quoted(target))
            }
            ChainError::OtherChildren { child, target, dependents, unfinished } => write!(
                f,
                "{} cannot be merged into {}, because other disks depend on the files that the merge would \
                 change: {}{}",
                Quoted(child),
                Quoted(target),
                InTheWay(dependents),
                Unfinished(unfinished)
            ),
            ChainError::LayerOfMerge { child, parent, is_complete } => {
                write!(f, "{}: {}", Quoted(child), LayerOfMerge { parent, is_complete: *is_complete })
            }
            ChainError::HalfMerged { disk, unfinished, is_certain } => write!(
                f,
                "{}: {}, so its content may be a mix of old and new data{}",
                Quoted(disk),
                if *is_certain {
                    "a merge into it is incomplete"
                } else {
                    "a merge into it was started and may be incomplete"
                },
                Unfinished(unfinished)
            ),
            ChainError::DataPastEnd { child, target, bytes, size_before, size } => write!(
                f,
                "{child} cannot be merged into {target}, because {bytes} bytes of data would be lost. They are past \
                 the end of the virtual disk of {child}, in {target} or in a file between. The virtual disk of \
                 {child} has {size} bytes, that of {target} has {size_before} bytes",
                child = Quoted(child),
                target = Quoted(target)
            ),
            ChainError::UndeterminedFiles { child, undetermined } => write!(
                f,
                "{} cannot be merged, because these files or folders could not be read, and a disk that depends on \
                 the files of the merge may be among them: {}",
                Quoted(child),
                Joined(undetermined, ", ")
            ),
        }
    }
}

impl std::error::Error for ChainError {}

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
            | ChainError::LayerOfMerge { child: path, .. }
            | ChainError::HalfMerged { disk: path, .. }
            | ChainError::DataPastEnd { child: path, .. }
            | ChainError::UndeterminedFiles { child: path, .. } => path,
        }
    }
}

#[cfg(test)]
mod tests;
