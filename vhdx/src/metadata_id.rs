//! Defines the GUIDs of metadata items and their names ([MS-VHDX] 2.6.2).

use uuid::{Uuid, uuid};

/// File parameters ([MS-VHDX] 2.6.2.1).
pub const FILE_PARAMETERS: Uuid = uuid!("caa16737-fa36-4d43-b3b6-33f0aa44e76b");
/// Virtual disk size ([MS-VHDX] 2.6.2.2).
pub const VIRTUAL_DISK_SIZE: Uuid = uuid!("2fa54224-cd1b-4876-b211-5dbed83bf4b8");
/// Virtual disk id ([MS-VHDX] 2.6.2.3).
pub const VIRTUAL_DISK_ID: Uuid = uuid!("beca12ab-b2e6-4523-93ef-c309e000c746");
/// Logical sector size ([MS-VHDX] 2.6.2.4).
pub const LOGICAL_SECTOR_SIZE: Uuid = uuid!("8141bf1d-a96f-4709-ba47-f233a8faab5f");
/// Physical sector size ([MS-VHDX] 2.6.2.5).
pub const PHYSICAL_SECTOR_SIZE: Uuid = uuid!("cda348c7-445d-4471-9cc9-e9885251c556");
/// Parent locator ([MS-VHDX] 2.6.2.6).
pub const PARENT_LOCATOR: Uuid = uuid!("a8d35f2d-b30b-454d-abf7-d3d84834ab0c");
/// Cylinders, heads and sectors for guests that ask for them; not in the specification.
pub const CHS_PARAMETERS: Uuid = uuid!("da02d7bc-3d3a-423c-ac88-2a36ab21479b");
/// The mark of a file whose creation did not finish; not in the specification.
pub const INCOMPLETE_FILE: Uuid = uuid!("71cc85f0-1b69-4e28-9558-c3bf83ae75d3");
/// Labels of a persistent memory disk; not in the specification.
pub const PMEM_LABELS: Uuid = uuid!("10e1ae8a-4b7e-4169-a40f-cd70de928393");

/// Returns the name of an item for messages, or its GUID if it has no name.
pub fn name_of(id: Uuid) -> String {
    let name = match id {
        FILE_PARAMETERS => "file parameters",
        VIRTUAL_DISK_SIZE => "virtual disk size",
        VIRTUAL_DISK_ID => "virtual disk id",
        LOGICAL_SECTOR_SIZE => "logical sector size",
        PHYSICAL_SECTOR_SIZE => "physical sector size",
        PARENT_LOCATOR => "parent locator",
        CHS_PARAMETERS => "CHS parameters",
        INCOMPLETE_FILE => "incomplete file",
        PMEM_LABELS => "PMEM labels",
        _ => return id.to_string(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_have_names() {
        assert_eq!(name_of(VIRTUAL_DISK_ID), "virtual disk id");
        assert_eq!(name_of(Uuid::from_u128(1)), "00000000-0000-0000-0000-000000000001");
    }
}
