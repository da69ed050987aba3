//! A model of a chain: its files, and the content of its disks as plain arrays.

use std::path::{Path, PathBuf};

use vhdx::format::bat_entry::PayloadBlockState;

use crate::image::{Block, Headers, Image, RegionTables, windows_locator};
use crate::log::DirtyLog;
use crate::random::{self, Random};
use crate::sparse::SparseImage;

/// A chain, base first.
#[derive(Clone, Debug)]
pub struct ChainModel {
    /// The seed for content, GUIDs and places.
    pub seed: u64,
    /// The logical sector size of every layer in bytes.
    pub sector_size: u32,
    /// The layers, base first; at least one.
    pub layers: Vec<LayerModel>,
}

/// One disk of a chain.
#[derive(Clone, Debug)]
pub struct LayerModel {
    /// The size of a payload block in MiB.
    pub block_mib: u32,
    /// The size of this disk in sectors.
    pub sectors: u64,
    /// The operations that were done to it, in order.
    pub operations: Vec<Operation>,
    /// Whether `parent_linkage2` names its parent, as after an interrupted merge.
    pub second_linkage: bool,
    /// Whether the parts of the file are in a random order.
    pub shuffled: bool,
    /// The state of its headers.
    pub headers: Headers,
    /// The state of its region tables.
    pub region_tables: RegionTables,
    /// Its log.
    pub log: Option<DirtyLog>,
    /// Whether every block is allocated. Only a base can be fixed.
    pub is_fixed: bool,
}

/// An operation of a guest, or of Windows, on a disk.
///
/// Places are taken modulo the size of the disk.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// Writes sectors.
    Write {
        /// The first sector.
        start: u64,
        /// The number of sectors, cut off at the end of the disk.
        count: u64,
        /// Whether zeros are written instead of the layer's content.
        zeros: bool,
    },
    /// Writes a whole block.
    Fill {
        /// The block.
        block: u64,
    },
    /// Gives a block a state without content.
    Clear {
        /// The block.
        block: u64,
        /// ZERO, UNMAPPED or UNDEFINED.
        state: PayloadBlockState,
        /// Whether the block keeps a place in the file.
        placed: bool,
    },
}

impl ChainModel {
    /// Returns the content of each layer's disk, base first.
    pub fn disks(&self) -> Vec<Vec<u8>> {
        let mut below = Vec::new();
        let mut disks = Vec::new();
        for number in 0..self.layers.len() {
            // A layer hides everything past its end: a part that it cuts off reads as zeros in a larger child.
            below.resize(self.size(number), 0);
            for block in self.blocks(number) {
                block.answer(&mut below, self.sector_size as usize);
            }
            disks.push(below.clone());
        }
        disks
    }

    /// Returns the files, base first.
    pub fn images(&self) -> Vec<Image> {
        let mut images: Vec<Image> = Vec::new();
        let mut random = Random::new(self.seed);
        let virtual_disk_id = random.guid();
        for (number, layer) in self.layers.iter().enumerate() {
            let mut image = Image::dynamic(self.size(number) as u64, layer.block_mib << 20);
            image.logical_sector_size = self.sector_size;
            image.virtual_disk_id = virtual_disk_id;
            image.file_write_guid = random.guid();
            image.data_write_guid = random.guid();
            image.headers = layer.headers;
            image.region_tables = layer.region_tables;
            image.log = layer.log;
            image.shuffle = layer.shuffled.then(|| random.number());
            image.parent_locator = images.last().map(|parent| {
                let (own, other) = (parent.data_write_guid, random.guid());
                let (first, second) =
                    if layer.second_linkage { (other, own) } else { (own, vhdx::Guid::nil()) };
                windows_locator(first, second, &name(number - 1))
            });
            image.leave_blocks_allocated = number == 0 && layer.is_fixed;
            let is_fixed = image.leave_blocks_allocated;
            let block = |block: BlockModel| match block.to_image() {
                image if !is_fixed => Some((block.index, image?)),
                Some(image) if image.state.is_present() => Some((block.index, image)),
                _ => Some((block.index, Block::full(Vec::new()))),
            };
            image.blocks = self.blocks(number).into_iter().filter_map(block).collect();
            images.push(image);
        }
        images
    }

    /// Returns the files in memory, leaf first, as a chain lists its layers.
    pub fn files(&self) -> Vec<SparseImage> {
        self.images().iter().rev().map(Image::sparse).collect()
    }

    /// Writes the files into `folder`, and returns their paths, leaf first.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn write_to(&self, folder: &Path) -> std::io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for (number, image) in self.images().iter().enumerate() {
            let path = folder.join(name(number));
            image.sparse().write_to(&path)?;
            paths.insert(0, path);
        }
        Ok(paths)
    }

    fn size(&self, layer: usize) -> usize {
        self.layers[layer].sectors as usize * self.sector_size as usize
    }

    /// Returns the blocks of a layer after its operations.
    fn blocks(&self, number: usize) -> Vec<BlockModel> {
        let layer = &self.layers[number];
        let sector_size = self.sector_size as usize;
        let per_block = (u64::from(layer.block_mib) << 20) / u64::from(self.sector_size);
        let mut blocks: Vec<BlockModel> = (0..layer.sectors.div_ceil(per_block))
            .map(|index| {
                let start = index * per_block;
                let sectors = (layer.sectors - start).min(per_block) as usize;
                BlockModel::new(index, start as usize * sector_size, sectors, number > 0)
            })
            .collect();
        for operation in &layer.operations {
            match *operation {
                Operation::Write { start, count, zeros } => {
                    let start = start % layer.sectors;
                    for sector in start..layer.sectors.min(start + count) {
                        let block = &mut blocks[(sector / per_block) as usize];
                        block.write((sector % per_block) as usize, self.content(number, sector, zeros));
                    }
                }
                Operation::Fill { block } => {
                    let first = block % blocks.len() as u64 * per_block;
                    let block = &mut blocks[(first / per_block) as usize];
                    for sector in 0..block.present.len() {
                        block.write(sector, self.content(number, first + sector as u64, false));
                    }
                }
                Operation::Clear { block, state, placed } => {
                    let index = (block % blocks.len() as u64) as usize;
                    blocks[index].clear(state, placed);
                }
            }
        }
        blocks
    }

    fn content(&self, layer: usize, sector: u64, zeros: bool) -> Vec<u8> {
        let mut bytes = vec![0; self.sector_size as usize];
        if !zeros {
            random::content(self.seed, layer, sector * u64::from(self.sector_size), &mut bytes);
        }
        bytes
    }
}

/// Returns the name of a layer's file: `base.vhdx`, `layer-1.avhdx`.
pub fn name(layer: usize) -> String {
    if layer == 0 { "base.vhdx".to_owned() } else { format!("layer-{layer}.avhdx") }
}

/// A block of a layer, sector by sector.
struct BlockModel {
    index: u64,
    start: usize,
    has_parent: bool,
    /// For each sector that lies on the disk: whether this layer holds it.
    present: Vec<bool>,
    bytes: Vec<u8>,
    cleared: Option<(PayloadBlockState, bool)>,
}

impl BlockModel {
    fn new(index: u64, start: usize, sectors: usize, has_parent: bool) -> Self {
        Self { index, start, has_parent, present: vec![false; sectors], bytes: Vec::new(), cleared: None }
    }

    /// Writes a sector. In a cleared block this makes all sectors present; the others stay zeros.
    fn write(&mut self, sector: usize, content: Vec<u8>) {
        let size = content.len();
        self.bytes.resize(self.present.len() * size, 0);
        if self.cleared.take().is_some() {
            self.present.fill(true);
        }
        self.present[sector] = true;
        self.bytes[sector * size..(sector + 1) * size].copy_from_slice(&content);
    }

    fn clear(&mut self, state: PayloadBlockState, placed: bool) {
        self.present.fill(false);
        self.bytes.clear();
        self.cleared = Some((state, placed));
    }

    /// Overwrites the ancestors' content in `disk` with the sectors of this layer.
    fn answer(&self, disk: &mut [u8], sector_size: usize) {
        let disk = &mut disk[self.start..][..self.present.len() * sector_size];
        if self.cleared.is_some() {
            disk.fill(0);
        }
        for (sector, _) in self.present.iter().enumerate().filter(|(_, present)| **present) {
            let at = sector * sector_size..(sector + 1) * sector_size;
            disk[at.clone()].copy_from_slice(&self.bytes[at]);
        }
    }

    /// Returns the block for the file, or `None` if it is NOT_PRESENT.
    fn to_image(&self) -> Option<Block> {
        if let Some((state, placed)) = self.cleared {
            return Some(Block::empty(state, placed));
        }
        match self.present.iter().filter(|present| **present).count() {
            0 => None,
            all if all == self.present.len() || !self.has_parent => Some(Block::full(self.bytes.clone())),
            _ => Some(Block::partial(self.bytes.clone(), self.present.clone())),
        }
    }
}
