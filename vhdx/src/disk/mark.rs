//! Reads from linkages and DataWriteGuids whether a merge is complete, and which layers open only as ancestors.
//!
//! A merge writes its state into these files (with one level, the last two are the same file):
//!
//! - The **target** has a DataWriteGuid of one kind while the merge into it is incomplete, and of another kind once
//!   the merge is complete ([`merge_guid`](crate::format::merge_guid)).
//! - The **target's child** is the merged layer whose parent is the target. Its `parent_linkage` is the target's GUID of
//!   an incomplete merge. Its `parent_linkage2` is first the GUID that the target had before the merge, and then, once
//!   the target has all content, the target's GUID of the complete merge.
//! - The **merged disk** carries a mark in its `parent_linkage2` if several levels are merged. The layers between it
//!   and the target contain older versions of data that the target has. So they open only as ancestors of a disk with
//!   that mark.
//!
//! Earlier versions of this library wrote the mark itself into the `parent_linkage` of the target's child. Such layers
//! open as before, but do not say whether their merge is complete.

use uuid::Uuid;

use crate::file::Vhdx;
use crate::format::merge_guid::{self, MergeId};
use crate::format::parent_locator::{MARK, ParentLocator, is_mark};

/// Returns a new, random mark.
pub(crate) fn random() -> Uuid {
    Uuid::from_u128(MARK | (Uuid::new_v4().as_u128() & (u128::MAX >> 32)))
}

/// The mark that a layer requires: it opens only as an ancestor of a disk with this mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequiredMark {
    /// The mark itself.
    Exact(Uuid),
    /// The [checksum](merge_guid::checksum) of the mark.
    Checksum(u32),
}

impl RequiredMark {
    /// Returns whether `mark` is the required mark.
    pub(crate) fn is(self, mark: Uuid) -> bool {
        match self {
            RequiredMark::Exact(required) => required == mark,
            RequiredMark::Checksum(required) => is_mark(mark) && required == merge_guid::checksum(mark),
        }
    }
}

/// The two linkages of a file, and what they say about merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Linkages {
    /// The `parent_linkage`.
    pub(crate) first: Option<Uuid>,
    /// The `parent_linkage2`.
    pub(crate) second: Option<Uuid>,
}

impl Linkages {
    /// Returns the linkages of a file; both are `None` if it has no parent.
    pub(crate) fn of(vhdx: &Vhdx) -> Self {
        let locator = vhdx.parent_locator();
        Self {
            first: locator.and_then(ParentLocator::parent_linkage),
            second: locator.and_then(ParentLocator::parent_linkage2),
        }
    }

    /// Returns the merge into this file's parent that the linkages describe, if any.
    ///
    /// The linkages of merges by earlier versions describe none.
    pub(crate) fn merge(self) -> Option<TargetChild> {
        let merge = MergeId::from_guid(self.first?)?;
        Some(TargetChild { merge, is_complete: self.second == Some(merge.complete_guid()) })
    }

    /// Returns whether the file was relinked to the target when its former parent was merged.
    ///
    /// The second linkage then still names the former parent. Merges by earlier versions leave no such trace.
    pub(crate) fn is_relinked(self) -> bool {
        let both = self.first.zip(self.second);
        both.is_some_and(|(target, merged)| merge_guid::is_complete_merge_of(target, merged))
    }

    /// Returns the mark that the layer requires, if any.
    pub(crate) fn required_mark(self) -> Option<RequiredMark> {
        match self.merge() {
            Some(layer) => layer.merge.required_mark().map(RequiredMark::Checksum),
            None => self.first.filter(|&first| is_mark(first)).map(RequiredMark::Exact),
        }
    }

    /// Returns the mark that the file carries for the layers between it and a target, if any.
    pub(crate) fn carried_mark(self) -> Option<Uuid> {
        self.second.filter(|&second| is_mark(second))
    }
}

/// The state of a merge, as stored in the target's child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TargetChild {
    /// The merge.
    pub(crate) merge: MergeId,
    /// Whether the target has the whole content of the merged disk.
    ///
    /// The target's GUID says so one step later. The two files disagree only after a crash between these steps.
    pub(crate) is_complete: bool,
}

impl TargetChild {
    /// Returns whether the merge into a target with this DataWriteGuid is complete.
    pub(crate) fn is_complete_in(self, target: Uuid) -> bool {
        self.is_complete && target == self.merge.complete_guid()
    }
}

/// Returns whether `parent_linkage` has a newer GUID of the target than `parent_linkage2`, which is so only while a
/// merge is incomplete.
fn names_newer_first(linkages: Linkages) -> bool {
    linkages.merge().is_some_and(|layer| !layer.is_complete)
}

/// Returns which of two candidates is the parent, one for each linkage: `true` for that of `parent_linkage2`.
///
/// `have_same_parent` is whether both files are bases or name the same parents. If so, one is a merge target and the
/// other an old copy of it, because a merge does not change which parent its target has. The target is the parent.
pub(crate) fn prefers_second(child: Linkages, have_same_parent: bool) -> bool {
    have_same_parent && !names_newer_first(child)
}

/// Returns whether the file is the target of an incomplete merge.
pub(crate) fn is_half_merged(vhdx: &Vhdx) -> bool {
    MergeId::from_guid(vhdx.data_write_guid()).is_some()
}

#[cfg(test)]
mod tests;
