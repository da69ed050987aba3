//! Reads a range of a disk for one worker.

use std::ops::Range;

use crate::disk::Disk;
use crate::error::{Bounded, Error, Guaranteed, Result};
use crate::progress::Progress;
use crate::transfer::{Batch, Batches, Content, Workers, Zeros};
use crate::units::DiskOffset;

/// Zeros to hash. They stay in a processor's cache.
pub(super) static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A disk that several workers read, each of them another range.
pub(super) struct Reader<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) workers: Workers,
    pub(super) progress: &'a dyn Progress,
}

impl Reader<'_> {
    /// Calls `put` for the whole content of `range`, in order. Returns how many bytes of it are data.
    ///
    /// The worker looks up the places of the bytes itself. So the memory of a large range is bounded by that of a batch.
    pub(super) fn each(
        &self,
        range: Range<DiskOffset>,
        buffer: &mut [u8],
        mut put: impl FnMut(Content<'_>) -> Result<()>,
    ) -> Result<u64> {
        let (mut at, mut data) = (range.start, 0u64);
        for batch in Batches::new(self.workers, self.disk.extents(range.clone()), Zeros::Kept) {
            if self.progress.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let batch: Batch<1> = batch?;
            let [bytes] = batch.read([self.disk], buffer)?;
            for content in batch.contents(bytes) {
                let (start, content) = content?;
                (start == at).then_some(()).guaranteed("the batches of a range have no gaps")?;
                at = at.plus(match content {
                    Content::Bytes(bytes) => bytes.len() as u64,
                    Content::Zeros(len) => len,
                })?;
                put(content)?;
            }
            data = data.plus(batch.data())?;
        }
        (at == range.end).then_some(data).guaranteed("the extents of a range cover it")
    }
}
