//! Describes a VHDX file, valid or damaged, and the places of its parts.

use std::collections::BTreeMap;

use vhdx::Guid;
use vhdx::format::{bat_entry::PayloadBlockState, parent_locator as locator};

use crate::log::DirtyLog;
use crate::random::Random;

pub(crate) const MIB: u64 = 1 << 20;

/// The description of a VHDX file.
///
/// Start from [`dynamic`](Image::dynamic) or [`child_of`](Image::child_of), and change the fields that differ.
#[derive(Clone, Debug)]
pub struct Image {
    /// The creator in the file type identifier.
    pub creator: String,
    /// The size of the disk in bytes.
    pub virtual_size: u64,
    /// The size of a payload block in bytes.
    pub block_size: u32,
    /// The logical sector size in bytes.
    pub logical_sector_size: u32,
    /// The physical sector size in bytes.
    pub physical_sector_size: u32,
    /// The flag of fixed disks. It allocates nothing; list every block in `blocks`.
    pub leave_blocks_allocated: bool,
    /// The virtual disk id.
    pub virtual_disk_id: Guid,
    /// The FileWriteGuid of the current header.
    pub file_write_guid: Guid,
    /// The DataWriteGuid of the current header.
    pub data_write_guid: Guid,
    /// The exact keys and values of the parent locator. A disk with a locator is a differencing disk.
    pub parent_locator: Option<Vec<(String, String)>>,
    /// The sequence number of the current header.
    pub sequence_number: u64,
    /// The state of the headers.
    pub headers: Headers,
    /// The state of the region tables.
    pub region_tables: RegionTables,
    /// Regions besides the BAT and the metadata.
    pub extra_regions: Vec<ExtraRegion>,
    /// Metadata items besides those that every disk has.
    pub extra_items: Vec<ExtraItem>,
    /// The payload blocks that are not NOT_PRESENT.
    pub blocks: BTreeMap<u64, Block>,
    /// The size of the log in bytes.
    pub log_length: u32,
    /// The content of the log.
    pub log: Option<DirtyLog>,
    /// A seed, if the parts of the file are placed in a random order, with gaps.
    pub shuffle: Option<u64>,
    /// Whether everything that must never be read is filled with bytes other than zero.
    ///
    /// This applies to sectors that are not present, the tail of the last block, space that blocks without content
    /// keep, and bitmap bits of FULLY_PRESENT blocks.
    pub litter: bool,
}

/// A payload block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its state in the BAT.
    pub state: PayloadBlockState,
    /// Its content from its first byte on. Bytes after it are not written.
    pub bytes: Vec<u8>,
    /// Its bits in the sector bitmap, from its first sector on. Missing bits are clear.
    pub sectors: Vec<bool>,
    /// Whether it has a place in the file. Blocks without content may keep one.
    pub placed: bool,
}

impl Block {
    /// Returns a FULLY_PRESENT block that starts with `bytes`.
    pub fn full(bytes: Vec<u8>) -> Self {
        Self { state: PayloadBlockState::FullyPresent, bytes, sectors: Vec::new(), placed: true }
    }

    /// Returns a PARTIALLY_PRESENT block with these bits.
    pub fn partial(bytes: Vec<u8>, sectors: Vec<bool>) -> Self {
        Self { state: PayloadBlockState::PartiallyPresent, bytes, sectors, placed: true }
    }

    /// Returns a block without content. It keeps a place in the file if `placed` is set.
    pub fn empty(state: PayloadBlockState, placed: bool) -> Self {
        Self { state, bytes: Vec::new(), sectors: Vec::new(), placed }
    }
}

/// The state of the two headers. Unless both are equal, the other header has different GUIDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headers {
    /// The first one is current.
    FirstIsCurrent,
    /// The second one is current.
    SecondIsCurrent,
    /// Both are equal, including the sequence number.
    Equal,
    /// The second one has a higher sequence number, but is damaged.
    FirstIsSound,
    /// The first one has a higher sequence number, but is damaged.
    SecondIsSound,
}

/// The state of the two region tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionTables {
    /// Both are valid.
    Both,
    /// The second one is damaged.
    FirstIsSound,
    /// The first one is damaged.
    SecondIsSound,
}

/// A region that the format does not define.
#[derive(Clone, Debug)]
pub struct ExtraRegion {
    /// Its GUID.
    pub id: Guid,
    /// Its length in MiB.
    pub mib: u64,
    /// Whether a reader that does not know it must reject the file.
    pub required: bool,
}

/// A metadata item besides those that every disk has.
#[derive(Clone, Debug)]
pub struct ExtraItem {
    /// Its GUID.
    pub id: Guid,
    /// Its IsUser flag.
    pub is_user: bool,
    /// Its IsVirtualDisk flag.
    pub is_virtual_disk: bool,
    /// Its IsRequired flag.
    pub is_required: bool,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl Image {
    /// Returns an empty dynamic disk with 512-byte sectors and the layout of Windows.
    pub fn dynamic(virtual_size: u64, block_size: u32) -> Self {
        let mut random = Random::new(virtual_size ^ u64::from(block_size));
        Self {
            creator: "vhdx-testkit".to_owned(),
            virtual_size,
            block_size,
            logical_sector_size: 512,
            physical_sector_size: 4096,
            leave_blocks_allocated: false,
            virtual_disk_id: random.guid(),
            file_write_guid: random.guid(),
            data_write_guid: random.guid(),
            parent_locator: None,
            sequence_number: 7,
            headers: Headers::SecondIsCurrent,
            region_tables: RegionTables::Both,
            extra_regions: Vec::new(),
            extra_items: Vec::new(),
            blocks: BTreeMap::new(),
            log_length: 1 << 20,
            log: None,
            shuffle: None,
            litter: true,
        }
    }

    /// Returns an empty child of `parent`, which lies beside it as `parent_name`.
    ///
    /// The disk has the parent's virtual size and sector sizes.
    pub fn child_of(parent: &Image, parent_name: &str, block_size: u32) -> Self {
        let mut random = Random::new(parent.data_write_guid.as_u64_pair().0);
        Self {
            logical_sector_size: parent.logical_sector_size,
            physical_sector_size: parent.physical_sector_size,
            virtual_disk_id: parent.virtual_disk_id,
            file_write_guid: random.guid(),
            data_write_guid: random.guid(),
            parent_locator: Some(windows_locator(parent.data_write_guid, Guid::nil(), parent_name)),
            ..Self::dynamic(parent.virtual_size, block_size)
        }
    }

    /// Returns the number of payload blocks for each sector bitmap block ([MS-VHDX] 2.4).
    pub fn chunk_ratio(&self) -> u64 {
        (1 << 23) * u64::from(self.logical_sector_size) / u64::from(self.block_size)
    }

    /// Returns the number of payload blocks.
    pub fn block_count(&self) -> u64 {
        self.virtual_size.div_ceil(u64::from(self.block_size))
    }

    /// Returns the number of BAT entries ([MS-VHDX] 2.5).
    pub fn bat_entries(&self) -> u64 {
        match self.parent_locator {
            Some(_) => self.block_count().div_ceil(self.chunk_ratio()) * (self.chunk_ratio() + 1),
            None => self.block_count() + (self.block_count() - 1) / self.chunk_ratio(),
        }
    }

    /// Returns the BAT index of a payload block.
    pub fn bat_index(&self, block: u64) -> u64 {
        block + block / self.chunk_ratio()
    }

    /// Returns the BAT index of a sector bitmap block.
    pub fn bitmap_bat_index(&self, chunk: u64) -> u64 {
        (chunk + 1) * (self.chunk_ratio() + 1) - 1
    }

    /// Returns the places of all parts of the file.
    ///
    /// The same image always has the same layout, so tests can damage a part at its offset.
    pub fn layout(&self) -> Layout {
        let mut parts = vec![
            (Part::Log, u64::from(self.log_length)),
            (Part::Metadata, MIB),
            (Part::Bat, (self.bat_entries() * 8).next_multiple_of(MIB)),
        ];
        parts.extend((0..).zip(&self.extra_regions).map(|(i, region)| (Part::Extra(i), region.mib * MIB)));
        let partial = |(_, block): &(&u64, &Block)| block.state == PayloadBlockState::PartiallyPresent;
        let mut chunks: Vec<u64> =
            self.blocks.iter().filter(partial).map(|(block, _)| block / self.chunk_ratio()).collect();
        chunks.dedup();
        parts.extend(chunks.into_iter().map(|chunk| (Part::Bitmap(chunk), MIB)));
        let placed = self.blocks.iter().filter(|(_, block)| block.placed);
        parts.extend(placed.map(|(&block, _)| (Part::Payload(block), u64::from(self.block_size))));

        let mut random = self.shuffle.map(Random::new);
        if let Some(random) = &mut random {
            random.shuffle(&mut parts);
        }
        let mut layout = Layout { places: BTreeMap::new(), len: MIB };
        for (part, len) in parts {
            let gap = random.as_mut().map_or(0, |random| (random.below(4) / 3) as u64 * MIB);
            layout.places.insert(part, (layout.len + gap, len));
            layout.len += gap + len;
        }
        layout
    }
}

/// Returns a parent locator as Windows writes it: the same keys, in the same order.
pub fn windows_locator(linkage: Guid, linkage2: Guid, parent_name: &str) -> Vec<(String, String)> {
    let entry = |key: &str, value: String| (key.to_owned(), value);
    vec![
        entry(locator::PARENT_LINKAGE, linkage.braced().to_string()),
        entry(locator::ABSOLUTE_WIN32_PATH, format!(r"C:\VMs\{parent_name}")),
        entry(locator::RELATIVE_PATH, format!(r".\{parent_name}")),
        entry(
            locator::VOLUME_PATH,
            format!(r"\\?\Volume{{5e0bd954-71b2-4bff-a928-082af7ab0f8f}}\VMs\{parent_name}"),
        ),
        entry(locator::PARENT_LINKAGE2, linkage2.braced().to_string()),
    ]
}

/// A part of a file that is placed separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The log.
    Log,
    /// The metadata region.
    Metadata,
    /// The BAT region.
    Bat,
    /// An extra region, by its index.
    Extra(usize),
    /// A sector bitmap block, by its chunk.
    Bitmap(u64),
    /// A payload block.
    Payload(u64),
}

/// The places of the parts of a file.
#[derive(Clone, Debug)]
pub struct Layout {
    pub(crate) places: BTreeMap<Part, (u64, u64)>,
    /// The length of the file in bytes.
    pub len: u64,
}

impl Layout {
    /// Returns the parts with their offsets and lengths in bytes.
    pub fn parts(&self) -> impl Iterator<Item = (Part, u64, u64)> + '_ {
        self.places.iter().map(|(&part, &(offset, len))| (part, offset, len))
    }

    /// Returns the offset of a part.
    ///
    /// # Panics
    /// If the file has no such part.
    pub fn offset(&self, part: Part) -> u64 {
        self.places[&part].0
    }

    /// Returns the offset of a BAT entry, by its index.
    pub fn bat_entry(&self, index: u64) -> u64 {
        self.offset(Part::Bat) + index * 8
    }
}
