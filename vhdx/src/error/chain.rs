//! Displays the errors of chains: files that do not fit together, and merges that must not start.

mod access;
mod missing_parent;
mod text;

pub use access::ChainErrorKind;

use std::fmt;
use std::path::Path;

use self::missing_parent::{InChain, Unreadable, Unusable, Wanted};
use self::text::{AlsoDamaged, Copies, Dependents, Joined, LayerOfMerge, Must, Shown, Unfinished, WithGuid};
use super::{ChainFault, UnfinishedMerge};
use crate::quoted::Quoted;

impl fmt::Display for ChainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChainFault::MissingParent {
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
            ChainFault::AmbiguousParent { child, guid, parents } => write!(
                f,
                "{}: its parent is ambiguous: several files have the parent's DataWriteGuid {guid}, no \
                 stored path leads to one of them, and they are not proven to be copies of each other: {}",
                Quoted(child),
                Shown(parents)
            ),
            ChainFault::Mismatch { child, parent, expected, found, damaged } => write!(
                f,
                "{}: {} is not its parent, or was changed after the child was created: the DataWriteGuid of \
                 that file is {found}, but {}{}",
                Quoted(child),
                Quoted(parent),
                Must(expected),
                AlsoDamaged(damaged)
            ),
            ChainFault::Cycle { child, parent } => write!(
                f,
                "{}: its parent would be {}, which is already in this chain",
                Quoted(child),
                Quoted(parent)
            ),
            ChainFault::TooDeep { path, limit } => {
                write!(
                    f,
                    "{}: the chain has too many files: at most {limit} files are opened as one chain",
                    Quoted(path)
                )
            }
            ChainFault::SectorSize { child, parent, child_size, parent_size } => write!(
                f,
                "{}: its logical sector size is {child_size} bytes, but that of its parent {} is \
                 {parent_size} bytes",
                Quoted(child),
                Quoted(parent)
            ),
            ChainFault::TooManyParents { path, extra } => write!(
                f,
                "{}: this disk needs no parent, but {} was named as its parent",
                Quoted(path),
                Quoted(extra)
            ),
            ChainFault::NotAnAncestor { child, target } => {
                write!(f, "{}: {} is not one of its ancestors", Quoted(child), Quoted(target))
            }
            ChainFault::Unrelated { old, new, bases: [old_base, new_base], copies } => write!(
                f,
                "{} and {} share no file, so they are not two points in time of one disk: the base of the first is \
                 {}, that of the second is {}{}",
                Quoted(old),
                Quoted(new),
                WithGuid(old_base),
                WithGuid(new_base),
                Copies(copies)
            ),
            ChainFault::Reversed { old, new, levels } => write!(
                f,
                "{} is a descendant of {} ({levels} {}), so it is the newer disk",
                Quoted(old),
                Quoted(new),
                if *levels == 1 { "level" } else { "levels" }
            ),
            ChainFault::Siblings { old, new, ancestor } => write!(
                f,
                "{} is not an ancestor of {}: their nearest common ancestor is {}",
                Quoted(old),
                Quoted(new),
                Quoted(ancestor)
            ),
            ChainFault::OtherChildren { child, target, dependents, unfinished } => write!(
                f,
                "{} cannot be merged into {}, because other disks depend on the files that the merge would \
                 change: {}{}",
                Quoted(child),
                Quoted(target),
                Dependents(dependents),
                Unfinished(unfinished)
            ),
            ChainFault::LayerOfMerge { child, parent, is_complete } => {
                write!(f, "{}: {}", Quoted(child), LayerOfMerge { parent, is_complete: *is_complete })
            }
            ChainFault::HalfMerged { disk, unfinished, is_certain } => write!(
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
            ChainFault::DataPastEnd { child, target, bytes, size_before, size } => write!(
                f,
                "{child} cannot be merged into {target}, because {bytes} bytes of data would be lost. They are past \
                 the end of the virtual disk of {child}, in {target} or in a file between. The virtual disk of \
                 {child} has {size} bytes, that of {target} has {size_before} bytes",
                child = Quoted(child),
                target = Quoted(target)
            ),
            ChainFault::NoRoomForMetadata { path } => write!(
                f,
                "{} has no room for the metadata that it would get: the metadata items are too many or too long for a \
                 file",
                Quoted(path)
            ),
            ChainFault::UndeterminedFiles { child, undetermined } => write!(
                f,
                "{} cannot be merged, because these files or folders could not be read, and a disk that depends on \
                 the files of the merge may be among them: {}",
                Quoted(child),
                Joined(undetermined, ", ")
            ),
        }
    }
}

impl ChainFault {
    /// Returns the error for a disk that is the target of an incomplete merge, if nothing else of the merge is known.
    pub(crate) fn half_merged(disk: &Path) -> Self {
        let merge = UnfinishedMerge { layer: disk.to_owned(), merged: None, target: Some(disk.to_owned()) };
        ChainFault::HalfMerged { disk: disk.to_owned(), unfinished: vec![merge], is_certain: true }
    }

    /// Returns the file that cannot be opened or changed because of the error.
    pub(super) fn path(&self) -> &Path {
        match self {
            ChainFault::MissingParent { child: path, .. }
            | ChainFault::AmbiguousParent { child: path, .. }
            | ChainFault::Mismatch { child: path, .. }
            | ChainFault::Cycle { child: path, .. }
            | ChainFault::TooDeep { path, .. }
            | ChainFault::SectorSize { child: path, .. }
            | ChainFault::TooManyParents { path, .. }
            | ChainFault::NoRoomForMetadata { path }
            | ChainFault::NotAnAncestor { child: path, .. }
            | ChainFault::OtherChildren { child: path, .. }
            | ChainFault::LayerOfMerge { child: path, .. }
            | ChainFault::Unrelated { new: path, .. }
            | ChainFault::Reversed { new: path, .. }
            | ChainFault::Siblings { new: path, .. }
            | ChainFault::HalfMerged { disk: path, .. }
            | ChainFault::DataPastEnd { child: path, .. }
            | ChainFault::UndeterminedFiles { child: path, .. } => path,
        }
    }
}

#[cfg(test)]
mod tests;
