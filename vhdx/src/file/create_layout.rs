//! Places the structures of a new file, and writes its metadata as Windows does ([MS-VHDX] 2.6).

use uuid::Uuid;

use super::DiskType;
use super::new_disk::NewDisk;
use crate::error::{Bounded, Guaranteed, InvalidArgument, Result, Times};
use crate::format::metadata_item::{self, FileParameters};
use crate::format::metadata_table::{self, MetadataEntry, MetadataTable};
use crate::format::parent_locator::ParentLocator;
use crate::format::region_table::{BAT_REGION, METADATA_REGION, Region, RegionTable};
use crate::geometry::Geometry;
use crate::storage::{Storage, put};
use crate::units::{FileOffset, MIB};

/// The header section is 1 MiB long, and the log follows it.
pub(super) const HEADER_SECTION: FileOffset = FileOffset::new(MIB);
pub(super) const LOG_LENGTH: u32 = 1 << 20;
const METADATA_OFFSET: FileOffset = FileOffset::new(2 * MIB);

/// Limits that Windows enforces when it reads a file, beyond those of the specification.
pub(super) const MAX_METADATA_REGION: u64 = 128 * MIB;
pub(super) const MAX_USER_ITEMS: usize = 1024;
pub(super) const MAX_SYSTEM_ITEMS: usize = 1023;

/// The items that are made from the fields of [`NewDisk`], in the order of Windows.
///
/// Only a child has the last item.
const OWN_ITEMS: [Uuid; 6] = [
    metadata_item::FILE_PARAMETERS,
    metadata_item::VIRTUAL_DISK_SIZE,
    metadata_item::LOGICAL_SECTOR_SIZE,
    metadata_item::PHYSICAL_SECTOR_SIZE,
    metadata_item::VIRTUAL_DISK_ID,
    metadata_item::PARENT_LOCATOR,
];

pub(super) struct NewLayout {
    metadata: Region,
    pub(super) bat: Region,
    /// Where the payload blocks begin.
    pub(super) payload: FileOffset,
}

impl NewLayout {
    pub(super) fn new(disk: &NewDisk, geometry: &Geometry) -> Result<Self> {
        validate_items(disk)?;
        let own = own_items(disk);
        let contents =
            own.iter().map(|(_, content)| content.len()).chain(disk.items.iter().map(|i| i.content.len()));
        let items = contents.map(|len| len as u64).sum::<u64>(); // all of it is in memory, so the sum is in range
        let metadata_length = items.plus(metadata_table::SIZE as u64)?.next_multiple_of(MIB);
        if metadata_length > MAX_METADATA_REGION {
            return Err(InvalidArgument::TooMuchMetadata.into());
        }
        let bat_offset = METADATA_OFFSET.plus(metadata_length)?;
        let bat_length = geometry.bat_entry_count().times(8)?.next_multiple_of(MIB);
        let region = |id, offset, length| Region { id, offset, length, required: true };
        Ok(Self {
            metadata: region(METADATA_REGION, METADATA_OFFSET, metadata_length),
            bat: region(BAT_REGION, bat_offset, bat_length),
            payload: bat_offset.plus(bat_length)?,
        })
    }

    pub(super) fn region_table(&self) -> RegionTable {
        RegionTable { regions: vec![self.bat, self.metadata] }
    }

    pub(super) fn write_metadata(&self, storage: &dyn Storage, disk: &NewDisk) -> Result<()> {
        let own = own_items(disk);
        let own = own.iter().map(|(entry, content)| (*entry, content.as_slice()));
        let items = disk.items.iter().map(|item| {
            let entry = MetadataEntry {
                id: item.id,
                offset: 0,
                length: 0,
                is_user: item.is_user,
                is_virtual_disk: item.is_virtual_disk,
                is_required: item.is_required,
            };
            (entry, item.content.as_slice())
        });
        let mut entries = Vec::new();
        let mut contents = Vec::new();
        for (entry, content) in own.chain(items) {
            // An empty item has the offset 0.
            let offset = if content.is_empty() { 0 } else { metadata_table::SIZE.plus(contents.len())? };
            // `new` has ensured that everything fits into a region of 128 MiB.
            let in_region = |n| u32::try_from(n).guaranteed("the items of a new file fit into their region");
            let (offset, length) = (in_region(offset)?, in_region(content.len())?);
            entries.push(MetadataEntry { offset, length, ..entry });
            contents.extend_from_slice(content);
        }
        put(storage, &MetadataTable { entries }.encode()?, self.metadata.offset)?;
        put(storage, &contents, self.metadata.offset.plus(metadata_table::SIZE as u64)?)
    }
}

/// Checks that the further items are distinct, keep the limits, and leave the file readable.
///
/// Also checks that the parent locator reads back as it is.
fn validate_items(disk: &NewDisk) -> Result<(), InvalidArgument> {
    let mut known: Vec<_> = OWN_ITEMS.iter().map(|&id| (id, false)).collect();
    known.push((metadata_item::INCOMPLETE_FILE, false));
    for item in &disk.items {
        let key = (item.id, item.is_user);
        if known.contains(&key) || item.content.len() as u64 > MIB {
            return Err(InvalidArgument::MetadataItem(item.id));
        }
        known.push(key);
    }
    if disk.parent_locator.as_ref().is_some_and(|locator| locator.encode_sound().is_none()) {
        return Err(InvalidArgument::ParentLocator);
    }
    let own_items = OWN_ITEMS.len() - usize::from(disk.parent_locator.is_none());
    let user_items = disk.items.iter().filter(|item| item.is_user).count();
    let system_items = disk.items.len() - user_items + own_items;
    if user_items > MAX_USER_ITEMS || system_items > MAX_SYSTEM_ITEMS {
        return Err(InvalidArgument::TooMuchMetadata);
    }
    Ok(())
}

fn own_items(disk: &NewDisk) -> Vec<(MetadataEntry, Vec<u8>)> {
    let parameters = FileParameters {
        block_size: disk.block_size,
        leave_blocks_allocated: disk.disk_type == DiskType::Fixed,
        has_parent: disk.parent_locator.is_some(),
    };
    let contents = [
        parameters.encode().to_vec(),
        disk.virtual_size.to_le_bytes().to_vec(),
        disk.logical_sector_size.to_le_bytes().to_vec(),
        disk.physical_sector_size.to_le_bytes().to_vec(),
        disk.virtual_disk_id.to_bytes_le().to_vec(),
    ];
    let locator = disk.parent_locator.as_ref().map(ParentLocator::encode);
    let entry = |id| MetadataEntry {
        id,
        offset: 0,
        length: 0,
        is_user: false,
        is_virtual_disk: ![metadata_item::FILE_PARAMETERS, metadata_item::PARENT_LOCATOR].contains(&id),
        is_required: true,
    };
    OWN_ITEMS.into_iter().map(entry).zip(contents.into_iter().chain(locator)).collect()
}
