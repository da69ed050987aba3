//! Divides a disk into cells, and determines which layer owns each of them.
//!
//! The work is linear in the number of extents. The memory depends only on the number of cells and layers.

use std::num::NonZeroUsize;

use crate::disk::Chain;
use crate::error::{Error, Result};
use crate::file::Source;
use crate::progress::Progress;
use crate::units::DiskOffset;

/// The maximum number of cells of a [`DiskMap`].
pub const MAX_CELLS: usize = 2000;

/// Which layer of a chain owns which part of its disk. All sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DiskMap {
    /// The size of the disk.
    pub virtual_size: u64,
    /// The size of every cell but the last one, which can be smaller.
    pub cell_size: u64,
    /// The cells, in the order of the disk.
    pub cells: Vec<MapCell>,
    /// The bytes of the disk that each layer defines. Layer 0 is the leaf.
    pub layers: Vec<LayerShare>,
    /// The bytes that no layer defines. They read as zeros.
    pub unallocated: u64,
}

/// A cell of a [`DiskMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MapCell {
    /// Who owns it.
    pub owner: CellOwner,
    /// The bytes of data that all layers have in it.
    pub data: u64,
}

/// The owner of a [`MapCell`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum CellOwner {
    /// The layer that has most of its data; of several, the newest one.
    Layer(usize),
    /// No layer has data in it, and a layer defines some of it as zeros.
    Zero,
    /// No layer defines it.
    Unallocated,
}

/// The bytes of a disk that a layer defines, as the disk reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct LayerShare {
    /// The bytes of data.
    pub data: u64,
    /// The bytes that are defined as zeros.
    pub zero: u64,
}

impl DiskMap {
    /// Returns the map of a disk in at most `cells` cells, and never more than [`MAX_CELLS`].
    ///
    /// A cell contains at least one sector, so a small disk has fewer cells. The block places are not validated before:
    /// only the entries that the map uses are.
    ///
    /// # Errors
    /// - [`Error::Corrupt`] and [`Error::Io`] if a BAT entry or sector bitmap is damaged or cannot be read
    /// - [`Error::Cancelled`] if `progress` asks for it
    pub fn of(chain: &Chain, cells: NonZeroUsize, progress: &dyn Progress) -> Result<Self> {
        let size = chain.virtual_size();
        let sector = u64::from(chain.logical_sector_size());
        let cell_size = size.div_ceil(cells.get().min(MAX_CELLS) as u64).next_multiple_of(sector);
        let mut map = Self {
            virtual_size: size,
            cell_size,
            cells: Vec::new(),
            layers: vec![LayerShare::default(); chain.layers().len()],
            unallocated: 0,
        };
        let mut cell = Cell::new(chain.layers().len());
        progress.start(size);
        for extent in chain.extents(DiskOffset::new(0)..DiskOffset::new(size)) {
            let extent = extent?;
            if progress.is_cancelled() {
                return Err(Error::Cancelled);
            }
            map.add_share(extent.source, extent.len);
            let mut rest = extent.len;
            while rest > 0 {
                let part = rest.min(cell_size - cell.len);
                cell.add(extent.source, part);
                rest -= part;
                if cell.len == cell_size {
                    map.cells.push(cell.take());
                }
            }
            progress.advance(extent.len);
        }
        if cell.len > 0 {
            map.cells.push(cell.take());
        }
        Ok(map)
    }

    fn add_share(&mut self, source: Source, len: u64) {
        match source {
            Source::Data { layer, .. } => self.layers[layer].data += len,
            Source::Zero { layer } => self.layers[layer].zero += len,
            Source::Unallocated => self.unallocated += len,
        }
    }
}

/// The part of a cell that the extents so far cover.
struct Cell {
    len: u64,
    /// The bytes of data of each layer.
    data: Vec<u64>,
    has_zeros: bool,
}

impl Cell {
    fn new(layers: usize) -> Self {
        Self { len: 0, data: vec![0; layers], has_zeros: false }
    }

    fn add(&mut self, source: Source, len: u64) {
        self.len += len;
        match source {
            Source::Data { layer, .. } => self.data[layer] += len,
            Source::Zero { .. } => self.has_zeros = true,
            Source::Unallocated => {}
        }
    }

    /// Returns the cell, and starts the next one.
    fn take(&mut self) -> MapCell {
        let most = self.data.iter().enumerate().rev().max_by_key(|(_, data)| **data);
        let owner = match most {
            Some((layer, 1..)) => CellOwner::Layer(layer),
            _ if self.has_zeros => CellOwner::Zero,
            _ => CellOwner::Unallocated,
        };
        let cell = MapCell { owner, data: self.data.iter().sum() };
        self.data.fill(0);
        (self.len, self.has_zeros) = (0, false);
        cell
    }
}
