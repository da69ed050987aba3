//! Checks, without writing anything, that the files of a merge are not in use and can be written to.

use super::files::MergeFiles;
use super::locked::{Locked, open_as_planned};
use super::{AlreadyMerged, MergePlan};
use crate::error::Result;

impl MergePlan {
    /// Checks that no file of the plan is locked, read-only or changed.
    ///
    /// [`execute`](Self::execute) would return an error for such a file. Nothing is written.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn ensure_not_in_use(&self, files: &dyn MergeFiles) -> Result<()> {
        Locked::open(self, files).map(drop)
    }
}

impl AlreadyMerged {
    /// As [`MergePlan::ensure_not_in_use`], for [`delete`](Self::delete).
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    pub fn ensure_not_in_use(&self, files: &dyn MergeFiles) -> Result<()> {
        for state in self.layers.iter().chain(&self.relinked) {
            open_as_planned(files, state)?;
        }
        Ok(())
    }
}
