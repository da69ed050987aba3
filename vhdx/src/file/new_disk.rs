//! Describes a new disk.

use uuid::Uuid;

use super::DiskType;
use crate::error::{InvalidArgument, Result};
use crate::format::parent_locator::ParentLocator;
use crate::geometry::Geometry;

/// The description of a new VHDX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDisk {
    /// The size of the disk in bytes.
    pub virtual_size: u64,
    /// The size of a payload block in bytes ([MS-VHDX] 2.6.2.1).
    pub block_size: u32,
    /// 512 or 4096 bytes ([MS-VHDX] 2.6.2.4).
    pub logical_sector_size: u32,
    /// 512 or 4096 bytes ([MS-VHDX] 2.6.2.5).
    pub physical_sector_size: u32,
    /// [`DiskType::Differencing`] if there is a parent locator, else one of the others.
    pub disk_type: DiskType,
    /// The SCSI page 83 identity of the disk ([MS-VHDX] 2.6.2.3).
    pub virtual_disk_id: Uuid,
    /// The identity and the paths of the parent ([MS-VHDX] 2.6.2.6).
    pub parent_locator: Option<ParentLocator>,
    /// Further metadata items, which are not made from the other fields.
    pub items: Vec<NewItem>,
}

/// A metadata item of a new file ([MS-VHDX] 2.6.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewItem {
    /// The ItemId.
    pub id: Uuid,
    /// Whether it is user metadata.
    pub is_user: bool,
    /// Whether it belongs to the virtual disk, and so travels with the disk's content.
    pub is_virtual_disk: bool,
    /// Whether a reader that does not know the item must reject the file.
    pub is_required: bool,
    /// The content: at most 1 MiB.
    pub content: Vec<u8>,
}

impl NewDisk {
    /// Returns a dynamic disk with the defaults of Windows and a new identity.
    ///
    /// Blocks have 32 MiB, logical sectors 512 bytes, physical sectors 4096 bytes.
    pub fn new(virtual_size: u64) -> Self {
        Self {
            virtual_size,
            block_size: 32 << 20,
            logical_sector_size: 512,
            physical_sector_size: 4096,
            disk_type: DiskType::Dynamic,
            virtual_disk_id: Uuid::new_v4(),
            parent_locator: None,
            items: Vec::new(),
        }
    }

    pub(crate) fn geometry(&self) -> Result<Geometry, InvalidArgument> {
        let has_parent = self.disk_type == DiskType::Differencing;
        match self.parent_locator {
            None if has_parent => return Err(InvalidArgument::ParentNeeded),
            Some(_) if !has_parent => return Err(InvalidArgument::ParentUnexpected),
            _ => {}
        }
        let physical = self.physical_sector_size;
        if physical != 512 && physical != 4096 {
            return Err(InvalidArgument::SectorSize(physical.into()));
        }
        Geometry::new(self.block_size.into(), self.logical_sector_size, self.virtual_size, has_parent)
    }
}
