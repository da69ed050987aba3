//! Builds the bytes of an [`Image`].

use vhdx::format::bat_entry::PayloadBlockState;
use vhdx::format::file_identifier::FileTypeIdentifier;
use vhdx::format::header::{self, Header};
use vhdx::format::metadata_item::{self as item, FileParameters};
use vhdx::format::metadata_table::{MetadataEntry, MetadataTable};
use vhdx::format::parent_locator::ParentLocator;
use vhdx::format::region_table::{self, Region, RegionTable};
use vhdx::{FileOffset, Guid};

use crate::image::{Block, ExtraItem, Headers, Image, Layout, MIB, Part, RegionTables};
use crate::random::Random;
use crate::sparse::SparseImage;

/// The offset of the items in the metadata region: after the table ([MS-VHDX] 2.6.1).
const FIRST_ITEM: u32 = 64 << 10;
const LITTER: u8 = 0xe5;
/// The PRESENT state of a sector bitmap block. A BAT entry is a state and an offset ([MS-VHDX] 2.5.1).
const BITMAP_PRESENT: u64 = 6;

impl Image {
    /// Returns the file as bytes.
    pub fn build(&self) -> Vec<u8> {
        self.sparse().to_vec()
    }

    /// Returns the file, without spending memory on its holes.
    pub fn sparse(&self) -> SparseImage {
        let layout = self.layout();
        let mut file = SparseImage::new(layout.len);
        file.write(0, &FileTypeIdentifier { creator: self.creator.clone() }.encode());
        self.put_region_tables(&layout, &mut file);
        self.put_metadata(&layout, &mut file);
        self.put_bat(&layout, &mut file);
        for (&index, block) in &self.blocks {
            self.put_block(index, block, &layout, &mut file);
        }
        if let Some(log) = &self.log {
            log.put(self, &layout, &mut file);
        }
        let log_guid = self.log.as_ref().map_or(Guid::nil(), |log| log.header_guid());
        self.put_headers(&layout, log_guid, &mut file);
        file
    }

    fn put_headers(&self, layout: &Layout, log_guid: Guid, file: &mut SparseImage) {
        let current = Header {
            sequence_number: self.sequence_number,
            file_write_guid: self.file_write_guid,
            data_write_guid: self.data_write_guid,
            log_guid,
            log_version: 0,
            version: 1,
            log_length: self.log_length,
            log_offset: FileOffset::new(layout.offset(Part::Log)),
        };
        let mut random = Random::new(self.sequence_number);
        let mut other = |sequence_number| Header {
            sequence_number,
            file_write_guid: random.guid(),
            data_write_guid: random.guid(),
            log_guid: random.guid(),
            ..current.clone()
        };
        let damaged = |header: Header| {
            let mut bytes = header.encode();
            bytes[40] ^= 1;
            bytes
        };
        let older = other(self.sequence_number - 1).encode();
        let newer = damaged(other(self.sequence_number + 1));
        let current = current.encode();
        let [first, second] = match self.headers {
            Headers::FirstIsCurrent => [current, older],
            Headers::SecondIsCurrent => [older, current],
            Headers::Equal => [current.clone(), current],
            Headers::FirstIsSound => [current, newer],
            Headers::SecondIsSound => [newer, current],
        };
        for (bytes, offset) in [first, second].iter().zip(header::OFFSETS) {
            file.write(offset.get(), bytes);
        }
    }

    fn put_region_tables(&self, layout: &Layout, file: &mut SparseImage) {
        let region = |id, part, required| {
            let (offset, length) = layout.places[&part];
            Region { id, offset: FileOffset::new(offset), length, required }
        };
        let mut regions = vec![
            region(region_table::BAT_REGION, Part::Bat, true),
            region(region_table::METADATA_REGION, Part::Metadata, true),
        ];
        let extra = (0..).zip(&self.extra_regions);
        regions.extend(extra.map(|(i, extra)| region(extra.id, Part::Extra(i), extra.required)));
        let sound = RegionTable { regions }.encode().expect("the regions fit into a table");
        let mut damaged = sound.clone();
        damaged[33] ^= 0x10; // an offset, 1 MiB away
        let [first, second] = match self.region_tables {
            RegionTables::Both => [&sound, &sound],
            RegionTables::FirstIsSound => [&sound, &damaged],
            RegionTables::SecondIsSound => [&damaged, &sound],
        };
        file.write(region_table::OFFSETS[0].get(), first);
        file.write(region_table::OFFSETS[1].get(), second);
    }

    /// Returns the metadata items in the order of the table.
    fn items(&self) -> Vec<ExtraItem> {
        let system = |id, is_virtual_disk, bytes| ExtraItem {
            id,
            is_user: false,
            is_virtual_disk,
            is_required: true,
            bytes,
        };
        let parameters = FileParameters {
            block_size: self.block_size,
            leave_blocks_allocated: self.leave_blocks_allocated,
            has_parent: self.parent_locator.is_some(),
        };
        let mut items = vec![
            system(item::FILE_PARAMETERS, false, parameters.encode().to_vec()),
            system(item::VIRTUAL_DISK_SIZE, true, self.virtual_size.to_le_bytes().to_vec()),
            system(item::VIRTUAL_DISK_ID, true, self.virtual_disk_id.to_bytes_le().to_vec()),
            system(item::LOGICAL_SECTOR_SIZE, true, self.logical_sector_size.to_le_bytes().to_vec()),
            system(item::PHYSICAL_SECTOR_SIZE, true, self.physical_sector_size.to_le_bytes().to_vec()),
        ];
        if let Some(entries) = &self.parent_locator {
            let locator = ParentLocator { entries: entries.clone() };
            items.push(system(item::PARENT_LOCATOR, false, locator.encode()));
        }
        items.extend(self.extra_items.iter().cloned());
        items
    }

    /// Returns the metadata items with their offsets in the metadata region.
    pub fn placed_items(&self) -> Vec<(u32, ExtraItem)> {
        let mut at = FIRST_ITEM;
        let place = |item: ExtraItem| {
            let offset = if item.bytes.is_empty() { 0 } else { at };
            at += u32::try_from(item.bytes.len()).expect("an item is small").next_multiple_of(8);
            (offset, item)
        };
        self.items().into_iter().map(place).collect()
    }

    fn put_metadata(&self, layout: &Layout, file: &mut SparseImage) {
        let base = layout.offset(Part::Metadata);
        let mut entries = Vec::new();
        for (offset, item) in self.placed_items() {
            file.write(base + u64::from(offset), &item.bytes);
            entries.push(MetadataEntry {
                id: item.id,
                offset,
                length: u32::try_from(item.bytes.len()).expect("an item is small"),
                is_user: item.is_user,
                is_virtual_disk: item.is_virtual_disk,
                is_required: item.is_required,
            });
        }
        let table = MetadataTable { entries }.encode().expect("the items fit into a table");
        file.write(base, &table);
    }

    fn put_bat(&self, layout: &Layout, file: &mut SparseImage) {
        let base = layout.offset(Part::Bat);
        for (&index, block) in &self.blocks {
            let offset = if block.placed { layout.offset(Part::Payload(index)) } else { 0 };
            let entry = offset | u64::from(block.state.bits());
            file.write(base + self.bat_index(index) * 8, &entry.to_le_bytes());
        }
        for (part, offset, _) in layout.parts() {
            if let Part::Bitmap(chunk) = part {
                let entry = offset | BITMAP_PRESENT;
                file.write(base + self.bitmap_bat_index(chunk) * 8, &entry.to_le_bytes());
                if self.litter {
                    file.write(offset, &vec![LITTER; MIB as usize]);
                }
            }
        }
    }

    fn put_block(&self, index: u64, block: &Block, layout: &Layout, file: &mut SparseImage) {
        let sector_size = self.logical_sector_size as usize;
        let sectors = self.block_size as usize / sector_size;
        let full = block.state == PayloadBlockState::FullyPresent;
        if block.placed {
            let base = layout.offset(Part::Payload(index));
            if self.litter {
                let on_disk =
                    (self.virtual_size - index * u64::from(self.block_size)).min(self.block_size.into());
                let from = if full { on_disk } else { 0 };
                file.write(base + from, &vec![LITTER; (u64::from(self.block_size) - from) as usize]);
            }
            for (at, bytes) in (0u64..).step_by(sector_size).zip(block.bytes.chunks(sector_size)) {
                let present = full || block.sectors.get(at as usize / sector_size) == Some(&true);
                if present {
                    file.write(base + at, bytes);
                }
            }
        }
        if block.state == PayloadBlockState::PartiallyPresent {
            let bitmap = layout.offset(Part::Bitmap(index / self.chunk_ratio()));
            let mut bits = vec![0; sectors / 8];
            for (sector, _) in block.sectors.iter().enumerate().filter(|(_, present)| **present) {
                bits[sector / 8] |= 1 << (sector % 8);
            }
            file.write(bitmap + index % self.chunk_ratio() * (sectors / 8) as u64, &bits);
        }
    }
}
