//! Computes the space that the host must have for a merge: upper bounds, less known holes in the target.

use std::path::{Path, PathBuf};

use super::batch::Unwritten;
use super::files::MergeFiles;
use super::plan::Passes;
use super::{FileState, MergeOptions, MergePlan};
use crate::disk::mark::Linkages;
use crate::error::{Error, Result};
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

/// The space that one file system must have free.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Need {
    /// A file that lies there.
    path: PathBuf,
    volume: Option<u64>,
    bytes: u64,
}

/// The most space that the files of a merge take on one file system.
pub(super) struct VolumeNeed<'a> {
    /// A file that lies there.
    pub(super) path: &'a Path,
    /// The file system, if it is known.
    pub(super) volume: Option<u64>,
    pub(super) bytes: u64,
}

/// The bytes that are written to the places of the target's blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Content {
    grown: u64,
    overwritten: u64,
    unwritten: Unwritten,
}

impl Content {
    fn of(plan: &MergePlan, target: &Vhdx) -> Self {
        // The space of a fixed disk is reserved, so none of it stays a hole.
        let is_fixed = target.disk_type() == DiskType::Fixed;
        let unwritten = if is_fixed { Unwritten::default() } else { plan.unwritten };
        Self { grown: plan.growth_bytes, overwritten: plan.overwritten_bytes, unwritten }
    }

    /// Returns the most space that the content takes.
    ///
    /// It is less if the file is known to have only `holes` bytes of holes. Then bytes that are not written stay holes,
    /// and the overwritten bytes take at most `holes`: the host may also report reserved space as a hole.
    fn bytes(&self, holes: Option<u64>) -> u64 {
        let (grown, overwritten) = match holes {
            None => (self.grown, self.overwritten),
            Some(holes) => {
                let overwritten = self.overwritten.saturating_sub(self.unwritten.in_holes);
                (self.grown.saturating_sub(self.unwritten.grown), overwritten.min(holes))
            }
        };
        grown.saturating_add(overwritten)
    }
}

/// The space that the file systems of a merge must have free.
///
/// The first one is that of the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    all: Vec<Need>,
    /// The content of the target, for which the first file system needs space besides.
    content: Content,
    /// Whether an earlier run has begun the merge.
    ///
    /// There was space for everything then. The space that it has taken besides the content is not counted again.
    has_begun: bool,
    /// Whether to merge although there is too little space.
    is_ignored: bool,
}

impl Needs {
    /// Computes what `plan` takes. Everything else in it is decided.
    pub(super) fn of(
        plan: &MergePlan,
        layers: &[Vhdx],
        relatives: &Relatives,
        options: &MergeOptions,
        passes: Passes,
    ) -> Self {
        let mut needs = Self { is_ignored: options.ignore_space, ..Self::default() };
        if let [leaf, .., target] = layers {
            needs.content = Content::of(plan, target);
            needs.add(&plan.layers[layers.len() - 1], of_target(plan, leaf, target));
        }
        if let [.., lowest, target] = layers {
            needs.has_begun = has_begun(lowest, target);
            let has_marks = !plan.copied && layers.len() > 2 && passes == Passes::One;
            // The lowest layer names the merge, or is detached. Later it says that the merge is complete, in the same
            // places.
            let is_changed = !plan.copied || plan.detach;
            let bytes = if is_changed { lowest.bytes_of_locator() } else { 0 };
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

    /// Adds a file. If its file system is unknown, it counts for that of the target.
    fn add(&mut self, file: &FileState, bytes: u64) {
        let volume = file.identity.map(|identity| identity.volume());
        let place = match volume {
            Some(_) => self.all.iter().position(|need| need.volume == volume),
            None => (!self.all.is_empty()).then_some(0),
        };
        match place.and_then(|place| self.all.get_mut(place)) {
            Some(need) => need.bytes = need.bytes.saturating_add(bytes),
            None => self.all.push(Need { path: file.path.clone(), volume, bytes }),
        }
    }

    /// Returns what each file system must have free at most, with a file that lies there.
    pub(super) fn by_volume(&self, files: &dyn MergeFiles) -> Result<Vec<VolumeNeed<'_>>> {
        let needs = self.all.iter().enumerate().map(|(i, need)| {
            Ok(VolumeNeed { path: &need.path, volume: need.volume, bytes: self.bytes(i, need, files)? })
        });
        needs.collect()
    }

    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    fn bytes(&self, i: usize, need: &Need, files: &dyn MergeFiles) -> Result<u64> {
        // A file system that copies on write frees overwritten space only afterwards, if at all.
        let is_in_place = files.overwrites_in_place(&need.path)?;
        let besides = if self.has_begun && is_in_place { 0 } else { need.bytes };
        let holes = if is_in_place { files.holes(&need.path)? } else { None };
        let content = if i == 0 { self.content.bytes(holes) } else { 0 };
        Ok(besides.saturating_add(content))
    }

    fn total(&self) -> u64 {
        self.all.iter().fold(self.content.bytes(None), |sum, need| sum.saturating_add(need.bytes))
    }
}

/// Whether an earlier run has begun the merge, as the lowest layer says.
///
/// A layer of an earlier version names the target by its second linkage then.
fn has_begun(lowest: &Vhdx, target: &Vhdx) -> bool {
    let linkages = Linkages::of(lowest);
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
    let pages = plan.batches.iter().map(|batch| (batch.pages as u64).saturating_mul(PAGE));
    let pages = pages.fold(0, u64::saturating_add);
    let past_the_end = if plan.shrinks { target.geometry().bat_entry_count() / (PAGE / 8) } else { 0 };
    let transactions = (plan.batches.len() as u64).saturating_add(OTHER_TRANSACTIONS);
    let session = target.bytes_of_session(transactions.saturating_add(past_the_end));
    let items = match plan.items.is_empty() {
        true => 0,
        false => {
            target.bytes_of_items(plan.items.taken_from(leaf).map(|entry| u64::from(entry.length)).sum())
        }
    };
    [pages, session, items].into_iter().fold(0, u64::saturating_add)
}

/// Returns how many bytes are written to existing parts of the file when its disk grows.
///
/// `grown` is the geometry of the larger disk.
pub(super) fn overwritten_by_growth(growth: &ResizePlan, target: &Vhdx, grown: Geometry) -> u64 {
    let old_places = growth.places().filter(|(place, _)| !place.is_fresh).map(|(_, len)| len);
    let entries = grown.bat_entry_count().saturating_sub(target.geometry().bat_entry_count());
    let entries = entries.saturating_mul(8).saturating_add(2 * PAGE);
    // The tail of the old last block becomes zero.
    old_places.chain([entries, target.block_size()]).fold(0, u64::saturating_add)
}

impl MergePlan {
    /// Returns the most bytes of space that the merge takes, in all of its files together.
    pub fn bytes_needed(&self) -> u64 {
        self.needs.total()
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
