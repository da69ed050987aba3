//! How much space the host must have for a merge: upper bounds, less what is known of holes in the target.

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

/// Pages of metadata are logged, and written where they are.
const PAGE: u64 = 4096;
/// What the target's session commits beside its batches: the growth, the items, and what is cleared past the new end,
/// each in parts.
const OTHER_TRANSACTIONS: u64 = 8;

/// What one file system must have free.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Need {
    /// A file that lies there.
    path: PathBuf,
    volume: Option<u64>,
    bytes: u64,
}

/// What the files of a merge that lie on one file system take there at most.
pub(super) struct VolumeNeed<'a> {
    /// A file that lies there.
    pub(super) path: &'a Path,
    /// Which file system it is, if that is known.
    pub(super) volume: Option<u64>,
    pub(super) bytes: u64,
}

/// What goes to the places of the target's blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Content {
    grown: u64,
    overwritten: u64,
    unwritten: Unwritten,
}

impl Content {
    fn of(plan: &MergePlan, target: &Vhdx) -> Self {
        // A fixed disk's space is reserved.
        let is_fixed = target.disk_type() == DiskType::Fixed;
        let unwritten = if is_fixed { Unwritten::default() } else { plan.unwritten };
        Self { grown: plan.growth_bytes, overwritten: plan.overwritten_bytes, unwritten }
    }

    /// What it takes at most; less where the file has `holes` bytes of holes, and what is not written stays one. The host
    /// calls space a hole, too, that it has set aside.
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

/// What the file systems of a merge must have free; the first one is the target's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    all: Vec<Need>,
    /// What the first one needs besides.
    content: Content,
    /// Whether an earlier run has begun the merge, when there was space for everything. What it has taken of that beside
    /// the content is not asked for again.
    has_begun: bool,
    /// Whether too little space is no reason to refuse the merge.
    is_ignored: bool,
}

impl Needs {
    /// What `plan` takes, all else of which is decided.
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
            // It names the merge, or is detached. That the merge is complete is written to the same places.
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

    /// Files of which nobody knows where they lie are counted where the target is.
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

    /// What each file system must have free at most, by a file that lies there.
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
        // Elsewhere the space of what is overwritten becomes free only afterwards, if at all.
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

/// The lowest layer says so once a merge has begun. One of an earlier version names the target second then.
fn has_begun(lowest: &Vhdx, target: &Vhdx) -> bool {
    let linkages = Linkages::of(lowest);
    linkages.merge().is_some() || linkages.second == Some(target.data_write_guid())
}

/// What a child of the leaf takes when it is relinked.
pub(super) fn bytes_of_child(child: &FileState, relatives: &Relatives) -> u64 {
    let found = relatives.disks.iter().find(|disk| disk.path == child.path);
    found.map_or(0, |disk| disk.bytes_of_locator)
}

/// What the target takes beside its content.
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

/// How many bytes are written where the file is already when its disk grows; `grown` is the larger disk.
pub(super) fn overwritten_by_growth(growth: &ResizePlan, target: &Vhdx, grown: Geometry) -> u64 {
    let old_places = growth.places().filter(|(place, _)| !place.is_fresh).map(|(_, len)| len);
    let entries = grown.bat_entry_count().saturating_sub(target.geometry().bat_entry_count());
    let entries = entries.saturating_mul(8).saturating_add(2 * PAGE);
    // The tail of the block that was the last one becomes zero.
    old_places.chain([entries, target.block_size()]).fold(0, u64::saturating_add)
}

impl MergePlan {
    /// How many bytes of space the merge takes at most, in all of its files together.
    pub fn bytes_needed(&self) -> u64 {
        self.needs.total()
    }

    /// Refuses a merge for which the host says that there is too little space, as [`execute`](Self::execute) does
    /// before it writes anything.
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
