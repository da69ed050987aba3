//! Telling, without writing anything, that files of a merge are in use or cannot be written to.

use super::files::MergeFiles;
use super::locked::{Locked, open_as_planned};
use super::{AlreadyMerged, MergePlan};
use crate::error::Result;

impl MergePlan {
    /// Refuses a plan for which [`execute`](Self::execute) would find now that a file is locked, cannot be written to,
    /// or is not in the state that was planned for. Nothing is written.
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
