//! Plans a merge in place, from metadata alone.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use super::batch::{Batch, Batcher, Decided, Unwritten};
use super::block::{BitChange, BlockAction, BlockPlan, LayerCoverage, decide};
use super::items::{self, ItemChanges};
use super::needs::{self, Needs};
use super::past_end;
use super::pieces::{CopyPiece, pieces};
use super::relations::{self, Children};
use super::state::FileState;
use super::target::{Before, Target};
use super::touched::{Touched, TouchedBlock};
use super::unfinished::possible_merges_into;
use crate::disk::Chain;
use crate::error::{Conflict, InvalidArgument, Result, UnfinishedMerge};
use crate::family::{OtherFormat, Relatives};
use crate::file::{ResizePlan, Space, Vhdx, ensure_mergeable};
use crate::geometry::Geometry;
use crate::units::{BlockIndex, DiskOffset, FileOffset, MIB};

/// Options of a merge in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergeOptions {
    /// Whether to merge although undetermined files may depend on the target or a merged layer.
    ///
    /// Such a file then loses the data that it reads through them.
    pub ignore_undetermined: bool,
    /// Whether to delete the merged files when the merge is complete.
    pub delete_merged: bool,
    /// Whether to merge although data past the end of the merged disk is lost.
    ///
    /// There can be such data if the merged disk is smaller than the target's, or than a layer between them.
    pub shrink_target: bool,
    /// Whether to merge although the host may have too little free space.
    ///
    /// A merge that runs out of space stops, and can be run again.
    pub ignore_space: bool,
    /// The most bytes of blocks that a batch writes, unless a single block has more.
    ///
    /// A merge that is cancelled finishes its current batch first.
    pub batch_bytes: u64,
    /// The most 4 KiB pages of metadata that a batch changes, unless a single block changes more.
    ///
    /// A block changes at most 18 pages; one entry in a log of 1 MiB can hold 84.
    pub pages: usize,
}

impl Default for MergeOptions {
    fn default() -> Self {
        Self {
            ignore_undetermined: false,
            delete_merged: false,
            shrink_target: false,
            ignore_space: false,
            batch_bytes: 256 * MIB,
            pages: 84,
        }
    }
}

/// The number of passes in which the levels are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passes {
    One,
    /// One for each level.
    ///
    /// Such a plan is never executed; it only counts the most space that the last pass takes. By then, the lowest layer
    /// answers for the sectors of all layers, and may store zeros that these only declare.
    LevelByLevel,
}

/// A plan for merging a disk, and all layers between, into one of its ancestors: the target.
///
/// Afterwards the target reads as the disk does, and the disk's children have the target as their parent.
///
/// The plan is plain data. Its size depends on how many blocks of the target change, not on how scattered the changes
/// in them are: [`pieces`](Self::pieces) looks those up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MergePlan {
    /// The files of the merge, leaf first. The last one is the target, into which all others are merged.
    pub layers: Vec<FileState>,
    /// The children of the merged disk that are to be relinked to the target, in this order.
    pub children: Vec<FileState>,
    /// The children of the merged disk that an earlier run has relinked.
    pub relinked: Vec<FileState>,
    /// Layers left over from earlier, completed merges.
    ///
    /// No disk needs them. They no longer open once the target changes.
    pub left_over: Vec<FileState>,
    /// Whether an earlier run has copied everything.
    ///
    /// The lowest layer and the target say so, or a relinked child proves it.
    pub copied: bool,
    /// Whether the lowest layer stops naming the target at the end.
    ///
    /// Otherwise it would block later merges. This is only needed if an earlier version began the merge: its files do
    /// not say that the merge is complete.
    pub detach: bool,
    /// The indices of the layers that are deleted at the end, in this order.
    pub delete: Vec<usize>,
    /// The virtual size of the target at the end, in bytes: that of the merged disk.
    pub virtual_size: u64,
    /// The virtual size of the target now, in bytes.
    pub virtual_size_before: u64,
    /// How many bytes of data are lost because they lie past the merged disk's end.
    ///
    /// These are the data that the target's disk shows there, and the data that the layers between have there. Every
    /// sector that has a place in a file counts, whatever its content.
    pub bytes_dropped: u64,
    /// How the target's disk grows before the first batch.
    pub(crate) growth: Option<ResizePlan>,
    /// Whether the target's disk shrinks after the last batch.
    pub shrinks: bool,
    /// How the target's metadata items change after the last batch.
    pub items: ItemChanges,
    /// The writes to the target's blocks, in order.
    pub batches: Vec<Batch>,
    /// How many bytes are read from the merged layers: each byte once, from the newest layer that has it.
    pub bytes_to_copy: u64,
    /// The length of the target's file at the end, in bytes.
    pub file_size: u64,
    /// How many bytes the target's file grows by.
    pub growth_bytes: u64,
    /// How many bytes are written to existing parts of the target's file that may be holes.
    pub overwritten_bytes: u64,
    pub(super) unwritten: Unwritten,
    pub(super) needs: Needs,
    /// The merges of earlier versions into the merged disk that may be incomplete.
    pub unfinished: Vec<UnfinishedMerge>,
    /// The files and folders whose relation to the merge could not be determined, and why.
    pub undetermined: Vec<(PathBuf, String)>,
    /// The files in the searched folders that are named like a VHDX but have another format.
    ///
    /// They do not count as children.
    pub other_formats: Vec<OtherFormat>,
    /// The folders that were searched for children.
    pub folders: Vec<PathBuf>,
    /// The geometry of the target's disk at its largest.
    pub(super) geometry: Geometry,
}

impl MergePlan {
    /// Plans to merge the leaf of an open chain. [`prepare`](Self::prepare) also finds the relatives and the target.
    ///
    /// Children are searched for among `relatives`, which may include the files of the chain. Only metadata is read,
    /// and nothing is written.
    ///
    /// # Errors
    /// - [`InvalidArgument::MergeTarget`] if `target` is not the index of an ancestor of the leaf.
    /// - [`InvalidArgument::TooMuchMetadata`] and [`InvalidArgument::ParentLocator`] if a file has no room for its new
    ///   metadata.
    /// - [`ChainError::OtherChildren`](crate::ChainError::OtherChildren) if a disk outside the merge depends on the
    ///   target or on a layer between it and the leaf, or if a child of the leaf has a mark.
    /// - [`ChainError::UndeterminedFiles`](crate::ChainError::UndeterminedFiles) if an undetermined file may depend on
    ///   them, unless the options allow it.
    /// - [`ChainError::DataPastEnd`](crate::ChainError::DataPastEnd) if data past the leaf's end would be lost, unless
    ///   the options allow it.
    /// - [`ChainError::Superseded`](crate::ChainError::Superseded) if the target or one of its ancestors is a layer of
    ///   an earlier merge and requires a mark that a merged layer carries.
    /// - [`ChainError::HalfMerged`](crate::ChainError::HalfMerged) if another merge, into one of the merged layers, is
    ///   incomplete.
    /// - [`Error::Corrupt`](crate::Error::Corrupt) and [`Error::Unsupported`](crate::Error::Unsupported) for the first
    ///   violation in a block allocation table that is not tolerated, with the path.
    /// - [`Error::Io`](crate::Error::Io).
    #[doc(hidden)]
    pub fn new(chain: &Chain, target: usize, relatives: &Relatives, options: &MergeOptions) -> Result<Self> {
        Self::counting(chain, target, relatives, options, Passes::One)
    }

    /// As [`new`](Self::new). `passes` decides how the content and its space are counted.
    pub(super) fn counting(
        chain: &Chain,
        target: usize,
        relatives: &Relatives,
        options: &MergeOptions,
        passes: Passes,
    ) -> Result<Self> {
        let no_target = || InvalidArgument::MergeTarget { target, layers: chain.layers().len() };
        let layers = chain.layers().get(..=target).filter(|_| target > 0).ok_or_else(no_target)?;
        let (base, merged) = layers.split_last().ok_or_else(no_target)?;
        relations::ensure_none_half_merged(merged, relatives)?;
        let children = relations::find_children(layers, relatives)?;
        let changes_nothing = children.is_complete && !options.delete_merged;
        if !options.ignore_undetermined && !changes_nothing {
            relatives.ensure_all_determined(&FileState::of_layer(0, chain.leaf()).path)?;
        }
        relations::ensure_whole(chain.layers(), target)?;
        merged.first().into_iter().chain(merged.last()).try_for_each(items::ensure_linkages)?;
        merged.iter().try_for_each(ensure_mergeable)?;
        let space = Space::of_mergeable(base)?;
        let mut plan = Self::without_copying(layers, children, relatives)?;
        if options.delete_merged {
            plan.delete = (0..target).collect();
        }
        if !plan.copied {
            plan.bytes_dropped = past_end::bytes_past_end(chain.layers(), target)?;
            if !options.shrink_target {
                plan.ensure_nothing_dropped()?;
            }
            plan.add_copying(merged, base, space, options, passes)?;
        }
        plan.needs = Needs::of(&plan, layers, relatives, options, passes);
        Ok(plan)
    }

    fn without_copying(layers: &[Vhdx], children: Children, relatives: &Relatives) -> Result<Self> {
        let states: Vec<FileState> =
            layers.iter().enumerate().map(|(layer, vhdx)| FileState::of_layer(layer, vhdx)).collect();
        let base = layers.last().ok_or(InvalidArgument::NoLayers)?;
        Ok(Self {
            virtual_size: states.first().map_or(0, |leaf| leaf.virtual_size),
            virtual_size_before: base.virtual_size(),
            unfinished: states.first().map_or_else(Vec::new, |leaf| possible_merges_into(leaf, relatives)),
            bytes_dropped: 0,
            layers: states,
            copied: children.is_complete || !children.relinked.is_empty(),
            detach: !children.is_complete && !children.relinked.is_empty(),
            children: children.to_relink,
            relinked: children.relinked,
            left_over: children.left_over,
            delete: Vec::new(),
            growth: None,
            shrinks: false,
            items: ItemChanges::default(),
            batches: Vec::new(),
            bytes_to_copy: 0,
            file_size: base.replayed_len(),
            growth_bytes: 0,
            overwritten_bytes: 0,
            unwritten: Unwritten::default(),
            needs: Needs::default(),
            undetermined: relatives
                .undetermined
                .iter()
                .map(|file| (file.path.clone(), file.reason()))
                .collect(),
            other_formats: relatives.other_formats.clone(),
            folders: relatives.folders.clone(),
            geometry: base.geometry(),
        })
    }

    /// `base` is the target, and `space` its free space.
    fn add_copying(
        &mut self,
        merged: &[Vhdx],
        base: &Vhdx,
        mut space: Space,
        options: &MergeOptions,
        passes: Passes,
    ) -> Result<()> {
        let leaf = merged.first().ok_or(InvalidArgument::NoLayers)?;
        let log_end = reserve_log(base, &mut space)?;
        if self.virtual_size > base.virtual_size() {
            self.growth = Some(ResizePlan::new(base, &mut space, self.virtual_size)?);
        }
        self.shrinks = self.virtual_size < base.virtual_size();
        self.items = ItemChanges::new(leaf, base)?;

        let mut target = Target::new(base, self.growth.as_ref(), self.virtual_size)?;
        self.geometry = target.geometry();
        let begun = self.file_size.max(log_end).max(self.grown_size(base, &mut target)?);
        let mut batcher = Batcher::new(self.geometry, &mut space, base.holes(), begun, options);
        let mut bytes_to_copy = 0_u64;
        for block in Touched::new(merged, self.geometry) {
            let block = match passes {
                Passes::One => block?,
                Passes::LevelByLevel => block?.with_zeros_as_data(),
            };
            let before = target.before(block.index)?;
            let coverage = self.coverage(&block);
            let bits = || target.bits(block.index, block.ranges.iter().cloned());
            let Some(action) = decide(target.disk_type(), before.state, &coverage, bits)? else { continue };
            let has_bitmap =
                action == BlockAction::FillPart && target.has_bitmap(self.geometry.chunk_of(block.index))?;
            let copied = if action == BlockAction::Zero { 0 } else { coverage.data };
            bytes_to_copy = bytes_to_copy.saturating_add(copied);
            batcher.add(&Decided {
                block: block.index,
                action,
                before,
                copied,
                zeroed: coverage.zeros,
                ranges: &block.ranges,
                has_bitmap,
            })?;
        }
        let done = batcher.finish();
        self.growth_bytes = done.file_size.saturating_sub(self.file_size);
        self.file_size = done.file_size;
        let by_growth = |growth| needs::overwritten_by_growth(growth, base, self.geometry);
        self.overwritten_bytes = done.overwritten.saturating_add(self.growth.as_ref().map_or(0, by_growth));
        self.unwritten = done.unwritten;
        self.batches = done.batches;
        self.bytes_to_copy = bytes_to_copy;
        Ok(())
    }

    /// The length of the target's file once its disk has grown; 0 if the disk does not grow.
    fn grown_size(&self, base: &Vhdx, target: &mut Target<'_>) -> Result<u64> {
        let Some(growth) = &self.growth else { return Ok(0) };
        let ends = growth.places().map(|(place, len)| place.offset.saturating_add(len));
        // The file may have ended inside the unused tail of the old last block.
        let last = BlockIndex::new(base.geometry().block_count().saturating_sub(1));
        let Before { state, place } = target.before(last)?;
        let last = place.filter(|_| state.is_present()).map(|place| place.saturating_add(base.block_size()));
        Ok(ends.chain(last).max().map_or(0, FileOffset::get))
    }

    fn coverage(&self, block: &TouchedBlock) -> LayerCoverage {
        let (start, end) = (self.geometry.block_start(block.index), self.geometry.block_end(block.index));
        let visible = end.min(DiskOffset::new(self.virtual_size)).since(start);
        LayerCoverage {
            data: block.data,
            zeros: block.zeros,
            nothing: visible.saturating_sub(block.data).saturating_sub(block.zeros),
            cut_off: end.since(start).saturating_sub(visible),
        }
    }

    /// Returns the pieces that are written to a block of one of the batches, in disk order.
    ///
    /// `merged` are all layers except the target, leaf first. The iterator ends after an error.
    pub fn pieces<'a>(
        &self,
        merged: &'a [Vhdx],
        block: &BlockPlan,
    ) -> impl Iterator<Item = Result<CopyPiece>> + use<'a> {
        pieces(merged, self.geometry, self.virtual_size, block)
    }

    /// Returns the range of the block if all of its bits are written.
    ///
    /// Bits outside the pieces of the block are cleared then. `None` if only bits of its pieces change.
    pub fn cleared_bits(&self, block: &BlockPlan) -> Option<Range<DiskOffset>> {
        let start = self.geometry.block_start(block.block);
        let whole = start..start.saturating_add(self.geometry.block_size());
        (block.bits() == BitChange::Replace).then_some(whole)
    }

    /// Checks that `layers`, leaf first, are the plan's files in the state that was planned for.
    ///
    /// # Errors
    /// [`Conflict::StalePlan`] if they are not.
    pub fn validate_state(&self, layers: &[Vhdx]) -> Result<()> {
        let fits = layers.len() == self.layers.len()
            && self.layers.iter().zip(layers).all(|(state, vhdx)| state.fits(vhdx));
        if fits { Ok(()) } else { Err(Conflict::StalePlan.into()) }
    }

    /// Returns whether an earlier run has merged everything.
    ///
    /// At most, the layers remain to be deleted.
    pub fn is_merged(&self) -> bool {
        self.copied && self.children.is_empty() && !self.detach
    }

    /// Returns whether nothing remains to be done, not even a deletion.
    pub fn is_done(&self) -> bool {
        self.is_merged() && self.delete.is_empty()
    }

    /// Returns how many blocks of the target have each action.
    pub fn block_counts(&self) -> BTreeMap<BlockAction, u64> {
        let mut counts = BTreeMap::new();
        for block in self.batches.iter().flat_map(|batch| &batch.blocks) {
            *counts.entry(block.action).or_default() += 1;
        }
        counts
    }
}

/// Reserves a place for a new log, if the target has none that can be used.
///
/// Returns the end of the place, or 0.
///
/// A session of such a target takes a place for a log before it writes anything else.
fn reserve_log(target: &Vhdx, space: &mut Space) -> Result<u64> {
    if target.place_of_log().is_some() {
        return Ok(0);
    }
    Ok(space.allocate(MIB)?.offset.saturating_add(MIB).get())
}

#[cfg(test)]
mod tests;
