//! Executes a plan for a differencing disk with everything that changed since an ancestor.

use std::ops::Range;

use super::cover::{Cover, by_block};
use super::plan::{IncrementPlan, states};
use crate::disk::Chain;
use crate::error::{Bounded, Conflict, Result, in_memory};
use crate::file::ChildWriter;
use crate::geometry::Geometry;
use crate::ops::diff::{ChangedExtents, within};
use crate::ops::merge::FileState;
use crate::ops::sync_pacer::SyncPacer;
use crate::ops::zeros::nonzero_runs;
use crate::progress::Progress;
use crate::storage::Storage;
use crate::transfer::{Content, Jobs, Zeros, read_in_order};
use crate::units::{BlockIndex, DiskOffset};

/// The result of writing a differencing disk with everything that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct IncrementReport {
    /// The bytes of the disk that were written, with a few zeros between them. All other bytes are zeros that needed no
    /// writing, or come from the parent.
    pub bytes_copied: u64,
    /// The payload blocks that have a place in the file.
    pub blocks: u64,
    /// The length of the file in bytes.
    pub file_size: u64,
}

impl IncrementPlan {
    /// Writes the new file into an empty storage. `progress` counts the bytes to copy. Several threads read, and one
    /// writes.
    ///
    /// The new file reads as `new`, with `old` as its parent. When this returns, the file is complete and durable;
    /// before, it is not a VHDX.
    ///
    /// # Errors
    /// [`Conflict::StalePlan`] if the chains are not those that were planned for, [`Conflict::DestinationExists`] if
    /// the storage is not empty, [`Error::Io`](crate::Error::Io) and [`Error::Corrupt`](crate::Error::Corrupt) from
    /// reading, as [`Chain::ensure_unchanged`] before the file becomes a VHDX, [`Error::Io`](crate::Error::Io) from the
    /// storage, [`Error::Cancelled`](crate::Error::Cancelled).
    pub fn execute(
        &self,
        old: &Chain,
        new: &Chain,
        storage: &dyn Storage,
        jobs: Jobs,
        progress: &dyn Progress,
    ) -> Result<IncrementReport> {
        if states(new) != self.layers || FileState::of_layer(0, old.leaf()) != self.old {
            return Err(Conflict::StalePlan.into());
        }
        progress.start(self.bytes_to_copy());
        let geometry = self.disk.geometry()?;
        let mut increment = Increment {
            writer: ChildWriter::new(storage, &self.disk)?,
            geometry,
            cover: Cover::new(geometry)?,
            storage,
            pace: SyncPacer::default(),
            bytes_copied: 0,
        };
        let changed = within(ChangedExtents::new(old, new)?, new.virtual_size());
        read_in_order(new, changed, Zeros::Kept, jobs, progress, |batch, bytes| {
            for content in batch.contents(bytes) {
                let (start, content) = content?;
                increment.put(start, content)?;
            }
            progress.advance(batch.data());
            Ok(())
        })?;
        increment.leave()?;
        new.ensure_unchanged()?;
        old.ensure_unchanged()?;
        let bytes_copied = increment.bytes_copied;
        let written = increment.writer.finish()?;
        Ok(IncrementReport { bytes_copied, blocks: written.blocks, file_size: written.file_size })
    }
}

struct Increment<'a> {
    writer: ChildWriter<'a>,
    geometry: Geometry,
    /// The sectors of the current block.
    cover: Cover,
    storage: &'a dyn Storage,
    pace: SyncPacer,
    bytes_copied: u64,
}

impl Increment<'_> {
    fn put(&mut self, start: DiskOffset, content: Content<'_>) -> Result<()> {
        let (bytes, len) = match content {
            Content::Zeros(len) => (None, len),
            Content::Bytes(bytes) => (Some(bytes), bytes.len() as u64),
        };
        for (block, part) in by_block(self.geometry, start..start.plus(len)?) {
            self.add(block, &part)?;
            if let Some(bytes) = bytes {
                let (from, to) = (part.start.minus(start)?, part.end.minus(start)?);
                self.write(part.start, &bytes[in_memory(from)?..in_memory(to)?])?;
            }
        }
        Ok(())
    }

    /// Adds a part of a block to the sectors that the file holds.
    fn add(&mut self, block: BlockIndex, part: &Range<DiskOffset>) -> Result<()> {
        if self.cover.block() != Some(block) {
            self.leave()?;
            self.cover.begin(Some(block));
        }
        self.cover.add(part)
    }

    /// Writes what is not zero. The space of a new file reads as zeros.
    fn write(&mut self, start: DiskOffset, bytes: &[u8]) -> Result<()> {
        for run in nonzero_runs(bytes, start) {
            let len = run.len() as u64;
            self.writer.write(start.plus(run.start as u64)?, &bytes[run])?;
            self.bytes_copied = self.bytes_copied.plus(len)?;
            self.pace.begin_sync(self.storage, len)?;
        }
        Ok(())
    }

    /// Closes the current block, if there is one.
    fn leave(&mut self) -> Result<()> {
        if let Some(block) = self.cover.block() {
            self.writer.close(block, self.cover.present()?)?;
            self.cover.begin(None);
        }
        Ok(())
    }
}
