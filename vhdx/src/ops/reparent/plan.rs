//! What relinking a child will do.

use std::path::PathBuf;

use uuid::Uuid;

use super::parent_check::ParentCheck;
use crate::disk::locator::NewLink;
use crate::error::ChainError;
use crate::error::{Error, InvalidArgument, Result};
use crate::format::merge_guid::IncompleteMerge;
use crate::format::parent_locator::ParentLocator;
use crate::storage::FileIdentity;

/// What is asked of relinking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReparentOptions {
    /// Take the candidate for the parent although its DataWriteGuid is not the one that the child expects. If it is not the
    /// file that the child was made from, unchanged, then what the child does not hold itself reads as it never did.
    pub ignore_id_mismatch: bool,
}

/// A plan for pointing a child at its parent: a new parent locator, paths and linkages at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReparentPlan {
    /// The child.
    pub child: RelinkedFile,
    /// The parent.
    pub parent: RelinkedFile,
    /// The child's parent locator now.
    pub old: ParentLocator,
    /// What it will be. The same if the child points at its parent already: then nothing is written.
    pub new: ParentLocator,
    /// Whether the parent's DataWriteGuid is not one that the child expects.
    pub ignores_id_mismatch: bool,
}

/// A file, and the state in which the plan saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelinkedFile {
    /// The path that it was opened by.
    pub path: PathBuf,
    /// Which file that was.
    pub identity: Option<FileIdentity>,
    /// Identifies the content of the disk ([MS-VHDX] 2.2.2).
    pub data_write_guid: Uuid,
}

impl ReparentPlan {
    /// Plans to make the candidate the parent: `parent_linkage` becomes its DataWriteGuid, the relative path leads to it,
    /// and other paths stay only if they end in its name.
    ///
    /// `parent_linkage2` stays if `parent_linkage` does: it may prove that a merge, which was interrupted since, is
    /// complete. If the candidate was the parent by the second one, both stay: they say that a merge into the candidate was
    /// begun. But if it stands on a file that has the first one, the child was relinked to that file: a merge that is proven
    /// to be complete would leave the child to a file that it is done with, and the second one becomes zero, as in all other
    /// cases. If the child is a layer of a merge, both stay, unless a mismatch is to be ignored: a layer that requires a mark would
    /// be readable by itself otherwise, and its content may be a mix of old and new data.
    ///
    /// # Errors
    /// [`ChainError::Mismatch`] if the candidate is not what the child was made from, and that is not to be ignored;
    /// [`ChainError::Superseded`] instead if the child is what a merge has left behind;
    /// [`ChainError::HalfMerged`] if a merge of another disk into the candidate is incomplete;
    /// [`ChainError::SectorSize`], [`InvalidArgument::ParentWithoutGuid`], [`InvalidArgument::ParentPath`],
    /// [`InvalidArgument::ParentLocator`] and [`Error::Io`] always.
    pub fn new(check: &ParentCheck, options: &ReparentOptions) -> Result<Self> {
        let ParentCheck { child, candidate, locator, .. } = check;
        let (child_size, parent_size) = (child.logical_sector_size, candidate.logical_sector_size);
        let paths = || (child.path.clone(), candidate.path.clone());
        if child_size != parent_size {
            let (child, parent) = paths();
            return Err(ChainError::SectorSize { child, parent, child_size, parent_size }.into());
        }
        if candidate.data_write_guid.is_nil() {
            return Err(Error::from(InvalidArgument::ParentWithoutGuid).in_file(&candidate.path));
        }
        let layer = child.linkages().merge();
        let half_merged = IncompleteMerge::from_guid(candidate.data_write_guid);
        if half_merged.is_some_and(|merge| layer.is_none_or(|layer| layer.merge != merge)) {
            return Err(ChainError::half_merged(&candidate.path).into());
        }
        let is_layer = (layer.is_some() || child.requires_mark()) && !options.ignore_id_mismatch;
        if !check.fits() && child.requires_mark() && is_layer {
            let ((child, parent), is_complete) = (paths(), layer.is_some_and(|layer| layer.is_complete));
            return Err(ChainError::Superseded { child, parent, is_complete }.into());
        }
        if !check.fits() && !options.ignore_id_mismatch {
            let ((child, parent), found) = (paths(), candidate.data_write_guid);
            let (expected, damaged) = (check.expected.clone(), Vec::new());
            return Err(ChainError::Mismatch { child, parent, expected, found, damaged }.into());
        }
        let mut link = NewLink::new(&child.path, &candidate.path, candidate.data_write_guid);
        if let (true, Some(first), Some(second)) = (is_layer, child.linkage, child.linkage2) {
            (link.linkage, link.linkage2) = (first, second);
        } else if half_merged.is_some() {
            // In the first linkage, this GUID would require the mark again.
            (link.linkage, link.linkage2) = (Uuid::nil(), candidate.data_write_guid);
        } else if child.linkage == Some(candidate.data_write_guid) {
            link.linkage2 = child.linkage2.unwrap_or_default();
        } else if let (None, Some(first)) = (layer, check.linkage_before_merge()) {
            (link.linkage, link.linkage2) = (first, candidate.data_write_guid);
        }
        let file = |file: &crate::family::Relative| RelinkedFile {
            path: file.path.clone(),
            identity: file.identity,
            data_write_guid: file.data_write_guid,
        };
        Ok(Self {
            child: file(child),
            parent: file(candidate),
            old: locator.clone(),
            new: NewLink { old: Some(locator), ..link }.locator()?,
            ignores_id_mismatch: !check.fits(),
        })
    }

    /// Whether there is anything to write.
    pub fn changes_anything(&self) -> bool {
        self.old != self.new
    }
}
