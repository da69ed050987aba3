use std::io;
use std::sync::{Arc, Mutex};

use uuid::Uuid;

use super::*;
use crate::file::{NewDisk, OpenOptions, VhdxWriter};
use crate::format::parent_locator::{PARENT_LINKAGE, ParentLocator};
use crate::storage::{Memory, ReadAt, Storage};

const GIB: u64 = 1 << 30;

/// The last chunk of the small disk is full, so the first entry that does not count is its sector bitmap entry.
#[test]
fn growth_overwrites_entries_that_did_not_count() {
    let file = Arc::new(Memory::default());
    let disk = NewDisk { block_size: 256 << 20, ..NewDisk::new(4 * GIB) };
    VhdxWriter::new(&*file, &disk).unwrap().finish().unwrap();
    let small = Vhdx::open_with(Arc::clone(&file), &OpenOptions::default()).unwrap();
    let (count, room) = (small.geometry.bat_entry_count(), small.regions.bat.length / ENTRY);
    for index in count..room {
        let garbage = BatEntry::new(1, FileOffset::new(7 * MIB)).to_le_bytes();
        file.write_all_at(&garbage, small.bat_entry_place(BatIndex::new(index))).unwrap();
    }
    let mut disk =
        VhdxMut::open_with(Arc::clone(&file) as Arc<dyn Storage>, &OpenOptions::default()).unwrap();
    let plan =
        ResizePlan::new(disk.vhdx(), &mut Space::from_validated_bat(disk.vhdx()).unwrap(), 9 * GIB).unwrap();
    disk.grow(&plan).unwrap();
    disk.close().unwrap();

    let large = Vhdx::open_with(Arc::clone(&file), &OpenOptions::default()).unwrap();
    let count = usize::try_from(large.geometry.bat_entry_count()).unwrap();
    let entries = large.bat_entries(BatIndex::new(0), count).unwrap();
    assert_eq!(entries, vec![BatEntry::default(); count]);
    Space::from_validated_bat(&large).unwrap();
}

/// A storage that records the offset and length of all writes.
#[derive(Default)]
struct Watched {
    file: Memory,
    writes: Mutex<Vec<(u64, u64)>>,
}

impl ReadAt for Watched {
    fn size(&self) -> io::Result<u64> {
        ReadAt::size(&self.file)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
}

impl Storage for Watched {
    fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
        self.writes.lock().unwrap().push((offset.get(), buf.len() as u64));
        self.file.write_all_at(buf, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

/// A device may garble the sector that it writes, so entries that count are only written from the log.
#[test]
fn pages_with_entries_that_count_are_logged() {
    const PAGE: u64 = 4096;
    let file = Arc::new(Watched::default());
    let entries = vec![(PARENT_LINKAGE.to_owned(), Uuid::from_u128(7).braced().to_string())];
    let locator = ParentLocator { entries };
    let (disk_type, parent_locator) = (DiskType::Differencing, Some(locator));
    let disk = NewDisk { block_size: 8 << 20, disk_type, parent_locator, ..NewDisk::new(512) };
    VhdxWriter::new(&*file, &disk).unwrap().finish().unwrap();
    let mut disk =
        VhdxMut::open_with(Arc::clone(&file) as Arc<dyn Storage>, &OpenOptions::default()).unwrap();
    let geometry = disk.geometry();
    let counting =
        [geometry.payload_bat_index(BlockIndex::new(0)), geometry.bitmap_bat_index(ChunkIndex::new(0))];
    let pages = counting.map(|index| disk.vhdx().bat_entry_place(index).get() / PAGE * PAGE);
    assert_ne!(pages[0], pages[1]);
    let plan =
        ResizePlan::new(disk.vhdx(), &mut Space::from_validated_bat(disk.vhdx()).unwrap(), 64 * GIB).unwrap();
    file.writes.lock().unwrap().clear();
    disk.grow(&plan).unwrap();
    disk.close().unwrap();
    let writes = file.writes.lock().unwrap().clone();
    for page in pages {
        let over: Vec<_> = writes.iter().filter(|(at, len)| *at < page + PAGE && page < at + len).collect();
        assert!(over.iter().all(|&&write| write == (page, PAGE)), "{page:#x}: {over:x?}");
    }
    assert!(writes.iter().any(|&(at, len)| at > pages[1] && at % PAGE == 0 && len > 8 * PAGE), "{writes:x?}");
}

fn differencing(blocks: u64, logical_sector_size: u32) -> NewDisk {
    let entries = vec![(PARENT_LINKAGE.to_owned(), Uuid::from_u128(7).braced().to_string())];
    NewDisk {
        block_size: 1 << 20,
        disk_type: DiskType::Differencing,
        logical_sector_size,
        parent_locator: Some(ParentLocator { entries }),
        ..NewDisk::new(blocks << 20)
    }
}

fn opened(file: &Arc<Watched>) -> VhdxMut {
    VhdxMut::open_with(Arc::clone(file) as Arc<dyn Storage>, &OpenOptions::default()).unwrap()
}

fn grow_in_place(disk: &mut VhdxMut, blocks: u64) {
    let plan =
        ResizePlan::new(disk.vhdx(), &mut Space::from_validated_bat(disk.vhdx()).unwrap(), blocks << 20)
            .unwrap();
    assert!(plan.bat.is_none());
    disk.grow(&plan).unwrap();
}

/// As after the merge of a small disk, the table has room for more pages of entries than one transaction can log.
#[test]
fn growth_by_many_entries_in_place_fits_into_one_transaction() {
    let (small, large) = (1027, 1 << 20);
    let file = Arc::new(Watched::default());
    VhdxWriter::new(&*file, &differencing(large, 512)).unwrap().finish().unwrap();
    let mut disk = opened(&file);
    disk.clear_past(small << 20).unwrap();
    disk.change(|this| {
        this.stage_size(small << 20)?;
        this.commit()?;
        this.sync_and_reload()
    })
    .unwrap();
    disk.close().unwrap();
    let mut disk = opened(&file);
    assert_eq!(disk.virtual_size(), small << 20);
    grow_in_place(&mut disk, large);
    assert_eq!(disk.virtual_size(), large << 20);
    let last = disk.vhdx().payload_entry(BlockIndex::new(large - 1)).unwrap();
    assert_eq!(last.payload_state(), Some(PayloadBlockState::Zero));
    disk.close().unwrap();
}

/// A sector bitmap entry counts already, far behind the last payload entry that does. A window that begins at the first
/// new entry and has full length would end inside the page of that sector bitmap entry.
#[test]
fn a_page_is_logged_if_only_a_sector_bitmap_entry_in_it_counts() {
    const PAGE: u64 = 4096;
    let (old, new) = (172_030, 212_030);
    let file = Arc::new(Watched::default());
    VhdxWriter::new(&*file, &differencing(old, 4096)).unwrap().finish().unwrap();
    let mut disk = opened(&file);
    let counts = disk.geometry().bitmap_bat_index(disk.geometry().chunk_of(BlockIndex::new(old - 1)));
    assert!(counts > disk.geometry().payload_bat_index(BlockIndex::new(old)));
    let page = disk.vhdx().bat_entry_place(counts).get() / PAGE * PAGE;
    file.writes.lock().unwrap().clear();
    grow_in_place(&mut disk, new);
    disk.close().unwrap();
    let writes = file.writes.lock().unwrap().clone();
    let over: Vec<_> = writes.iter().filter(|(at, len)| *at < page + PAGE && page < at + len).collect();
    assert!(!over.is_empty() && over.iter().all(|&&write| write == (page, PAGE)), "{page:#x}: {over:x?}");
}

/// The file has free space at its end, full of old content. A place far past its end is taken: the file must not grow
/// to reach it.
#[test]
fn new_blocks_of_a_fixed_disk_are_zeros_in_one_piece() {
    let file = Arc::new(Memory::default());
    let disk = NewDisk { block_size: 1 << 20, disk_type: DiskType::Fixed, ..NewDisk::new(3 * MIB - 512) };
    VhdxWriter::new(&*file, &disk).unwrap().finish().unwrap();
    let len = ReadAt::size(&*file).unwrap();
    file.write_all_at(&vec![7; 2 * MIB as usize + 9], FileOffset::new(len)).unwrap();
    let mut disk =
        VhdxMut::open_with(Arc::clone(&file) as Arc<dyn Storage>, &OpenOptions::default()).unwrap();
    let first = len.next_multiple_of(MIB);
    let mut space = Space::from_validated_bat(disk.vhdx()).unwrap();
    space.take(FileOffset::new(1 << 40), MIB);
    let plan = ResizePlan::new(disk.vhdx(), &mut space, 8 * MIB).unwrap();
    let places: Vec<_> =
        plan.places().map(|(place, len)| (place.offset.get(), len, place.is_fresh)).collect();
    assert_eq!(places, [(first, 5 * MIB, false)]);
    disk.grow(&plan).unwrap();
    assert!(matches!(disk.grow(&plan).unwrap_err().conflict(), Some(Conflict::StalePlan)));
    disk.close().unwrap();

    let large = Vhdx::open_with(Arc::clone(&file), &OpenOptions::default()).unwrap();
    assert_eq!(large.disk_type(), DiskType::Fixed);
    for (block, place) in (3..8).zip((first..).step_by(1 << 20)) {
        let entry = large.payload_entry(BlockIndex::new(block)).unwrap();
        assert_eq!(entry, BatEntry::payload(PayloadBlockState::FullyPresent, FileOffset::new(place)));
    }
    let mut bytes = vec![7; 5 * MIB as usize];
    file.read_exact_at(&mut bytes, FileOffset::new(first)).unwrap();
    assert!(bytes.iter().all(|&byte| byte == 0));
    Space::from_validated_bat(&large).unwrap();
}
