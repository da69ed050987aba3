//! Executes a plan to flatten a chain.

use super::plan::{FlattenPlan, states};
use crate::disk::Chain;
use crate::error::{Conflict, Result};
use crate::ops::convert::{ConvertReport, write_vhdx};
use crate::progress::Progress;
use crate::storage::Storage;
use crate::transfer::Jobs;

impl FlattenPlan {
    /// Writes the new file into an empty storage. `progress` counts the bytes to copy.
    ///
    /// The new disk reads exactly as the chain does. When this returns, the file is complete and durable; before, it is
    /// not a VHDX.
    ///
    /// # Errors
    /// [`Conflict::StalePlan`] if the chain is not the one that was planned for,
    /// [`Conflict::DestinationExists`] if the storage is not empty, [`Error::Io`](crate::Error::Io) and
    /// [`Error::Corrupt`](crate::Error::Corrupt) from reading, as [`Chain::ensure_unchanged`] before the file becomes a
    /// VHDX, [`Error::Io`](crate::Error::Io) from the storage, [`Error::Cancelled`](crate::Error::Cancelled).
    pub fn execute(
        &self,
        chain: &Chain,
        storage: &dyn Storage,
        jobs: Jobs,
        progress: &dyn Progress,
    ) -> Result<ConvertReport> {
        if states(chain) != self.layers {
            return Err(Conflict::StalePlan.into());
        }
        progress.start(self.bytes_to_copy);
        write_vhdx(chain, &self.disk, storage, jobs, progress)
    }
}
