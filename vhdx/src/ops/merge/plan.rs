//! What a merge in place will do, read from metadata alone.

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
use crate::disk::Chain;
use crate::error::{InvalidArgument, Result};
use crate::family::{OtherFormat, Relatives};
use crate::file::{ResizePlan, Space, Vhdx, ensure_mergeable};
use crate::geometry::Geometry;
use crate::units::{BlockIndex, DiskOffset, FileOffset, MIB};

/// What is asked of a merge in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergeOptions {
    /// Whether to merge although something among the relatives may be a disk, and cannot be judged: if it is one that
    /// needs what changes, its content is lost.
    pub ignore_undetermined: bool,
    /// Whether the merged files are deleted in the end.
    pub delete_merged: bool,
    /// Whether to merge a disk that is smaller than the target's, or than a layer between, although data that lies past
    /// its end is lost.
    pub shrink_target: bool,
    /// Whether to merge where the host may have too little space. A merge that finds none left stops, and can be run
    /// again.
    pub ignore_space: bool,
    /// How many bytes of blocks a batch has at most, unless a single block has more. A merge that is cancelled ends
    /// with a batch.
    pub batch_bytes: u64,
    /// How many 4 KiB pages of metadata a batch changes at most, unless a single block, which needs 18 of them at
    /// most, changes more. A log of 1 MiB can take 84.
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

/// In how many passes the levels are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passes {
    One,
    /// One for each level. The plan counts what the last of them takes at most and is not carried out: the lowest merged
    /// layer answers for the sectors of all layers by then, and may store zeros that these only declare.
    LevelByLevel,
}

/// A plan for merging a disk into one of its ancestors, together with all layers between them: afterwards the ancestor,
/// the target, reads as the disk does, and so do the disk's children, whose parent the target is then.
///
/// It is plain data. Its size depends on how many blocks of the target change, not on how scattered the changes in
/// them are: [`pieces`](Self::pieces) looks those up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MergePlan {
    /// The files of the merge, leaf first. The last one is the target, into which all others are merged.
    pub layers: Vec<FileState>,
    /// The children of the leaf that are to be relinked to the target, one after the other.
    pub children: Vec<FileState>,
    /// The children of the leaf that an earlier run has relinked.
    pub relinked: Vec<FileState>,
    /// Layers of earlier, completed merges, which no disk needs any more. They do not open once the target changes.
    pub left_over: Vec<FileState>,
    /// Whether an earlier run has copied everything: the lowest merged layer and the target say so, or a child that was
    /// relinked proves it.
    pub copied: bool,
    /// Whether the lowest merged layer stops naming the target in the end, so that it is not in the way of later merges.
    /// Only where a run of an earlier version has left it, which does not say that the merge is complete.
    pub detach: bool,
    /// The layers that are deleted in the end, in this order.
    pub delete: Vec<usize>,
    /// The size that the target's disk has in the end, in bytes: the leaf's.
    pub virtual_size: u64,
    /// The size that the target's disk has now, in bytes.
    pub virtual_size_before: u64,
    /// How many bytes of data lie past the leaf's end and are lost: what the target's disk shows there, and what the
    /// layers between have there. Counted by sectors that have a place in a file, whatever is in them.
    pub bytes_dropped: u64,
    /// How the target grows before the first batch.
    pub(crate) growth: Option<ResizePlan>,
    /// Whether the target's disk shrinks after the last batch.
    pub shrinks: bool,
    /// How the target's metadata changes after the last batch.
    pub items: ItemChanges,
    /// What is written to the blocks of the target.
    pub batches: Vec<Batch>,
    /// How many bytes are read from the merged layers: each byte once, from the newest layer that has it.
    pub bytes_to_copy: u64,
    /// The length in bytes that the target's file has in the end.
    pub file_size: u64,
    /// How many bytes the target's file grows by.
    pub growth_bytes: u64,
    /// How many bytes are written where the target's file is already, and may have holes.
    pub overwritten_bytes: u64,
    pub(super) unwritten: Unwritten,
    pub(super) needs: Needs,
    /// What could not be judged in the folders where children were looked for, and why.
    pub undetermined: Vec<(PathBuf, String)>,
    /// The files in these folders that are called like a VHDX, but are of another format, and so were not taken for
    /// children.
    pub other_formats: Vec<OtherFormat>,
    /// The folders where children were looked for.
    pub folders: Vec<PathBuf>,
    /// Of the target's disk, as large as it ever is.
    pub(super) geometry: Geometry,
}

impl MergePlan {
    /// Plans to merge the leaf of a chain, and all layers below it down to the one before `target`, into layer
    /// `target`. `relatives` are the disks among which children are looked for; the files of the chain may be among
    /// them. Only metadata is read, and nothing written.
    ///
    /// # Errors
    /// [`InvalidArgument::MergeTarget`] when `target` is not a layer below the leaf;
    /// [`InvalidArgument::TooMuchMetadata`] and [`InvalidArgument::ParentLocator`] when a file has no room for the
    /// metadata that it is to get; [`ChainError::OtherChildren`](crate::ChainError::OtherChildren) when a disk outside the
    /// merge depends on the target or on a layer below the leaf,
    /// [`ChainError::UndeterminedFiles`](crate::ChainError::UndeterminedFiles) when one that cannot be judged may;
    /// [`ChainError::DataPastEnd`](crate::ChainError::DataPastEnd) when data past the leaf's end would be lost, unless
    /// the options allow it;
    /// [`ChainError::Superseded`](crate::ChainError::Superseded) when an earlier merge, further down, needs one of the layers;
    /// [`ChainError::HalfMerged`](crate::ChainError::HalfMerged) when another merge, into one of the merged layers, is
    /// incomplete;
    /// [`Error::Corrupt`](crate::Error::Corrupt) for the first broken rule about a block allocation table that is not
    /// tolerated, with the path; [`Error::Io`](crate::Error::Io).
    pub fn new(chain: &Chain, target: usize, relatives: &Relatives, options: &MergeOptions) -> Result<Self> {
        Self::counting(chain, target, relatives, options, Passes::One)
    }

    /// As [`new`](Self::new).
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

    /// `space` is the base's.
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
            let says = self.says(&block);
            let bits = || target.bits(block.index, block.ranges.iter().cloned());
            let Some(action) = decide(target.disk_type(), before.state, &says, bits)? else { continue };
            let has_bitmap =
                action == BlockAction::FillPart && target.has_bitmap(self.geometry.chunk_of(block.index))?;
            let copied = if action == BlockAction::Zero { 0 } else { says.data };
            bytes_to_copy = bytes_to_copy.saturating_add(copied);
            batcher.add(&Decided {
                block: block.index,
                action,
                before,
                copied,
                zeroed: says.zeros,
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

    /// How long the target's file is once its disk has grown; 0 if it does not grow.
    fn grown_size(&self, base: &Vhdx, target: &mut Target<'_>) -> Result<u64> {
        let Some(growth) = &self.growth else { return Ok(0) };
        let ends = growth.places().map(|(place, len)| place.offset.saturating_add(len));
        // The unused tail of the last block may have been missing from the file.
        let last = BlockIndex::new(base.geometry().block_count().saturating_sub(1));
        let Before { state, place } = target.before(last)?;
        let last = place.filter(|_| state.is_present()).map(|place| place.saturating_add(base.block_size()));
        Ok(ends.chain(last).max().map_or(0, FileOffset::get))
    }

    fn says(&self, block: &TouchedBlock) -> LayerCoverage {
        let (start, end) = (self.geometry.block_start(block.index), self.geometry.block_end(block.index));
        let visible = end.min(DiskOffset::new(self.virtual_size)).since(start);
        LayerCoverage {
            data: block.data,
            zeros: block.zeros,
            nothing: visible.saturating_sub(block.data).saturating_sub(block.zeros),
            cut_off: end.since(start).saturating_sub(visible),
        }
    }

    /// What is written to a block of one of the batches, piece by piece in the order of the disk; `merged` are all
    /// layers but the target, leaf first. Ends after an error.
    pub fn pieces<'a>(
        &self,
        merged: &'a [Vhdx],
        block: &BlockPlan,
    ) -> impl Iterator<Item = Result<CopyPiece>> + use<'a> {
        pieces(merged, self.geometry, self.virtual_size, block)
    }

    /// The sectors of a block of one of the batches whose bits are written: all of them, or none where those that
    /// change are those of its pieces.
    pub fn cleared_bits(&self, block: &BlockPlan) -> Option<Range<DiskOffset>> {
        let start = self.geometry.block_start(block.block);
        let whole = start..start.saturating_add(self.geometry.block_size());
        (block.bits() == BitChange::Replace).then_some(whole)
    }

    /// Refuses files that are not those, or not in the state, that the plan was made for: `layers` are to be the
    /// plan's, leaf first, and the target last.
    ///
    /// # Errors
    /// [`InvalidArgument::StalePlan`].
    pub fn validate_state(&self, layers: &[Vhdx]) -> Result<()> {
        let fits = layers.len() == self.layers.len()
            && self.layers.iter().zip(layers).all(|(state, vhdx)| state.fits(vhdx));
        if fits { Ok(()) } else { Err(InvalidArgument::StalePlan.into()) }
    }

    /// Whether an earlier run has merged everything: there is nothing left, but perhaps to delete the layers.
    pub fn is_merged(&self) -> bool {
        self.copied && self.children.is_empty() && !self.detach
    }

    /// Whether an earlier run has done everything, and nothing is to be deleted.
    pub fn is_done(&self) -> bool {
        self.is_merged() && self.delete.is_empty()
    }

    /// How many blocks of the target there are for each action.
    pub fn block_counts(&self) -> BTreeMap<BlockAction, u64> {
        let mut counts = BTreeMap::new();
        for block in self.batches.iter().flat_map(|batch| &batch.blocks) {
            *counts.entry(block.action).or_default() += 1;
        }
        counts
    }
}

/// A session that finds no log to use takes a place for a new one before anything else. The end of that place, or 0.
fn reserve_log(target: &Vhdx, space: &mut Space) -> Result<u64> {
    if target.place_of_log().is_some() {
        return Ok(0);
    }
    Ok(space.allocate(MIB)?.offset.saturating_add(MIB).get())
}

#[cfg(test)]
mod tests;
