//! Writes what changed over a raw target that holds the older disk.

use super::proof::{BaseProof, Proof};
use crate::disk::Chain;
use crate::error::{Bounded, Error, Result, in_memory};
use crate::ops::diff::{Piece, changed_ranges, copy_changed, within};
use crate::ops::sync_pacer::SyncPacer;
use crate::progress::Progress;
use crate::storage::{Buffer, Storage};
use crate::units::{DiskOffset, FileOffset, MIB};

/// Fewer zeros than this, in bytes, are written like data, because a call to zero a range waits for a device.
const ZEROED_BY_CALL: u64 = MIB;
/// The most bytes that one call zeroes. The operation can be cancelled between two calls.
const ZEROED_AT_ONCE: u64 = 64 * MIB;

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

/// Brings a raw target that holds `old` to `new`, by writing the ranges in which the disks may differ.
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
    progress: &dyn Progress,
) -> Result<UpdateReport> {
    let proof = Proof::new(old, new, target, proof)?;
    let mut changed_len = 0_u64;
    for range in within(changed_ranges(old, new)?, new.virtual_size()) {
        changed_len = changed_len.plus(range?.len)?;
    }
    progress.start(proof.len.plus(changed_len)?);
    proof.run(old, new, target, progress)?;
    old.ensure_unchanged()?;
    new.ensure_unchanged()?;
    let mut update = Update {
        target,
        progress,
        pace: SyncPacer::default(),
        zeros: Buffer::new(in_memory(ZEROED_BY_CALL)?),
        bytes_copied: 0,
        bytes_zeroed: 0,
    };
    let changed = within(changed_ranges(old, new)?, new.virtual_size());
    copy_changed(new, changed, progress, |piece| update.put(&piece))?;
    new.ensure_unchanged()?;
    let (bytes_copied, bytes_zeroed) = (update.bytes_copied, update.bytes_zeroed);
    target.sync().map_err(|error| Error::io("sync", None, error))?;
    let target_size = target.size().map_err(|error| Error::io("get its size", None, error))?;
    Ok(UpdateReport { bytes_verified: proof.len, bytes_copied, bytes_zeroed, target_size })
}

struct Update<'a> {
    target: &'a dyn Storage,
    progress: &'a dyn Progress,
    pace: SyncPacer,
    zeros: Buffer,
    bytes_copied: u64,
    bytes_zeroed: u64,
}

impl Update<'_> {
    fn put(&mut self, piece: &Piece<'_>) -> Result<()> {
        match piece {
            Piece::Bytes(start, bytes) => {
                write(self.target, &mut self.pace, *start, bytes)?;
                self.bytes_copied = self.bytes_copied.plus(bytes.len() as u64)?;
                Ok(())
            }
            Piece::Zeros(range) => self.zero(range.start, range.end),
        }
    }

    fn zero(&mut self, mut at: DiskOffset, end: DiskOffset) -> Result<()> {
        let by_call = end.minus(at)? >= ZEROED_BY_CALL;
        while at < end {
            if self.progress.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let len = end.minus(at)?.min(ZEROED_AT_ONCE);
            let offset = FileOffset::new(at.get());
            if by_call {
                let zeroed = self.target.zero_range(offset, len);
                zeroed.map_err(|error| Error::io("write zeros", offset, error))?;
            } else {
                write(self.target, &mut self.pace, at, &self.zeros[..in_memory(len)?])?;
            }
            self.bytes_zeroed = self.bytes_zeroed.plus(len)?;
            self.progress.advance(len);
            at = at.plus(len)?;
        }
        Ok(())
    }
}

fn write(target: &dyn Storage, pace: &mut SyncPacer, at: DiskOffset, bytes: &[u8]) -> Result<()> {
    let offset = FileOffset::new(at.get());
    target.write_all_at(bytes, offset).map_err(|error| Error::io("write", offset, error))?;
    pace.begin_sync(target, bytes.len() as u64)
}
