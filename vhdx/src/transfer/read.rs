//! Reads extents of one disk in several threads.

use super::announced::announced;
use super::any_order::in_any_order;
use super::batch::Batch;
use super::batches::{Batches, Zeros};
use super::in_order::in_order;
use super::jobs::{Jobs, Workers};
use crate::disk::Disk;
use crate::error::Result;
use crate::file::Extent;
use crate::progress::Progress;

/// Reads extents of a disk, and calls `consume` with each batch and its bytes, in order and in the caller's thread.
///
/// # Errors
/// The first error in the order of the disk: of the extents, of reading, or of `consume`;
/// [`Error::Cancelled`](crate::Error::Cancelled).
pub(crate) fn read_in_order(
    disk: &dyn Disk,
    extents: impl Iterator<Item = Result<Extent>> + Send,
    zeros: Zeros,
    jobs: Jobs,
    progress: &dyn Progress,
    mut consume: impl FnMut(&Batch<1>, &[u8]) -> Result<()>,
) -> Result<()> {
    let workers = Workers::new(jobs, &disk.hint(), 1);
    let read = |batch: Batch<1>, buffer: &mut [u8]| batch.read([disk], buffer).map(drop).map(|()| batch);
    let batches = announced(Batches::new(workers, extents, zeros), |batch: &Batch<1>| batch.announce([disk]));
    in_order(workers, batches, progress, read, |batch, buffer| consume(&batch, buffer))
}

/// Reads extents of a disk, and calls `consume` with each batch and its bytes, in any order and in several threads.
///
/// # Errors
/// As [`read_in_order`].
pub(crate) fn read_in_any_order(
    disk: &dyn Disk,
    extents: impl Iterator<Item = Result<Extent>> + Send,
    zeros: Zeros,
    jobs: Jobs,
    progress: &dyn Progress,
    consume: impl Fn(&Batch<1>, &[u8]) -> Result<()> + Sync,
) -> Result<()> {
    let workers = Workers::new(jobs, &disk.hint(), 1);
    let batches = announced(Batches::new(workers, extents, zeros), |batch: &Batch<1>| batch.announce([disk]));
    in_any_order(workers, batches, progress, |batch: Batch<1>, buffer: &mut [u8]| {
        let [bytes] = batch.read([disk], buffer)?;
        consume(&batch, bytes)
    })
}
