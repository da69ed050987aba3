//! Computes the batches of a merge one after another.
//!
//! A plan for a large disk has millions of blocks. So it does not store its batches, only what they depend on.
//! Planning computes all of them to count them, and execution computes them again, each before it is written. The
//! results are the same: the files are locked and unchanged, and a batch changes only blocks before those of the next.

use std::collections::BTreeMap;

use super::batch::{Batch, Batcher, Decided};
use super::block::{BlockAction, LayerCoverage, decide};
use super::options::{MergeOptions, Passes};
use super::space_count::SpaceCount;
use super::target::Target;
use super::touched::{Touched, TouchedBlock};
use crate::error::{Bounded, Conflict, Result};
use crate::file::{ResizePlan, Space, Vhdx, VhdxMut};
use crate::geometry::Geometry;
use crate::units::{DiskOffset, FileOffset};

/// What the batches depend on, besides the content of the files.
#[derive(Clone, Debug)]
pub(super) struct BatchInputs {
    /// The geometry of the target's disk at its largest.
    pub(super) geometry: Geometry,
    /// The virtual size of the merged disk, in bytes.
    pub(super) virtual_size: u64,
    /// The place that the session takes for a log, if the target has none that can be used.
    pub(super) new_log: Option<FileOffset>,
    /// How the target's disk grows before the first batch.
    pub(super) growth: Option<ResizePlan>,
    /// The free space of the target once it has its log and its disk has grown. It takes at most 16 MiB of memory.
    pub(super) space: Space,
    /// The length of the target's file by then, in bytes.
    pub(super) file_size: u64,
    /// Whether the host shares blocks between the files instead of copying them.
    pub(super) shares_blocks: bool,
    pub(super) options: MergeOptions,
}

/// Counts of the batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) batches: u64,
    /// The blocks of the target that have each action.
    pub(super) blocks: BTreeMap<BlockAction, u64>,
    /// How many bytes are read from the merged layers.
    pub(super) bytes_to_copy: u64,
    /// The pages of metadata that all transactions change.
    pub(super) pages: u64,
    /// The length of the target's file after the last batch, in bytes.
    pub(super) file_size: u64,
}

impl Totals {
    fn add(&mut self, batch: &Batch) {
        self.batches += 1;
        self.pages += batch.pages as u64;
        for block in &batch.blocks {
            *self.blocks.entry(block.action).or_default() += 1;
            self.bytes_to_copy += block.copied;
        }
    }
}

/// The batches, in order.
pub(super) struct Batches<'a> {
    inputs: &'a BatchInputs,
    touched: Touched<'a>,
    target: Target<'a>,
    batcher: Batcher<'a>,
    passes: Passes,
    totals: Totals,
}

impl<'a> Batches<'a> {
    /// `merged` are all layers except the target, leaf first.
    pub(super) fn new(inputs: &'a BatchInputs, merged: &'a [Vhdx]) -> Self {
        let BatchInputs { geometry, growth, space, file_size, shares_blocks, options, .. } = inputs;
        Self {
            inputs,
            touched: Touched::new(merged, *geometry),
            target: Target::new(growth.as_ref(), *geometry),
            batcher: Batcher::new(*geometry, space.clone(), *file_size, *options).sharing(*shares_blocks),
            passes: Passes::One,
            totals: Totals::default(),
        }
    }

    /// Counts the space that the batches take, if the layers are merged in these passes.
    pub(super) fn counting(self, count: SpaceCount<'a>, passes: Passes) -> Self {
        Self { batcher: self.batcher.counting(count), passes, ..self }
    }

    /// Returns the next batch, or `None` after the last one.
    ///
    /// `target` is as planned, or has grown and contains all batches before. The batches end after an error.
    pub(super) fn next(&mut self, target: &Vhdx) -> Result<Option<Batch>> {
        while let Some(block) = self.touched.next() {
            let block = match self.passes {
                Passes::One => block?,
                Passes::LevelByLevel => block?.with_zeros_as_data()?,
            };
            if let Some(batch) = self.add(target, &block)? {
                return Ok(Some(self.counted(batch)));
            }
        }
        Ok(self.batcher.close().map(|batch| self.counted(batch)))
    }

    /// Decides about a block, and returns the batch that is complete because of it.
    fn add(&mut self, target: &Vhdx, block: &TouchedBlock) -> Result<Option<Batch>> {
        let geometry = self.inputs.geometry;
        let before = self.target.before(target, block.index)?;
        let coverage = self.coverage(block)?;
        let bits = || self.target.bits(target, block.index, block.ranges.iter().cloned());
        let Some(action) = decide(target.disk_type(), before.state, &coverage, bits)? else {
            return Ok(None);
        };
        let has_bitmap = action == BlockAction::FillPart
            && self.target.has_bitmap(target, geometry.chunk_of(block.index))?;
        self.batcher.add(&Decided {
            block: block.index,
            action,
            before,
            copied: if action == BlockAction::Zero { 0 } else { coverage.data },
            long: block.long,
            zeroed: coverage.zeros,
            ranges: &block.ranges,
            has_bitmap,
        })
    }

    fn coverage(&self, block: &TouchedBlock) -> Result<LayerCoverage> {
        let geometry = self.inputs.geometry;
        let (start, end) = (geometry.block_start(block.index), geometry.block_end(block.index));
        let visible = end.min(DiskOffset::new(self.inputs.virtual_size)).minus(start)?;
        Ok(LayerCoverage {
            data: block.data,
            zeros: block.zeros,
            nothing: visible.minus(block.data)?.minus(block.zeros)?,
            cut_off: end.minus(start)?.minus(visible)?,
        })
    }

    fn counted(&mut self, batch: Batch) -> Batch {
        self.totals.add(&batch);
        batch
    }

    /// Returns the counts of all batches so far, and the space that they take if it is counted.
    pub(super) fn finish(self) -> (Totals, Option<SpaceCount<'a>>) {
        let totals = Totals { file_size: self.batcher.file_size(), ..self.totals };
        (totals, self.batcher.into_count())
    }
}

impl BatchInputs {
    /// Checks that the session has its log where the plan expects it, so that no batch is written over it.
    ///
    /// # Errors
    /// [`Conflict::StalePlan`] if it has not.
    pub(super) fn ensure_log_in_place(&self, target: &VhdxMut) -> Result<()> {
        match self.new_log.is_none_or(|place| place == target.vhdx().header().log_offset) {
            true => Ok(()),
            false => Err(Conflict::StalePlan.into()),
        }
    }

    /// Checks that the batches only use space that is free in the target.
    ///
    /// # Errors
    /// [`Conflict::StalePlan`] if they do not.
    pub(super) fn ensure_space_free(&self, target: &VhdxMut) -> Result<()> {
        if target.is_within(&self.space) { Ok(()) } else { Err(Conflict::StalePlan.into()) }
    }
}
