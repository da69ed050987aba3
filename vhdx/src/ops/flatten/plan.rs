//! Plans the flattening of a chain, from metadata alone.

use super::dropped::{Dropped, dropped};
use crate::disk::Chain;
use crate::error::{Bounded, Result};
use crate::file::{DiskType, NewDisk};
use crate::ops::merge::FileState;
use crate::ops::ranges::{data, whole};
use crate::units::{BlockIndex, DiskOffset};

/// Options for flattening a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlattenOptions {
    /// [`DiskType::Dynamic`], the default, or [`DiskType::Fixed`].
    pub disk_type: DiskType,
}

impl Default for FlattenOptions {
    fn default() -> Self {
        Self { disk_type: DiskType::Dynamic }
    }
}

/// A plan for flattening a whole chain into one new file, which can replace the leaf's disk.
///
/// The new file has the block size of the base. Its size, its identity and other metadata that is marked as
/// IsVirtualDisk are those of the leaf ([MS-VHDX] 2.6.1.2). The size of the plan does not depend on the size of the
/// disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlattenPlan {
    pub(super) layers: Vec<FileState>,
    pub(super) disk: NewDisk,
    pub(super) blocks: u64,
    pub(super) bytes_to_copy: u64,
    pub(super) file_size: u64,
    pub(super) dropped: Vec<Dropped>,
}

impl FlattenPlan {
    /// Returns the files that are flattened and their states, leaf first.
    pub fn layers(&self) -> &[FileState] {
        &self.layers
    }

    /// Returns the description of the new file.
    pub fn disk(&self) -> &NewDisk {
        &self.disk
    }

    /// Returns the most payload blocks that the new file will have.
    ///
    /// Blocks that turn out to be all zero are left out, unless the file is fixed.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Returns how many bytes are read from the layers: each byte of the disk once, from the newest layer that has it.
    pub fn bytes_to_copy(&self) -> u64 {
        self.bytes_to_copy
    }

    /// Returns the greatest length of the new file, in bytes.
    pub fn file_size(&self) -> u64 {
        self.file_size
    }

    /// Returns the parts of the files that the new file will not have.
    pub fn dropped(&self) -> &[Dropped] {
        &self.dropped
    }

    /// Plans the flattening of a chain.
    ///
    /// Validates the block allocation tables of all files first, and then reads them with the sector bitmaps.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) and [`Error::Unsupported`](crate::Error::Unsupported) for the first
    /// broken rule that is not tolerated, with the path; [`Error::Io`](crate::Error::Io);
    /// [`InvalidArgument`](crate::InvalidArgument) for options that are not possible.
    pub fn new(chain: &Chain, options: &FlattenOptions) -> Result<Self> {
        let base_block_size = NewDisk::like(chain.base())?.block_size;
        let leaf = NewDisk::like(chain.leaf())?;
        let disk = NewDisk { block_size: base_block_size, disk_type: options.disk_type, ..leaf };
        let geometry = disk.geometry()?;
        chain.validate_placement()?;

        let (mut bytes_to_copy, mut with_data, mut counted) = (0_u64, 0_u64, BlockIndex::new(0));
        for range in data(chain, whole(chain)) {
            let range = range?;
            bytes_to_copy = bytes_to_copy.plus(range.end.minus(range.start)?)?;
            let last = DiskOffset::new(range.end.get().minus(1)?);
            let end = geometry.block_of(last).plus(1)?;
            // Ranges ascend, so only the first block of a range can have been counted before.
            with_data = with_data.plus(end.minus(geometry.block_of(range.start).max(counted))?)?;
            counted = end;
        }
        let blocks = if disk.disk_type == DiskType::Fixed { geometry.block_count() } else { with_data };
        let file_size = disk.file_size(blocks)?;
        let layers = states(chain);
        Ok(Self { layers, disk, blocks, bytes_to_copy, file_size, dropped: dropped(chain) })
    }
}

/// Returns the states of the files of a chain.
pub(super) fn states(chain: &Chain) -> Vec<FileState> {
    let layers = chain.layers().iter().enumerate();
    layers.map(|(layer, vhdx)| FileState::of_layer(layer, vhdx)).collect()
}
