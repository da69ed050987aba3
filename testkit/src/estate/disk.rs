//! A disk of an estate, with its content as a list of cells.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use vhdx::{Guid, PayloadBlockState};

use crate::image::{Block, Image};
use crate::random::{Random, content};

/// The size of a payload block in bytes.
pub(super) const BLOCK: u64 = 1 << 20;
/// The size of a cell in bytes. A cell is written as a whole.
pub(super) const CELL: u64 = 64 << 10;
/// The number of cells in a block.
pub(super) const CELLS: u64 = BLOCK / CELL;

/// A disk of an [`Estate`](super::Estate).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EstateDisk {
    /// The file. If it is [`Gone`](EstateFile::Gone), this is where it was.
    pub path: PathBuf,
    /// The parent, as an index into [`Estate::disks`](super::Estate::disks), even if it is gone or damaged.
    pub parent: Option<usize>,
    /// The state of the file.
    pub file: EstateFile,
    /// The link to the parent.
    pub link: EstateLink,
    /// The DataWriteGuid.
    pub data_write_guid: Guid,
    /// The size of the disk in bytes.
    pub virtual_size: u64,
    /// When the file was last changed.
    pub modified: SystemTime,
    /// The path on the host that configurations and children store.
    pub(super) stored_path: String,
    pub(super) virtual_disk_id: Guid,
    pub(super) logical_sector_size: u32,
    /// The blocks that the file itself has.
    pub(super) own: BTreeMap<u64, Own>,
    /// What each cell of the disk reads as: 0 for zeros, or the seed of its bytes.
    pub(super) cells: Vec<u64>,
}

/// The state of a file of an estate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EstateFile {
    /// It is at its place.
    Sound,
    /// It was renamed or moved, so configurations and children store a wrong path.
    Moved,
    /// It exists, but cannot be read.
    Damaged,
    /// It is not in the estate.
    Gone,
}

/// The state of the link from a disk of an estate to its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EstateLink {
    /// The disk needs no parent.
    Base,
    /// A stored path leads to the parent.
    Ok,
    /// The parent is in the estate, but no stored path leads to it.
    Stale,
    /// The parent is damaged or gone.
    Lost,
}

/// A block that a file has.
#[derive(Clone, Debug)]
pub(super) enum Own {
    /// The cells that were written, with their seeds.
    Cells(BTreeMap<u64, u64>),
    /// Zeros.
    Zeros,
}

impl EstateDisk {
    /// Returns the bytes that the disk must read as, through all its ancestors.
    pub fn content(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.virtual_size as usize];
        for (cell, part) in self.cells.iter().zip(bytes.chunks_mut(CELL as usize)) {
            fill(*cell, part);
        }
        bytes
    }

    /// Returns whether the file exists and can be read.
    pub fn is_found(&self) -> bool {
        matches!(self.file, EstateFile::Sound | EstateFile::Moved)
    }

    /// Writes `count` random cells, and sometimes a block of zeros.
    pub(super) fn change(&mut self, random: &mut Random, count: usize) {
        let blocks = self.virtual_size / BLOCK;
        if self.parent.is_some() && random.below(5) == 0 {
            let block = random.below(blocks as usize) as u64;
            self.own.insert(block, Own::Zeros);
            self.cells[(block * CELLS) as usize..((block + 1) * CELLS) as usize].fill(0);
        }
        for _ in 0..count {
            // The first cells of a block are written most often: space up to the last one is written to the file.
            let (block, cell) = (random.below(blocks as usize) as u64, random.below(4) as u64);
            let seed = random.number() | 1;
            match self.own.entry(block).or_insert_with(|| Own::Cells(BTreeMap::new())) {
                Own::Cells(cells) => drop(cells.insert(cell, seed)),
                Own::Zeros => continue,
            }
            self.cells[(block * CELLS + cell) as usize] = seed;
        }
    }

    /// Returns the file. `locator` is that of a child.
    pub(super) fn image(&self, locator: Option<Vec<(String, String)>>) -> Image {
        let mut random = Random::new(self.data_write_guid.as_u64_pair().0);
        let sectors = BLOCK / u64::from(self.logical_sector_size);
        let blocks = self.own.iter().map(|(&block, own)| {
            let own = match own {
                Own::Zeros => Block::empty(PayloadBlockState::Zero, false),
                Own::Cells(cells) if self.parent.is_none() => Block::full(bytes(cells)),
                Own::Cells(cells) => {
                    let is_set = |sector| cells.contains_key(&(sector * CELLS / sectors));
                    Block::partial(bytes(cells), (0..sectors).map(is_set).collect())
                }
            };
            (block, own)
        });
        Image {
            logical_sector_size: self.logical_sector_size,
            virtual_disk_id: self.virtual_disk_id,
            file_write_guid: random.guid(),
            data_write_guid: self.data_write_guid,
            parent_locator: locator,
            blocks: blocks.collect(),
            litter: false,
            ..Image::dynamic(self.virtual_size, BLOCK as u32)
        }
    }
}

/// Returns the start of a block, up to its last cell.
fn bytes(cells: &BTreeMap<u64, u64>) -> Vec<u8> {
    let len = cells.keys().next_back().map_or(0, |last| (last + 1) * CELL);
    let mut bytes = vec![0; len as usize];
    for (&cell, &seed) in cells {
        fill(seed, &mut bytes[(cell * CELL) as usize..((cell + 1) * CELL) as usize]);
    }
    bytes
}

fn fill(seed: u64, bytes: &mut [u8]) {
    match seed {
        0 => bytes.fill(0),
        seed => content(seed, 0, 0, bytes),
    }
}
