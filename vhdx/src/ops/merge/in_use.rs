//! Telling, without writing anything, that files of a merge are in use or cannot be written to.

use super::files::MergeFiles;
use super::locked::open_as_planned;
use super::{AlreadyMerged, FileState, MergePlan};
use crate::error::Result;

impl MergePlan {
    /// Refuses a plan for which [`execute`](Self::execute) would find now that a file is locked, cannot be written to,
    /// or is not in the state that was planned for.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn refuse_in_use(&self, files: &dyn MergeFiles) -> Result<()> {
        refuse(files, self.layers.iter().chain(&self.children).chain(&self.relinked))
    }
}

impl AlreadyMerged {
    /// As [`MergePlan::refuse_in_use`], for [`delete`](Self::delete).
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    pub fn refuse_in_use(&self, files: &dyn MergeFiles) -> Result<()> {
        refuse(files, self.layers.iter().chain(&self.relinked))
    }
}

fn refuse<'a>(files: &dyn MergeFiles, states: impl Iterator<Item = &'a FileState>) -> Result<()> {
    for state in states {
        open_as_planned(files, state)?;
    }
    Ok(())
}
