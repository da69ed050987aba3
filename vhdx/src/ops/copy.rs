//! Copies the data of a disk to a storage that needs no order, and leaves out zeros.

use std::sync::atomic::{AtomicU64, Ordering};

use super::ranges::whole;
use super::sync_pacer::SyncPacer;
use super::zeros::nonzero_runs;
use crate::disk::Disk;
use crate::error::{Bounded, Error, Result};
use crate::progress::Progress;
use crate::storage::Storage;
use crate::transfer::{Batch, Content, Jobs, Zeros, read_in_any_order};
use crate::units::{DiskOffset, FileOffset};

/// Copies everything that is not zero to the same offsets of `target`. `progress` counts the data.
///
/// Returns how many bytes were written.
pub(super) fn copy_nonzero(
    disk: &dyn Disk,
    target: &dyn Storage,
    jobs: Jobs,
    progress: &dyn Progress,
) -> Result<u64> {
    let (written, pace) = (AtomicU64::new(0), SyncPacer::default());
    let extents = disk.extents(whole(disk));
    read_in_any_order(disk, extents, Zeros::LeftOut, jobs, progress, |batch, bytes| {
        for (start, run) in nonzero(batch, bytes)? {
            write(target, &pace, start, run)?;
            // No disk has more bytes than fit.
            written.fetch_add(run.len() as u64, Ordering::Relaxed);
        }
        progress.advance(batch.data());
        Ok(())
    })?;
    Ok(written.into_inner())
}

/// Returns the runs of a batch that are not zero, and where they start on the disk.
pub(super) fn nonzero<'b>(batch: &Batch<1>, bytes: &'b [u8]) -> Result<Vec<(DiskOffset, &'b [u8])>> {
    let mut found = Vec::new();
    for content in batch.contents(bytes) {
        if let (start, Content::Bytes(bytes)) = content? {
            for run in nonzero_runs(bytes, start) {
                found.push((start.plus(run.start as u64)?, &bytes[run]));
            }
        }
    }
    Ok(found)
}

/// Writes bytes of the disk to the same offset of `target`.
pub(super) fn write(target: &dyn Storage, pace: &SyncPacer, at: DiskOffset, bytes: &[u8]) -> Result<()> {
    let offset = FileOffset::new(at.get());
    let turn = pace.turn();
    target.write_all_at(bytes, offset).map_err(|error| Error::io("write", offset, error))?;
    drop(turn);
    pace.begin_sync(target, bytes.len() as u64)
}
