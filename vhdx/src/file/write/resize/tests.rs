use std::sync::Arc;

use super::*;
use crate::file::{NewDisk, VhdxWriter};
use crate::storage::{Memory, Storage};

const GIB: u64 = 1 << 30;

/// The last chunk of the small disk is full, so that its sector bitmap entry is the first that is not counted.
#[test]
fn no_entry_that_was_not_counted_is_trusted() {
    let file = Arc::new(Memory::default());
    let disk = NewDisk { block_size: 256 << 20, ..NewDisk::new(4 * GIB) };
    VhdxWriter::new(&*file, &disk).unwrap().finish().unwrap();
    let small = Vhdx::from_storage(Arc::clone(&file)).unwrap();
    let (count, room) = (small.geometry.bat_entry_count(), small.regions.bat.length / ENTRY);
    for index in count..room {
        let garbage = BatEntry::new(1, FileOffset::new(7 * MIB)).to_le_bytes();
        file.write_all_at(&garbage, small.bat_entry_place(BatIndex::new(index))).unwrap();
    }
    let mut disk = VhdxMut::from_storage(Arc::clone(&file) as Arc<dyn Storage>).unwrap();
    let plan = ResizePlan::new(&disk, &mut Space::of(&disk).unwrap(), 9 * GIB).unwrap();
    disk.grow(&plan).unwrap();
    disk.close().unwrap();

    let large = Vhdx::from_storage(Arc::clone(&file)).unwrap();
    let count = usize::try_from(large.geometry.bat_entry_count()).unwrap();
    let entries = large.bat_entries(BatIndex::new(0), count).unwrap();
    assert_eq!(entries, vec![BatEntry::default(); count]);
    Space::of(&large).unwrap();
}
