//! Checks, without writing anything, that the files of a merge are not in use and can be changed.

use super::files::MergeFiles;
use super::locked::{Locked, open_as_planned};
use super::{AlreadyMerged, MergePlan};
use crate::error::Result;

impl MergePlan {
    /// Checks that no file of the plan is locked, read-only or changed, and that each child can store the target's path.
    ///
    /// [`execute`](Self::execute) would return an error for such a file. Nothing is written.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn ensure_not_in_use(&self, files: &dyn MergeFiles) -> Result<()> {
        self.ensure_locators_fit(&Locked::open(self, files)?)
    }

    /// Like [`ensure_not_in_use`](Self::ensure_not_in_use), but does not compare the layers with the plan.
    ///
    /// For layers that were just planned.
    pub(in crate::ops) fn ensure_not_locked(&self, files: &dyn MergeFiles) -> Result<()> {
        self.ensure_locators_fit(&Locked::open_unread(self, files)?)
    }

    fn ensure_locators_fit(&self, locked: &Locked) -> Result<()> {
        // Every GUID has the same length.
        locked.locators(self, self.target().data_write_guid).map(drop)
    }
}

impl AlreadyMerged {
    /// As [`MergePlan::ensure_not_in_use`], for [`delete`](Self::delete).
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    pub fn ensure_not_in_use(&self, files: &dyn MergeFiles) -> Result<()> {
        for state in self.layers().iter().chain(self.targets()).chain(self.relinked()) {
            open_as_planned(files, state)?;
        }
        Ok(())
    }
}
