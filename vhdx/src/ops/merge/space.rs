//! Computes the space that the host must have for a plan, and checks that it has it.
//!
//! Upper bounds saturate: what no host has room for may take any larger number.

use std::path::PathBuf;

use super::files::MergeFiles;
use super::needs::{Content, Needs, VolumeNeed};
use super::options::{MergeOptions, Passes};
use super::plan::MergePlan;
use super::space_count::Unwritten;
use super::state::FileState;
use crate::disk::mark::Linkages;
use crate::error::{Bounded, Error, Result, Times};
use crate::family::Relatives;
use crate::file::{DiskType, ResizePlan, Vhdx};
use crate::geometry::Geometry;

/// The unit of logging, in bytes.
///
/// Changed pages of metadata are logged, and then written in place.
const PAGE: u64 = 4096;
/// The most transactions of the target's session besides its batches.
///
/// They are the growth, the items, and the clearing past the new end, each in parts.
const OTHER_TRANSACTIONS: u64 = 8;

/// Computes what `plan` takes. Everything else in it is decided.
pub(super) fn needs(
    plan: &MergePlan,
    layers: &[Vhdx],
    relatives: &Relatives,
    options: &MergeOptions,
    passes: Passes,
) -> Needs {
    let mut needs = Needs { is_ignored: options.ignore_space, ..Needs::default() };
    if let [leaf, .., target] = layers {
        needs.content = content(plan, target);
        needs.add(&plan.layers[layers.len() - 1], of_target(plan, leaf, target));
    }
    if let [.., target_child, target] = layers {
        needs.has_begun = has_begun(target_child, target);
        let has_marks = !plan.copied && layers.len() > 2 && passes == Passes::One;
        // The target's child names the merge, or is detached. Later it says that the merge is complete, in the same
        // places.
        let is_changed = !plan.copied || plan.detach;
        let bytes = if is_changed { target_child.bytes_of_locator() } else { 0 };
        needs.add(&plan.layers[layers.len() - 2], bytes);
        if has_marks {
            needs.add(&plan.layers[0], layers[0].bytes_of_locator());
        }
    }
    for child in &plan.children {
        needs.add(child, bytes_of_child(child, relatives));
    }
    needs
}

fn content(plan: &MergePlan, target: &Vhdx) -> Content {
    // The space of a fixed disk is reserved, so none of it stays a hole.
    let is_fixed = target.disk_type() == DiskType::Fixed;
    let unwritten = if is_fixed { Unwritten::default() } else { plan.unwritten };
    Content { grown: plan.growth_bytes, overwritten: plan.overwritten_bytes, unwritten }
}

/// Whether an earlier run has begun the merge, as the target's child says.
///
/// A layer of an earlier version names the target by its second linkage then.
fn has_begun(target_child: &Vhdx, target: &Vhdx) -> bool {
    let linkages = Linkages::of(target_child);
    linkages.merge().is_some() || linkages.second == Some(target.data_write_guid())
}

/// Returns the most space that relinking a child of the merged disk takes.
pub(super) fn bytes_of_child(child: &FileState, relatives: &Relatives) -> u64 {
    let found = relatives.disks.iter().find(|disk| disk.path == child.path);
    found.map_or(0, |disk| disk.bytes_of_locator)
}

/// Returns the space that the target takes besides its content.
fn of_target(plan: &MergePlan, leaf: &Vhdx, target: &Vhdx) -> u64 {
    if plan.copied {
        return 0;
    }
    // Upper bounds may be any larger numbers.
    let pages = plan.totals.pages.saturating_mul(PAGE);
    let past_the_end = if plan.shrinks { target.geometry().bat_entry_count() / (PAGE / 8) } else { 0 };
    let transactions = plan.totals.batches.saturating_add(OTHER_TRANSACTIONS);
    let session = target.bytes_of_session(transactions.saturating_add(past_the_end));
    let items = match plan.items.is_empty() {
        true => 0,
        false => {
            target.bytes_of_items(plan.items.taken_from(leaf).map(|entry| u64::from(entry.length)).sum())
        }
    };
    // The sum is an upper bound, so it may be any larger number.
    [pages, session, items].into_iter().fold(0, u64::saturating_add)
}

/// Returns how many bytes are written to existing parts of the file when its disk grows.
///
/// `grown` is the geometry of the larger disk.
pub(super) fn overwritten_by_growth(growth: &ResizePlan, target: &Vhdx, grown: Geometry) -> Result<u64> {
    let mut old_places = growth.places().filter(|(place, _)| !place.is_fresh).map(|(_, len)| len);
    let entries = grown.bat_entry_count().minus(target.geometry().bat_entry_count())?;
    let entries = entries.times(8)?.plus(2 * PAGE)?;
    // The tail of the old last block becomes zero.
    old_places.try_fold(entries.plus(target.block_size())?, u64::plus)
}

impl MergePlan {
    /// Returns the most bytes of space that the merge takes, in all of its files together.
    ///
    /// It assumes that everything that is overwritten takes new space. [`space_needed`](Self::space_needed) is less
    /// where the host knows better.
    pub fn bytes_needed(&self) -> u64 {
        self.needs.total()
    }

    /// Returns the free bytes that each file system must have now, with a file of the merge that lies there.
    ///
    /// [`ensure_space`](Self::ensure_space) checks these numbers.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn space_needed(&self, files: &dyn MergeFiles) -> Result<Vec<(PathBuf, u64)>> {
        let needs = self.needs.by_volume(files)?;
        Ok(needs.into_iter().map(|need| (need.path.to_owned(), need.bytes)).collect())
    }

    /// Returns the free bytes that each file system must have now.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(in crate::ops) fn volume_needs(&self, files: &dyn MergeFiles) -> Result<Vec<VolumeNeed<'_>>> {
        self.needs.by_volume(files)
    }

    /// Checks that the host has enough space.
    ///
    /// [`execute`](Self::execute) does so before it writes anything.
    ///
    /// # Errors
    /// [`Error::NoSpace`] in a file of the file system that has too little; [`Error::Io`].
    pub fn ensure_space(&self, files: &dyn MergeFiles) -> Result<()> {
        if self.needs.is_ignored {
            return Ok(());
        }
        for VolumeNeed { path, bytes: needed, .. } in self.needs.by_volume(files)? {
            if let Some(free) = files.free_space(path)?.filter(|&free| free < needed) {
                return Err(Error::NoSpace { needed, free }.in_file(path));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
