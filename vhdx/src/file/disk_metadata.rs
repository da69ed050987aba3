//! Selects the metadata items that travel with the virtual disk ([MS-VHDX] 2.6.1.2).
//!
//! They are copied when the disk's content is copied or merged. All other items belong to one file.

use uuid::Uuid;

use super::{DiskType, NewDisk, NewItem, Vhdx};
use crate::error::Result;
use crate::format::metadata_item;
use crate::format::metadata_table::MetadataEntry;
use crate::format::parent_locator::ParentLocator;

/// Items that belong to one file. A new file never copies them; it gets its own.
const OWN_ITEMS: [Uuid; 7] = [
    metadata_item::FILE_PARAMETERS,
    metadata_item::VIRTUAL_DISK_SIZE,
    metadata_item::LOGICAL_SECTOR_SIZE,
    metadata_item::PHYSICAL_SECTOR_SIZE,
    metadata_item::VIRTUAL_DISK_ID,
    metadata_item::PARENT_LOCATOR,
    metadata_item::INCOMPLETE_FILE,
];

impl NewDisk {
    /// Returns a disk that can replace the file's disk.
    ///
    /// It has the sizes, the identity and every further item with the IsVirtualDisk bit. It is fixed if the file is,
    /// else dynamic.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), and [`Error::Corrupt`](crate::Error::Corrupt) if the file ends inside an item.
    pub fn like(vhdx: &Vhdx) -> Result<Self> {
        let is_fixed = vhdx.disk_type() == DiskType::Fixed;
        let defaults = Self::new(vhdx.virtual_size());
        let mut items = Vec::new();
        for entry in vhdx.metadata_entries().iter().filter(|entry| is_disk_metadata(entry)) {
            items.push(NewItem {
                id: entry.id,
                is_user: entry.is_user,
                is_virtual_disk: true,
                is_required: entry.is_required,
                content: vhdx.read_metadata_item(entry)?,
            });
        }
        let physical = vhdx.physical_sector_size();
        Ok(Self {
            block_size: vhdx.metadata.parameters.block_size,
            logical_sector_size: vhdx.logical_sector_size(),
            // Other sizes are tolerated in a file that is read, but must not be written.
            physical_sector_size: if physical == 512 { 512 } else { defaults.physical_sector_size },
            disk_type: if is_fixed { DiskType::Fixed } else { DiskType::Dynamic },
            // A file without an identity gets one.
            virtual_disk_id: vhdx.virtual_disk_id().unwrap_or(defaults.virtual_disk_id),
            items,
            ..defaults
        })
    }
}

impl NewDisk {
    /// Returns a child of a file, without content of its own, with the defaults of Windows.
    ///
    /// Blocks have 2 MiB, whatever the parent's block size. Everything else is as in the parent, including every
    /// metadata item with the IsVirtualDisk bit ([MS-VHDX] 2.6.1.2). Virtual size and block size may be changed
    /// afterwards; the logical sector size may not.
    ///
    /// # Errors
    /// As [`like`](Self::like).
    pub fn child_of(parent: &Vhdx, parent_locator: ParentLocator) -> Result<Self> {
        Ok(Self {
            block_size: 2 << 20,
            disk_type: DiskType::Differencing,
            parent_locator: Some(parent_locator),
            ..Self::like(parent)?
        })
    }
}

/// Returns whether a new file with the disk's content gets an unchanged copy of the item.
pub(crate) fn is_disk_metadata(entry: &MetadataEntry) -> bool {
    entry.is_virtual_disk && !is_own(entry)
}

/// Returns whether this is an item that belongs to one file and is never copied.
pub(crate) fn is_own(entry: &MetadataEntry) -> bool {
    !entry.is_user && OWN_ITEMS.contains(&entry.id)
}
