//! How much space the host must have for a merge: upper bounds, less what is known of holes in the target.

use std::io;
use std::path::PathBuf;

use super::files::MergeFiles;
use super::{BlockPlan, FileState, MergePlan};
use crate::chain::Relatives;
use crate::error::{Error, Result};
use crate::file::{DiskType, ResizePlan, Vhdx};
use crate::geometry::Geometry;
use crate::units::MIB;

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
    /// How many of these bytes are written where a file is already: they take space in holes only.
    over: u64,
    /// How many of these bytes stay holes where a file can have some.
    spared: u64,
}

/// What the file systems of a merge must have free; the first one is the target's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs(Vec<Need>);

impl Needs {
    /// What `plan` takes, all else of which is decided.
    pub(super) fn of(plan: &MergePlan, layers: &[Vhdx], relatives: &Relatives) -> Self {
        let mut needs = Self::default();
        if let [leaf, .., target] = layers {
            needs.add(&plan.layers[layers.len() - 1], of_target(plan, leaf, target));
            if let Some(need) = needs.0.first_mut().filter(|_| !plan.copied) {
                need.over = plan.overwritten_bytes;
                need.spared = spared(plan, target);
            }
        }
        if let [.., lowest, _] = layers {
            // It is announced that the target changes, and marked; and it is detached.
            let has_marks = !plan.copied && layers.len() > 2;
            let changes = u64::from(!plan.copied) + u64::from(has_marks) + u64::from(plan.detach);
            let bytes = lowest.bytes_of_locator().saturating_mul(changes);
            needs.add(&plan.layers[layers.len() - 2], bytes);
            if has_marks {
                needs.add(&plan.layers[0], layers[0].bytes_of_locator());
            }
        }
        for child in &plan.children {
            let found = relatives.disks.iter().find(|disk| disk.path == child.path);
            needs.add(child, found.map_or(0, |disk| disk.bytes_of_locator));
        }
        needs
    }

    /// Files of which nobody knows where they lie are counted where the target is.
    fn add(&mut self, file: &FileState, bytes: u64) {
        let volume = file.identity.map(|identity| identity.volume());
        let place = match volume {
            Some(_) => self.0.iter().position(|need| need.volume == volume),
            None => (!self.0.is_empty()).then_some(0),
        };
        match place.and_then(|place| self.0.get_mut(place)) {
            Some(need) => need.bytes = need.bytes.saturating_add(bytes),
            None => self.0.push(Need { path: file.path.clone(), volume, bytes, over: 0, spared: 0 }),
        }
    }

    fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, need| sum.saturating_add(need.bytes))
    }
}

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
    let all = [plan.growth_bytes, plan.overwritten_bytes, pages, session, items];
    all.into_iter().fold(0, u64::saturating_add)
}

/// How much of what the target's file grows by is not written to.
fn spared(plan: &MergePlan, target: &Vhdx) -> u64 {
    if target.disk_type() == DiskType::Fixed {
        return 0;
    }
    let block_size = plan.geometry.block_size();
    // Where single sectors are written, each takes a page.
    let pages = |block: &BlockPlan| block.copied.saturating_mul(PAGE / 512).min(block_size);
    let blocks =
        plan.batches.iter().flat_map(|batch| &batch.blocks).filter(|block| block.is_fresh).map(pages);
    let bitmaps = plan.batches.iter().flat_map(|batch| &batch.bitmaps).map(|_| MIB);
    let growth = plan.growth.iter().flat_map(ResizePlan::places).map(|(_, len)| len);
    let written = blocks.chain(bitmaps).chain(growth).fold(0, u64::saturating_add);
    plan.growth_bytes.saturating_sub(written)
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
    /// [`Error::Io`].
    pub fn refuse_too_little_space(&self, files: &dyn MergeFiles) -> Result<()> {
        for Need { path, bytes, over, spared, .. } in &self.needs.0 {
            let in_vain = match files.holes(path)? {
                Some(holes) => over.saturating_sub(holes).saturating_add(*spared),
                None => 0,
            };
            let bytes = bytes.saturating_sub(in_vain);
            if let Some(free) = files.free_space(path)?.filter(|&free| free < bytes) {
                let reason = format!("up to {bytes} bytes of space are needed, {free} are free");
                let source = io::Error::new(io::ErrorKind::StorageFull, reason);
                return Err(Error::io("merge", None, source).in_file(path));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
