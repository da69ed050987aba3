//! What a merge writes into parent locators and headers, so that the state of the merge can be read from the files.
//!
//! - The **target** has a DataWriteGuid of its own kind while the merge into it is incomplete, and another one once it is
//!   complete ([`merge_guid`](crate::format::merge_guid)).
//! - The **lowest merged layer** names the target by the first of these GUIDs in its `parent_linkage`. Its
//!   `parent_linkage2` is the target's GUID from before the merge until the content is complete, then the second one.
//! - The **merged disk** carries a mark in its `parent_linkage2`, if several levels are merged. The layers between it and
//!   the target hold older versions of data that the target has: they are read only below a disk with that mark.
//!
//! Earlier versions of this library wrote the mark itself into the lowest layer's `parent_linkage`. Such layers are read
//! as before; whether their merge is complete cannot be told from them.

use uuid::Uuid;

use crate::file::Vhdx;
use crate::format::merge_guid::{self, IncompleteMerge};
use crate::format::parent_locator::{MARK, ParentLocator, is_mark};

/// A new mark.
pub(crate) fn random() -> Uuid {
    Uuid::from_u128(MARK | (Uuid::new_v4().as_u128() & (u128::MAX >> 32)))
}

/// The mark that a layer requires: it is read only below a disk that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequiredMark {
    /// The mark itself.
    Exact(Uuid),
    /// The checksum of the mark.
    Checksum(u32),
}

impl RequiredMark {
    /// Whether this is the mark.
    pub(crate) fn is(self, mark: Uuid) -> bool {
        match self {
            RequiredMark::Exact(required) => required == mark,
            RequiredMark::Checksum(required) => is_mark(mark) && required == merge_guid::checksum(mark),
        }
    }
}

/// What the linkages of a layer say of merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Linkages {
    /// The `parent_linkage`.
    pub(crate) first: Option<Uuid>,
    /// The `parent_linkage2`.
    pub(crate) second: Option<Uuid>,
}

impl Linkages {
    /// Those of a file; none if it has no parent.
    pub(crate) fn of(vhdx: &Vhdx) -> Self {
        let locator = vhdx.parent_locator();
        Self {
            first: locator.and_then(ParentLocator::parent_linkage),
            second: locator.and_then(ParentLocator::parent_linkage2),
        }
    }

    /// The merge of which this is the lowest layer. Layers of earlier versions do not say.
    pub(crate) fn merge(self) -> Option<LowestLayer> {
        let merge = IncompleteMerge::from_guid(self.first?)?;
        Some(LowestLayer { merge, is_complete: self.second == Some(merge.complete_guid()) })
    }

    /// The mark that the layer requires.
    pub(crate) fn required_mark(self) -> Option<RequiredMark> {
        match self.merge() {
            Some(layer) => layer.merge.required_mark().map(RequiredMark::Checksum),
            None => self.first.filter(|&first| is_mark(first)).map(RequiredMark::Exact),
        }
    }

    /// The mark that the file carries for layers between it and a target.
    pub(crate) fn carried_mark(self) -> Option<Uuid> {
        self.second.filter(|&second| is_mark(second))
    }
}

/// The lowest layer of a merge says how far the merge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LowestLayer {
    /// The merge.
    pub(crate) merge: IncompleteMerge,
    /// Whether the target holds all content of the merged disk. Without a crash just then, the target says so, too.
    pub(crate) is_complete: bool,
}

impl LowestLayer {
    /// Whether the merge into a target with this DataWriteGuid is complete.
    pub(crate) fn is_complete_in(self, target: Uuid) -> bool {
        self.is_complete && target == self.merge.complete_guid()
    }
}

/// Which of two GUIDs of the target is the newer one: the first while a merge is incomplete, otherwise the second.
fn names_newer_first(linkages: Linkages) -> bool {
    linkages.merge().is_some_and(|layer| !layer.is_complete)
}

/// Whether the parent of a child is the file that its second linkage names, where each linkage names a file.
/// `have_same_parent`: whether these two files are bases, or name the same parents.
///
/// A merge changes its target and leaves what the target depends on. So two such files are the target and an old copy of it.
pub(crate) fn prefers_second(child: Linkages, have_same_parent: bool) -> bool {
    have_same_parent && !names_newer_first(child)
}

/// Whether the file is a target, and the merge into it is incomplete.
pub(crate) fn is_half_merged(vhdx: &Vhdx) -> bool {
    IncompleteMerge::from_guid(vhdx.data_write_guid()).is_some()
}

#[cfg(test)]
mod tests;
