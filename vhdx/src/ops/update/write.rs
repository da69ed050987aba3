//! Writes what changed over a raw target that holds the older disk.

use super::proof::{BaseProof, Proof};
use crate::disk::Chain;
use crate::error::{Bounded, Error, Result};
use crate::ops::diff::{ChangedExtents, within};
use crate::ops::overwrite::write_extents;
use crate::ops::ranges::sum;
use crate::progress::Progress;
use crate::storage::Storage;
use crate::transfer::Jobs;

/// The result of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct UpdateReport {
    /// The bytes that were compared with the disks before anything was written.
    pub bytes_verified: u64,
    /// The bytes that were written as data.
    pub bytes_copied: u64,
    /// The bytes that were made zeros.
    pub bytes_zeroed: u64,
    /// The length of the target in bytes. Its content past the end of the newer disk is unchanged.
    pub target_size: u64,
}

/// Updates a raw target from `old`, which it holds, to `new`: writes the ranges in which the disks may differ.
///
/// First, the target is compared with the disks, as [`ensure_holds_base`](super::ensure_holds_base) does; if it does
/// not hold `old`, nothing is written. Then every byte of each changed range is set, up to the end of `new`. The target
/// keeps its length, and its content past the end of `new`. When this returns, the content is durable.
///
/// After an error, a cancellation or a power failure, the target is partly updated. The same call, with the same disks,
/// then completes the update. `progress` counts the compared and the changed bytes.
///
/// # Errors
/// Those of [`ensure_holds_base`](super::ensure_holds_base) before anything is written, those of reading `new`, as
/// [`Chain::ensure_unchanged`] before and after everything is written, [`Error::Io`] from the target,
/// [`Error::Cancelled`].
pub fn update_raw(
    old: &Chain,
    new: &Chain,
    target: &dyn Storage,
    proof: BaseProof,
    jobs: Jobs,
    progress: &dyn Progress,
) -> Result<UpdateReport> {
    let proof = Proof::new(old, new, target, proof, progress)?;
    let changed = within(ChangedExtents::new(old, new)?, new.virtual_size());
    let changed_len = sum(changed.map(|extent| extent.map(|extent| extent.len)), progress)?;
    progress.start(proof.len.plus(changed_len)?);
    proof.run(old, new, target, jobs, progress)?;
    old.ensure_unchanged()?;
    new.ensure_unchanged()?;
    let changed = within(ChangedExtents::new(old, new)?, new.virtual_size());
    let (bytes_copied, bytes_zeroed) = write_extents(new, changed, target, jobs, progress)?;
    old.ensure_unchanged()?;
    new.ensure_unchanged()?;
    target.sync().map_err(|error| Error::io("sync", None, error))?;
    let target_size = target.size().map_err(|error| Error::io("get its size", None, error))?;
    Ok(UpdateReport { bytes_verified: proof.len, bytes_copied, bytes_zeroed, target_size })
}
