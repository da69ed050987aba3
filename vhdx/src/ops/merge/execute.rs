//! Executes a merge plan.
//!
//! The order of the steps guarantees that the merged disk and its descendants read the same bytes at every instant.
//! `docs/merge.md` explains it. The *target's child* is the merged layer whose parent is the target.
//! 1. Every file is locked and compared with the plan.
//! 2. If several levels are merged, the merged disk gets a mark. The target's child names the target by two
//!    DataWriteGuids: first the one that says that this merge is incomplete, which the target is about to get, then the
//!    present one.
//! 3. The target gets the DataWriteGuid that says "incomplete".
//! 4. The target gets the content, batch by batch. The merged layers still answer for all of it.
//! 5. The target's child names the target by its present DataWriteGuid and by the one that says that the merge is
//!    complete. Then the target gets that one.
//! 6. The children of the merged disk are relinked to the target, one by one.
//! 7. The merged layers are deleted, if that was requested: the merged disk first.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::batch::Batch;
use super::batches::{BatchInputs, Batches};
use super::block::BlockPlan;
use super::copier::Copier;
use super::deletion::{Deletion, Undeleted};
use super::files::MergeFiles;
use super::locked::{Locked, change_locator, load, locked_while_deleting, make_durable, open};
use super::relations::find_newcomer;
use super::{FileState, MergePlan};
use crate::disk::locator::with_linkages;
use crate::disk::mark::{self, Linkages};
use crate::error::{Conflict, Error, Guaranteed, Result};
use crate::file::{NewItem, SectorBits, Vhdx, VhdxMut};
use crate::format::merge_guid::MergeId;
use crate::format::metadata_table::MetadataEntry;
use crate::format::parent_locator::ParentLocator;
use crate::progress::Progress;
use crate::units::MIB;

/// The result of a merge.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MergeReport {
    /// How many bytes were copied from the merged layers.
    pub bytes_copied: u64,
    /// How many payload blocks of the target were changed.
    pub blocks: u64,
    /// The files whose parent is the target now, including those that an earlier run relinked.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub relinked: Vec<PathBuf>,
    /// The files that were deleted.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub deleted: Vec<PathBuf>,
    /// The files that could not be deleted. The merge is complete nevertheless.
    pub undeleted: Vec<Undeleted>,
}

impl MergePlan {
    /// Executes the plan. `progress` counts the bytes to copy.
    ///
    /// At every instant, and after a failure or a crash at any point, the merged disk and its descendants read the same
    /// bytes as before. Planning and executing the merge again completes it.
    ///
    /// # Errors
    /// - [`Conflict::StalePlan`] if a file is not in the state that was planned for, or if a file has appeared
    ///   that may depend on what changes.
    /// - [`Error::NoSpace`] if there is too little space.
    /// - [`Error::Io`], also for a file that is in use.
    /// - [`Error::Cancelled`] between two batches, or before a child is relinked.
    ///
    /// A file that is in use, or too little space, is found before anything is written.
    pub fn execute(&self, files: &dyn MergeFiles, progress: &dyn Progress) -> Result<MergeReport> {
        let locked = Locked::open(self, files)?;
        let names = Names::of(self, &locked)?;
        let guid = names.target;
        self.ensure_no_new_children(files, guid)?;
        self.ensure_space(files)?;
        let locators = locked.locators(self, guid)?;
        progress.start(self.bytes_to_copy);
        locked.sync_all(self)?;
        let relinked = self.relinked.iter().map(|state| state.path.clone()).collect();
        let mut done = MergeReport { relinked, ..MergeReport::default() };
        match &names.merge {
            Some(merge) => locked.fill_target(self, merge, progress, &mut done)?,
            None if self.is_done() => {}
            None => locked.make_target_durable(self)?,
        }
        locked.relink(self, locators, progress, &mut done)?;
        if self.detach || !self.delete.is_empty() {
            self.ensure_no_new_children(files, guid)?;
        }
        if self.detach {
            locked.relink_target_child(self, |old| with_linkages(old, Uuid::nil(), Uuid::nil()))?;
        }
        let locked = locked_while_deleting(locked);
        // A detached layer no longer opens, so nothing is read through the other layers.
        let layers = self.delete.iter().map(|&layer| &self.layers[layer]);
        let Deletion { deleted, undeleted } = Deletion::of(layers, !self.detach, files);
        locked.into_iter().for_each(Locked::close);
        Ok(MergeReport { deleted, undeleted, ..done })
    }

    /// Checks that no disk, or undetermined file, has appeared that depends on what changes.
    ///
    /// While the files are locked, only programs that take no locks can make one.
    fn ensure_no_new_children(&self, files: &dyn MergeFiles, guid: Uuid) -> Result<()> {
        let known = [self.layers.as_slice(), &self.children, &self.relinked, &self.left_over].concat();
        // A complete target does not change, so its new children do not matter.
        let changing = if self.copied { self.layers.len() - 1 } else { self.layers.len() };
        let layers = self.layers.iter().take(changing);
        let mut parents: Vec<Uuid> = layers.map(|state| state.data_write_guid).collect();
        parents.extend((!self.copied).then_some(guid));
        let relatives = files.relatives(&self.folders)?;
        let newcomer = find_newcomer(&relatives, &parents, &known).map(|disk| &disk.path);
        let is_known = |path: &PathBuf| {
            known.iter().any(|state| is_path_of(&state.path, path))
                || self.undetermined.iter().any(|(known, _)| is_path_of(known, path))
        };
        let mut undetermined =
            relatives.undetermined.iter().filter(|file| file.may_be_disk).map(|file| &file.path);
        match newcomer.or_else(|| undetermined.find(|path| !is_known(path))) {
            Some(path) => Err(Error::from(Conflict::StalePlan).in_file(path)),
            None => Ok(()),
        }
    }

    pub(super) fn target(&self) -> &FileState {
        &self.layers[self.layers.len() - 1]
    }

    /// The index of the merged layer whose parent is the target.
    fn target_child(&self) -> usize {
        self.layers.len() - 2
    }
}

/// Whether both paths lead to the same file.
///
/// Equal paths do, even if the files are not on the host.
/// Where a lock keeps even its owner from reading, a file of the merge can only be recognised by its path.
pub(super) fn is_path_of(known: &Path, found: &Path) -> bool {
    known == found
        || known.canonicalize().is_ok_and(|known| found.canonicalize().is_ok_and(|found| known == found))
}

/// The DataWriteGuids and the mark that a merge writes.
struct Names {
    /// The target's DataWriteGuid at the end.
    target: Uuid,
    /// The GUIDs and the mark to write, if there is something to copy.
    merge: Option<MergeNames>,
}

struct MergeNames {
    guid: MergeId,
    /// The mark that the merged disk carries, if several levels are merged.
    mark: Option<Uuid>,
}

impl Names {
    fn of(plan: &MergePlan, locked: &Locked) -> Result<Self> {
        if plan.copied {
            return Ok(Self { target: plan.target().data_write_guid, merge: None });
        }
        let merged = load(&locked.layers[0], &plan.layers[0].path)?;
        // An existing mark stays, because other layers than the target's child may require it.
        let carried = Linkages::of(&merged).carried_mark();
        let mark = (plan.target_child() > 0).then(|| carried.unwrap_or_else(mark::random));
        let guid = MergeId::new(mark, plan.layers[0].data_write_guid);
        Ok(Self { target: guid.complete_guid(), merge: Some(MergeNames { guid, mark }) })
    }
}

impl Locked {
    /// Executes steps 2 to 5.
    fn fill_target(
        &self,
        plan: &MergePlan,
        names: &MergeNames,
        progress: &dyn Progress,
        done: &mut MergeReport,
    ) -> Result<()> {
        let (now, incomplete) = (plan.target().data_write_guid, names.guid.guid());
        // The session begins before the target's child names the target by its present GUID. An earlier run may have
        // failed to make that GUID durable. Beginning a session writes the target's headers again.
        let mut target = open(&self.layers[plan.layers.len() - 1], &plan.target().path)?;
        target.begin_session()?;
        let inputs = plan.batch_inputs.as_ref().guaranteed("a plan that copies has batches")?;
        let ensured = inputs.ensure_log_in_place(&target).and_then(|()| inputs.ensure_space_free(&target));
        ensured.map_err(|error| error.in_file(&plan.target().path))?;
        if let Some(mark) = names.mark {
            self.carry_mark(plan, mark)?;
        }
        self.relink_target_child(plan, |old| with_linkages(old, incomplete, now))?;
        target.begin_as(incomplete)?;
        let mut merged = Vec::new(); // loaded after the target's child was written to
        for (file, state) in self.layers.iter().zip(&plan.layers).take(plan.layers.len() - 1) {
            merged.push(load(file, &state.path)?);
        }
        match fill(&mut target, &merged, plan, inputs, progress, done) {
            Ok(()) => {}
            Err(Error::Cancelled) => {
                target.close()?;
                return Err(Error::Cancelled);
            }
            Err(error) => return Err(error), // not closed: as after a power failure, the log counts
        }
        drop(merged);
        // The content must be durable before the target's child says that the target holds it.
        target.flush()?;
        let complete = names.guid.complete_guid();
        self.relink_target_child(plan, |old| with_linkages(old, incomplete, complete))?;
        target.close_as(complete)
    }

    /// Writes the target's headers again before files are relinked or deleted because of them.
    ///
    /// The run that completed the merge may have failed to make the last header durable, although it can be read.
    fn make_target_durable(&self, plan: &MergePlan) -> Result<()> {
        make_durable(&self.layers[plan.layers.len() - 1], &plan.target().path)
    }

    /// Gives the merged disk its mark.
    ///
    /// The disk is opened for writing even if it has the mark already, because opening replays its log. An earlier run
    /// may have failed to make a log with the mark durable.
    fn carry_mark(&self, plan: &MergePlan, mark: Uuid) -> Result<()> {
        let (file, path) = (&self.layers[0], &plan.layers[0].path);
        let merged = open(file, path)?;
        if Linkages::of(merged.vhdx()).carried_mark() == Some(mark) {
            return Ok(());
        }
        drop(merged);
        let parent = plan.layers[1].data_write_guid;
        change_locator(file, path, |old| with_linkages(old, parent, mark))
    }

    fn relink_target_child(
        &self,
        plan: &MergePlan,
        change: impl FnOnce(&ParentLocator) -> Result<ParentLocator>,
    ) -> Result<()> {
        let target_child = plan.target_child();
        change_locator(&self.layers[target_child], &plan.layers[target_child].path, change)
    }

    /// Executes step 6.
    ///
    /// A child reads through the merged disk before, and through the target afterwards.
    fn relink(
        &self,
        plan: &MergePlan,
        locators: Vec<ParentLocator>,
        progress: &dyn Progress,
        done: &mut MergeReport,
    ) -> Result<()> {
        for ((file, state), locator) in self.children.iter().zip(&plan.children).zip(locators) {
            if progress.is_cancelled() {
                return Err(Error::Cancelled);
            }
            change_locator(file, &state.path, |_| Ok(locator))?;
            done.relinked.push(state.path.clone());
        }
        Ok(())
    }
}

/// Executes step 4.
///
/// Between two batches the target is consistent, so a later run can continue after a cancellation.
fn fill(
    target: &mut VhdxMut,
    merged: &[Vhdx],
    plan: &MergePlan,
    inputs: &BatchInputs,
    progress: &dyn Progress,
    done: &mut MergeReport,
) -> Result<()> {
    if let Some(growth) = &inputs.growth {
        target.grow(growth)?;
    }
    let (mut batches, copier) = (Batches::new(inputs, merged), Copier::new(merged, inputs, progress));
    while let Some(batch) = next_batch(&mut batches, target, progress)? {
        target.reserve(batch.places(inputs.geometry.block_size()));
        target.write_batch(batch.file_size, |target| copy_batch(target, &copier, &batch))?;
        done.blocks += batch.blocks.len() as u64;
        done.bytes_copied += batch.blocks.iter().map(|block| block.copied).sum::<u64>();
    }
    if batches.finish().0 != plan.totals {
        return Err(Conflict::StalePlan.into());
    }
    if plan.shrinks {
        target.clear_past(plan.virtual_size)?;
    }
    if plan.items.is_empty() {
        return Ok(());
    }
    let items = new_items(&merged[0], plan)?;
    target.replace_items(|entry| plan.items.replaces(entry), items)
}

/// Returns the next batch, unless the caller cancels before it.
fn next_batch(batches: &mut Batches<'_>, target: &VhdxMut, progress: &dyn Progress) -> Result<Option<Batch>> {
    match batches.next(target.vhdx())? {
        Some(_) if progress.is_cancelled() => Err(Error::Cancelled),
        batch => Ok(batch),
    }
}

fn copy_batch(target: &mut VhdxMut, copier: &Copier<'_>, batch: &Batch) -> Result<()> {
    for bitmap in &batch.bitmaps {
        if !bitmap.is_fresh {
            target.put_zeros(bitmap.place, MIB)?;
        }
        target.stage_bitmap(bitmap.chunk, bitmap.place)?;
    }
    let bits = copier.copy(target, batch)?;
    (bits.len() == batch.blocks.len()).then_some(()).guaranteed("each block of a batch was copied")?;
    for (block, bits) in batch.blocks.iter().zip(&bits) {
        stage_block(target, block, bits.as_ref())?;
    }
    Ok(())
}

fn stage_block(target: &mut VhdxMut, block: &BlockPlan, bits: Option<&SectorBits>) -> Result<()> {
    if let Some(bits) = bits {
        target.stage_bits(block.block, bits)?;
    }
    let Some(entry) = block.entry() else { return Ok(()) };
    let state = entry.payload_state().guaranteed("a planned entry has a payload block's state")?;
    target.stage_payload(block.block, state, entry.file_offset())
}

/// Returns the metadata items that the target gets from the merged disk.
fn new_items(leaf: &Vhdx, plan: &MergePlan) -> Result<Vec<NewItem>> {
    let item = |entry: MetadataEntry| {
        let content = leaf.read_metadata_item(&entry)?;
        let MetadataEntry { id, is_user, is_virtual_disk, is_required, .. } = entry;
        Ok(NewItem { id, is_user, is_virtual_disk, is_required, content })
    };
    plan.items.taken_from(leaf).map(item).collect()
}

#[cfg(test)]
mod tests;
