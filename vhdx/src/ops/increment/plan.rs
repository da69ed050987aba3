//! Plans a differencing disk with everything that changed since an ancestor, from metadata alone.

use std::path::Path;

use super::cover::{Cover, by_block};
use crate::disk::Chain;
use crate::error::{Bounded, Error, Result};
use crate::file::{NewDisk, Vhdx};
use crate::geometry::Geometry;
use crate::ops::create::{ChildOptions, NewChild, new_child};
use crate::ops::diff::{ChangedExtents, ChangedRange, ensure_ancestor, within};
use crate::ops::flatten::{Dropped, dropped};
use crate::ops::merge::FileState;
use crate::progress::Progress;

/// A plan for one new differencing disk whose parent is an older disk, and which reads as a newer one.
///
/// The new file holds everything that the files after the older disk hold, up to the newer disk. Its size, its identity
/// and other metadata that is marked as IsVirtualDisk are those of the newer disk ([MS-VHDX] 2.6.1.2). Its block size is
/// the smallest one of these files. The size of the plan does not depend on the size of the
/// disk.
///
/// Until the plan is dropped, nobody who respects locks can write to the older disk. Keep it until the new file exists
/// under its final name.
#[derive(Debug)]
pub struct IncrementPlan {
    pub(super) layers: Vec<FileState>,
    pub(super) old: FileState,
    merged: usize,
    pub(super) disk: NewDisk,
    pub(super) counts: Counts,
    file_size: u64,
    dropped: Vec<Dropped>,
    _parent: NewChild,
}

/// The upper bounds of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// The payload blocks with a place in the file.
    pub(super) blocks: u64,
    /// The sector bitmap blocks.
    pub(super) bitmaps: u64,
    pub(super) bytes_to_copy: u64,
}

impl IncrementPlan {
    /// Returns the files of the newer disk and their states, leaf first.
    pub fn layers(&self) -> &[FileState] {
        &self.layers
    }

    /// Returns the files whose content the new file holds, and their states: those after the older disk.
    pub fn merged(&self) -> &[FileState] {
        &self.layers[..self.merged]
    }

    /// Returns the description of the new file.
    pub fn disk(&self) -> &NewDisk {
        &self.disk
    }

    /// Returns the most payload blocks that the new file will have. All-zero blocks are left out.
    pub fn blocks(&self) -> u64 {
        self.counts.blocks
    }

    /// Returns how many bytes are read from the files.
    pub fn bytes_to_copy(&self) -> u64 {
        self.counts.bytes_to_copy
    }

    /// Returns the greatest length of the new file, in bytes.
    pub fn file_size(&self) -> u64 {
        self.file_size
    }

    /// Returns the parts of the merged files that the new file will not have.
    pub fn dropped(&self) -> &[Dropped] {
        &self.dropped
    }

    /// Plans a child of `old` at `destination` that reads as `new`.
    ///
    /// Validates the block allocation tables of all files first, and then reads those of the files after `old`, with
    /// their sector bitmaps. `progress` is only asked whether to stop.
    ///
    /// # Errors
    /// - those of [`changed_ranges`](crate::ops::changed_ranges), and [`Siblings`](crate::ChainErrorKind::Siblings) if
    ///   `old` is not an ancestor of `new`
    /// - those of [`new_child`] for a child of `old`
    /// - those of [`Chain::validate_placement`], [`Error::Io`] and [`Error::Cancelled`]
    pub fn new(old: &Chain, new: &Chain, destination: &Path, progress: &dyn Progress) -> Result<Self> {
        ensure_ancestor(old, new)?;
        let merged = new.layers().len().minus(old.layers().len())?;
        let options = ChildOptions {
            virtual_size: Some(new.virtual_size()),
            // Without files in between, there is nothing to hold, and the default will do.
            block_size: new.layers().iter().take(merged).map(Vhdx::block_size).min(),
        };
        let child = new_child(old, destination, &options)?;
        let disk = NewDisk {
            block_size: child.disk.block_size,
            disk_type: child.disk.disk_type,
            parent_locator: child.disk.parent_locator.clone(),
            ..NewDisk::like(new.leaf())?
        };
        new.validate_placement()?;
        let counts = count(old, new, disk.geometry()?, progress)?;
        let dropped = dropped(new).into_iter().filter(|part| part.layer < merged).collect();
        Ok(Self {
            layers: states(new),
            old: FileState::of_layer(0, old.leaf()),
            merged,
            file_size: disk.child_file_size(counts.blocks, counts.bitmaps)?,
            disk,
            counts,
            dropped,
            _parent: child,
        })
    }
}

/// Returns the states of the files of a chain.
pub(super) fn states(chain: &Chain) -> Vec<FileState> {
    let layers = chain.layers().iter().enumerate();
    layers.map(|(layer, vhdx)| FileState::of_layer(layer, vhdx)).collect()
}

fn count(old: &Chain, new: &Chain, geometry: Geometry, progress: &dyn Progress) -> Result<Counts> {
    let (mut counts, mut cover) = (Counts::default(), Cover::new(geometry)?);
    let (mut has_data, mut chunk) = (false, None);
    let mut leave = |cover: &Cover, has_data: bool, counts: &mut Counts| -> Result<()> {
        let Some(block) = cover.block() else { return Ok(()) };
        let is_whole = cover.is_whole()?;
        counts.blocks += u64::from(has_data || !is_whole);
        let of_block = Some(geometry.chunk_of(block));
        if !is_whole && chunk != of_block {
            counts.bitmaps += 1;
            chunk = of_block;
        }
        Ok(())
    };
    for extent in within(ChangedExtents::new(old, new)?, new.virtual_size()) {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let range = ChangedRange::from(extent?);
        if !range.is_zero {
            counts.bytes_to_copy = counts.bytes_to_copy.plus(range.len)?;
        }
        for (block, part) in by_block(geometry, range.start..range.start.plus(range.len)?) {
            if cover.block() != Some(block) {
                leave(&cover, has_data, &mut counts)?;
                cover.begin(Some(block));
                has_data = false;
            }
            has_data |= !range.is_zero;
            cover.add(&part)?;
        }
    }
    leave(&cover, has_data, &mut counts)?;
    Ok(counts)
}
