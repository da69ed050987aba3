//! Plans how a child is relinked.

use std::path::PathBuf;

use uuid::Uuid;

use super::parent_check::ParentCheck;
use crate::disk::locator::NewLink;
use crate::error::{ChainFault, Error, InvalidArgument, Result};
use crate::family::FileFacts;
use crate::format::merge_guid::MergeId;
use crate::format::parent_locator::ParentLocator;
use crate::storage::FileIdentity;

/// Options for relinking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReparentOptions {
    /// Accept a candidate although its DataWriteGuid is not one that the child expects.
    ///
    /// If the candidate is not the unchanged file that the child was made from, the disk reads wrong data wherever the
    /// child itself holds none.
    pub ignore_id_mismatch: bool,
}

/// A plan for linking a child to a parent, by a new parent locator with paths and linkages.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReparentPlan {
    pub(super) child: RelinkedFile,
    pub(super) parent: RelinkedFile,
    pub(super) old: ParentLocator,
    pub(super) new: ParentLocator,
    pub(super) ignores_id_mismatch: bool,
}

/// A file and its state when the plan was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct RelinkedFile {
    /// The path by which it was opened.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub path: PathBuf,
    /// The identity of the file.
    pub identity: Option<FileIdentity>,
    /// Identifies the content of the disk ([MS-VHDX] 2.2.2).
    pub data_write_guid: Uuid,
}

impl ReparentPlan {
    /// Returns the child.
    pub fn child(&self) -> &RelinkedFile {
        &self.child
    }

    /// Returns the parent.
    pub fn parent(&self) -> &RelinkedFile {
        &self.parent
    }

    /// Returns the present parent locator of the child.
    pub fn old_locator(&self) -> &ParentLocator {
        &self.old
    }

    /// Returns the new parent locator.
    ///
    /// If the child is linked to this parent already, it equals `old`, and nothing is written.
    pub fn new_locator(&self) -> &ParentLocator {
        &self.new
    }

    /// Returns whether the parent's DataWriteGuid is not one that the child expects.
    pub fn ignores_id_mismatch(&self) -> bool {
        self.ignores_id_mismatch
    }

    /// Plans to make the candidate the parent.
    ///
    /// `parent_linkage` becomes the DataWriteGuid of the candidate, the relative path leads to it, and other paths stay
    /// only if they end in its name. `parent_linkage2` becomes zero, except in these cases:
    /// - If `parent_linkage` stays, so does `parent_linkage2`. It may prove that a merge that was interrupted later is
    ///   complete.
    /// - If the candidate was the parent by `parent_linkage2`, both stay. They say that a merge into the candidate was
    ///   begun. But if the candidate descends from a file with the first GUID, the child was relinked to that file, and
    ///   `parent_linkage2` becomes zero. Otherwise the linkages would prove that a merge is complete, and the child
    ///   would stay linked to a file that the merge no longer needs.
    /// - If the child is a layer of a merge, both stay, unless a mismatch is to be ignored. Otherwise a layer that
    ///   requires a mark could be opened on its own, and its content may be a mix of old and new data.
    /// - If a mismatch is to be ignored for a layer of an incomplete merge into the candidate, `parent_linkage` becomes
    ///   zero and `parent_linkage2` the DataWriteGuid of the candidate.
    ///
    /// # Errors
    /// - [`Mismatch`](crate::ChainErrorKind::Mismatch) if the candidate is not the file that the child was made from,
    ///   unless that is to be ignored.
    /// - [`LayerOfMerge`](crate::ChainErrorKind::LayerOfMerge) instead if the child is a layer of a merge and requires
    ///   a mark.
    /// - [`HalfMerged`](crate::ChainErrorKind::HalfMerged) if a merge of another disk into the candidate is incomplete.
    /// - [`SectorSize`](crate::ChainErrorKind::SectorSize), [`InvalidArgument::ParentWithoutGuid`],
    ///   [`InvalidArgument::ParentPath`], [`NoRoomForMetadata`](crate::ChainErrorKind::NoRoomForMetadata) and
    ///   [`Error::Io`] in any case.
    pub fn new(check: &ParentCheck, options: &ReparentOptions) -> Result<Self> {
        let ParentCheck { child, candidate, locator, .. } = check;
        let (child_size, parent_size) = (child.logical_sector_size, candidate.logical_sector_size);
        let paths = || (child.path.clone(), candidate.path.clone());
        if child_size != parent_size {
            let (child, parent) = paths();
            return Err(ChainFault::SectorSize { child, parent, child_size, parent_size }.into());
        }
        if candidate.data_write_guid.is_nil() {
            return Err(Error::from(InvalidArgument::ParentWithoutGuid).in_file(&candidate.path));
        }
        let layer = child.linkages().merge();
        let half_merged = MergeId::from_guid(candidate.data_write_guid);
        if half_merged.is_some_and(|merge| layer.is_none_or(|layer| layer.merge != merge)) {
            return Err(ChainFault::half_merged(&candidate.path).into());
        }
        let is_layer = (layer.is_some() || child.requires_mark()) && !options.ignore_id_mismatch;
        if !check.fits() && child.requires_mark() && is_layer {
            let ((child, parent), is_complete) = (paths(), layer.is_some_and(|layer| layer.is_complete));
            return Err(ChainFault::LayerOfMerge { child, parent, is_complete }.into());
        }
        if !check.fits() && !options.ignore_id_mismatch {
            let ((child, parent), found) = (paths(), candidate.data_write_guid);
            let (expected, damaged) = (check.expected.clone(), Vec::new());
            return Err(ChainFault::Mismatch { child, parent, expected, found, damaged }.into());
        }
        let (linkage, linkage2) = check.new_linkages(is_layer);
        let no_room = |error| match error {
            Error::InvalidArgument(InvalidArgument::ParentLocator) => {
                ChainFault::NoRoomForMetadata { path: child.path.clone() }.into()
            }
            error => error,
        };
        let link = NewLink {
            linkage,
            linkage2,
            old: Some(locator),
            ..NewLink::new(&child.path, &candidate.path, candidate.data_write_guid)
        };
        Ok(Self {
            child: RelinkedFile::of(child),
            parent: RelinkedFile::of(candidate),
            old: locator.clone(),
            new: link.locator().map_err(no_room)?,
            ignores_id_mismatch: !check.fits(),
        })
    }

    /// Returns whether there is anything to write.
    pub fn changes_anything(&self) -> bool {
        self.old != self.new
    }
}

impl RelinkedFile {
    fn of(facts: &FileFacts) -> Self {
        Self { path: facts.path.clone(), identity: facts.identity, data_write_guid: facts.data_write_guid }
    }
}

impl ParentCheck {
    /// Returns the linkages that the child gets, as [`ReparentPlan::new`] defines them.
    ///
    /// `is_layer` is whether the child stays a layer of a merge.
    fn new_linkages(&self, is_layer: bool) -> (Uuid, Uuid) {
        let (child, candidate) = (&self.child, self.candidate.data_write_guid);
        if let (true, Some(first), Some(second)) = (is_layer, child.linkage, child.linkage2) {
            (first, second)
        } else if MergeId::from_guid(candidate).is_some() {
            // As the first linkage, this GUID would require the mark again.
            (Uuid::nil(), candidate)
        } else if child.linkage == Some(candidate) {
            match child.linkage2 {
                Some(second) => (candidate, second),
                None => (candidate, Uuid::nil()),
            }
        } else if let (None, Some(first)) = (child.linkages().merge(), self.linkage_before_merge()) {
            (first, candidate)
        } else {
            (candidate, Uuid::nil())
        }
    }
}
