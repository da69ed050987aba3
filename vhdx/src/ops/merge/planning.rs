//! Plans a merge in place, from metadata alone.

use super::batches::{BatchInputs, Batches, Totals};
use super::chain_facts::ChainFacts;
use super::items::{self, ItemChanges};
use super::needs::Needs;
use super::options::{MergeOptions, Passes};
use super::past_end;
use super::plan::MergePlan;
use super::relations::{self, Children};
use super::space;
use super::space_count::{SpaceCount, Unwritten};
use super::state::FileState;
use super::target::{Before, Target};
use crate::disk::Chain;
use crate::error::{Bounded, Guaranteed, InvalidArgument, Result};
use crate::family::Relatives;
use crate::file::{ResizePlan, Space, Vhdx, ensure_mergeable};
use crate::geometry::Geometry;
use crate::storage::share_blocks;
use crate::units::{FileOffset, MIB};

impl MergePlan {
    /// Plans to merge the leaf of an open chain. [`prepare`](Self::prepare) also finds the relatives and the target.
    ///
    /// Children are searched for among `relatives`, which may include the files of the chain. Only metadata is read,
    /// and nothing is written.
    ///
    /// # Errors
    /// - [`InvalidArgument::MergeTarget`] if `target` is not the index of an ancestor of the leaf.
    /// - [`NoRoomForMetadata`](crate::ChainErrorKind::NoRoomForMetadata) if a file has no room for its new metadata.
    /// - [`OtherChildren`](crate::ChainErrorKind::OtherChildren) if a disk outside the merge depends on the
    ///   target or on a layer between it and the leaf, or if a child of the leaf has a mark.
    /// - [`UndeterminedFiles`](crate::ChainErrorKind::UndeterminedFiles) if an undetermined file may depend on
    ///   them, unless the options allow it.
    /// - [`DataPastEnd`](crate::ChainErrorKind::DataPastEnd) if data past the leaf's end would be lost, unless
    ///   the options allow it.
    /// - [`LayerOfMerge`](crate::ChainErrorKind::LayerOfMerge) if the target or an ancestor is a layer of an
    ///   earlier merge and requires a mark that a merged layer carries.
    /// - [`HalfMerged`](crate::ChainErrorKind::HalfMerged) if another merge, into one of the merged layers, is
    ///   incomplete.
    /// - [`Error::Corrupt`](crate::Error::Corrupt) and [`Error::Unsupported`](crate::Error::Unsupported) for the first
    ///   violation in a block allocation table that is not tolerated, with the path.
    /// - [`Error::Io`](crate::Error::Io).
    #[cfg(any(test, feature = "raw-format"))]
    pub fn new(chain: &Chain, target: usize, relatives: &Relatives, options: &MergeOptions) -> Result<Self> {
        Self::counting(chain, target, relatives, options, Passes::One)
    }

    /// As `new`. `passes` decides how the content and its space are counted.
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
        plan.needs = space::needs(&plan, layers, relatives, options, passes);
        Ok(plan)
    }

    fn without_copying(layers: &[Vhdx], children: Children, relatives: &Relatives) -> Result<Self> {
        let states: Vec<FileState> =
            layers.iter().enumerate().map(|(layer, vhdx)| FileState::of_layer(layer, vhdx)).collect();
        let [leaf, ..] = &states[..] else { return Err(InvalidArgument::NoLayers.into()) };
        let base = layers.last().ok_or(InvalidArgument::NoLayers)?;
        let possible_dependents = relatives.possible_dependents(&leaf.path);
        let possible_dependents = possible_dependents.map(|file| file.path.clone()).collect();
        let virtual_size = leaf.virtual_size;
        Ok(Self {
            virtual_size,
            virtual_size_before: base.virtual_size(),
            bytes_dropped: 0,
            layers: states,
            copied: children.is_complete || !children.relinked.is_empty(),
            detach: !children.is_complete && !children.relinked.is_empty(),
            children: children.to_relink,
            relinked: children.relinked,
            left_over: children.left_over,
            delete: Vec::new(),
            shrinks: false,
            items: ItemChanges::default(),
            batch_inputs: None,
            totals: Totals::default(),
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
            possible_dependents,
            other_formats: relatives.other_formats.clone(),
            folders: relatives.folders.clone(),
            facts: ChainFacts::default(),
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
        let new_log = reserve_log(base, &mut space)?;
        let growth = match self.virtual_size > base.virtual_size() {
            true => Some(ResizePlan::new(base, &mut space, self.virtual_size)?),
            false => None,
        };
        self.shrinks = self.virtual_size < base.virtual_size();
        self.items = ItemChanges::new(leaf, base)?;

        let geometry = grown_geometry(base, self.virtual_size)?;
        let log_end = new_log.map_or(Ok(FileOffset::default()), |place| place.plus(MIB))?.get();
        let grown_size = grown_size(base, growth.as_ref(), geometry)?;
        let by_growth = |growth| space::overwritten_by_growth(growth, base, geometry);
        let overwritten_by_growth = growth.as_ref().map_or(Ok(0), by_growth)?;
        let inputs = BatchInputs {
            geometry,
            virtual_size: self.virtual_size,
            new_log,
            growth,
            space,
            file_size: self.file_size.max(log_end).max(grown_size),
            shares_blocks: share_blocks(merged.iter().chain([base]).map(Vhdx::storage)),
            options: *options,
        };
        let mut batches = Batches::new(&inputs, merged).counting(SpaceCount::new(base.holes()), passes);
        while batches.next(base)?.is_some() {}
        let (totals, count) = batches.finish();
        let SpaceCount { overwritten, unwritten, .. } = count.guaranteed("the space was counted")?;
        self.growth_bytes = totals.file_size.minus(self.file_size)?;
        self.file_size = totals.file_size;
        self.overwritten_bytes = overwritten.plus(overwritten_by_growth)?;
        self.unwritten = unwritten;
        self.bytes_to_copy = totals.bytes_to_copy;
        self.totals = totals;
        self.batch_inputs = Some(inputs);
        Ok(())
    }
}

/// Returns the geometry of the target once its disk has at least `virtual_size` bytes.
fn grown_geometry(base: &Vhdx, virtual_size: u64) -> Result<Geometry> {
    let (size, has_parent) = (virtual_size.max(base.virtual_size()), base.geometry().has_parent());
    Ok(Geometry::new(base.block_size(), base.logical_sector_size(), size, has_parent)?)
}

/// Returns the length of the target's file once its disk has grown; 0 if the disk does not grow.
fn grown_size(base: &Vhdx, growth: Option<&ResizePlan>, grown: Geometry) -> Result<u64> {
    let Some(growth) = growth else { return Ok(0) };
    let mut end = FileOffset::default();
    for (place, len) in growth.places() {
        end = end.max(place.offset.plus(len)?);
    }
    // The file may have ended inside the unused tail of the old last block.
    let last = base.geometry().last_block();
    let Before { state, place } = Target::new(Some(growth), grown).before(base, last)?;
    if let Some(place) = place.filter(|_| state.is_present()) {
        end = end.max(place.plus(base.block_size())?);
    }
    Ok(end.get())
}

/// Reserves a place for a new log, if the target has none that can be used.
///
/// A session of such a target takes a place for a log before it writes anything else.
fn reserve_log(target: &Vhdx, space: &mut Space) -> Result<Option<FileOffset>> {
    if target.place_of_log().is_some() {
        return Ok(None);
    }
    Ok(Some(space.allocate(MIB)?.offset))
}

#[cfg(test)]
mod tests;
