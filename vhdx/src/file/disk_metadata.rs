//! What of a file's metadata belongs to its disk, and so goes where the disk's content goes ([MS-VHDX] 2.6.1.2).

use uuid::Uuid;

use super::{DiskType, NewDisk, NewItem, Vhdx};
use crate::error::Result;
use crate::format::metadata_item;
use crate::format::metadata_table::MetadataEntry;
use crate::format::parent_locator::ParentLocator;

/// The items that every file has as its own: a new file makes them anew.
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
    /// A disk that can take the place of the file's: its sizes, its identity and every further metadata item that is
    /// marked as IsVirtualDisk. It is fixed if the file is, else dynamic.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), and [`Error::Corrupt`](crate::Error::Corrupt) when the file ends inside an
    /// item.
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
            // Another one is only tolerated when it is read.
            physical_sector_size: if physical == 512 { 512 } else { defaults.physical_sector_size },
            disk_type: if is_fixed { DiskType::Fixed } else { DiskType::Dynamic },
            virtual_disk_id: vhdx.virtual_disk_id().unwrap_or(defaults.virtual_disk_id),
            items,
            ..defaults
        })
    }
}

impl NewDisk {
    /// A child of a file, without content of its own, as Windows makes it by default: blocks of 2 MiB, whatever the
    /// parent's are, and everything else the parent's, every metadata item that is marked as IsVirtualDisk included
    /// ([MS-VHDX] 2.6.1.2). Virtual size and block size may be set to others; the logical sector size may not.
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

/// Whether a new file with the disk's content takes the item over as it is.
pub(crate) fn is_disk_metadata(entry: &MetadataEntry) -> bool {
    entry.is_virtual_disk && !is_own(entry)
}

/// Whether every file has an item of this kind of its own.
pub(crate) fn is_own(entry: &MetadataEntry) -> bool {
    !entry.is_user && OWN_ITEMS.contains(&entry.id)
}
