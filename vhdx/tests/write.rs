//! What is written to a disk, fixed, dynamic or differencing, reads like a plain array to which the same was done.

mod common;

use std::sync::Arc;

use common::{MIB, assert_same, at, cases, read_all};
use proptest::prelude::*;
use vhdx::format::bat_entry::PayloadBlockState;
use vhdx::ops::check_storage;
use vhdx::{
    Chain, DiskOffset, DiskType, FileOffset, InvalidArgument, LogState, Memory, NewDisk, ReadAt, Storage,
    Vhdx, VhdxMut, VhdxWriter,
};
use vhdx_testkit::{ChainModel, chains};

/// Something that is done to an open disk. Places are in sectors, taken modulo the size of the disk.
#[derive(Clone, Debug)]
enum Change {
    Write { start: u64, count: u64, fill: u8 },
    Zero { start: u64, count: u64 },
    Unmap { start: u64, count: u64 },
    Flush,
    Reopen,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let count = || prop_oneof![4 => 1..64u64, 2 => 1..5000u64, 1 => Just(u64::MAX)];
    let start = || prop_oneof![3 => 0..12_000u64, 1 => (0..6u64).prop_map(|mib| mib * 2048)];
    let change = prop_oneof![
        6 => (start(), count(), 1..=255u8).prop_map(|(start, count, fill)| Change::Write { start, count, fill }),
        3 => (start(), count()).prop_map(|(start, count)| Change::Zero { start, count }),
        2 => (start(), count()).prop_map(|(start, count)| Change::Unmap { start, count }),
        1 => Just(Change::Flush),
        1 => Just(Change::Reopen),
    ];
    prop::collection::vec(change, 1..20)
}

/// A file that is written to, its parents, and the bytes that it must read as.
struct Subject {
    file: Arc<Memory>,
    parents: Vec<Vec<u8>>,
    expected: Vec<u8>,
}

impl Subject {
    fn new(model: &ChainModel) -> Self {
        let mut images: Vec<Vec<u8>> = model.images().iter().rev().map(|image| image.build()).collect();
        let file = Arc::new(Memory::new(images.remove(0)));
        Self { file, parents: images, expected: model.disks().pop().unwrap() }
    }

    fn open(&self) -> VhdxMut {
        VhdxMut::from_storage(Arc::clone(&self.file) as Arc<dyn Storage>).unwrap()
    }

    fn apply(&mut self, disk: &mut VhdxMut, change: &Change) {
        let sector = disk.geometry().sector_size();
        let sectors = disk.virtual_size() / sector;
        let range = |start: u64, count: u64| {
            let start = start % sectors;
            let end = start + count.min(sectors - start);
            start * sector..end * sector
        };
        let places = |range: &std::ops::Range<u64>| range.start as usize..range.end as usize;
        match *change {
            Change::Write { start, count, fill } => {
                let range = range(start, count);
                let bytes = vec![fill; (range.end - range.start) as usize];
                disk.write_all_at(&bytes, at(range.start)).unwrap();
                self.expected[places(&range)].fill(fill);
            }
            Change::Zero { start, count } => {
                let range = range(start, count);
                disk.write_zeros(at(range.start)..at(range.end)).unwrap();
                self.expected[places(&range)].fill(0);
            }
            Change::Unmap { start, count } => {
                let range = range(start, count);
                disk.unmap(at(range.start)..at(range.end)).unwrap();
                for start in (0..disk.virtual_size()).step_by(disk.block_size() as usize) {
                    let end = (start + disk.block_size()).min(disk.virtual_size());
                    if range.start <= start && end <= range.end {
                        self.expected[start as usize..end as usize].fill(0);
                    }
                }
            }
            Change::Flush => {
                disk.flush().unwrap();
                self.assert_reads("after a flush");
            }
            Change::Reopen => {}
        }
    }

    /// The file as another reader finds it now, with its log replayed if need be.
    fn assert_reads(&self, what: &str) -> Vhdx {
        let mut snapshot = vec![0; self.file.len().unwrap() as usize];
        self.file.read_exact_at(&mut snapshot, FileOffset::new(0)).unwrap();
        let report = check_storage(Arc::new(snapshot.clone()));
        assert!(report.is_valid(), "{what}: {:?}", report.files[0].violations);
        let mut layers = vec![Vhdx::from_storage(snapshot.clone()).unwrap()];
        layers.extend(self.parents.iter().map(|parent| Vhdx::from_storage(parent.clone()).unwrap()));
        let chain = Chain::from_layers(layers).unwrap();
        assert_same(&read_all(&chain), &self.expected, what);
        Vhdx::from_storage(snapshot).unwrap()
    }

    fn run(mut self, changes: &[Change]) {
        let before = self.assert_reads("before");
        let mut disk = self.open();
        for change in changes {
            if matches!(change, Change::Reopen) {
                disk.close().unwrap();
                let found = self.assert_reads("after closing");
                assert_eq!(found.log(), LogState::Clean);
                disk = self.open();
            }
            self.apply(&mut disk, change);
        }
        disk.close().unwrap();
        let after = self.assert_reads("at the end");
        assert_eq!(after.log(), LogState::Clean);
        let changed = changes.iter().any(|change| matches!(change, Change::Write { .. }));
        if changed {
            assert_ne!(after.data_write_guid(), before.data_write_guid());
        }
        if after.data_write_guid() != before.data_write_guid() {
            assert_ne!(after.file_write_guid(), before.file_write_guid());
        }
    }
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn disks_and_children_read_like_the_model(model in chains(3), changes in changes()) {
        Subject::new(&model).run(&changes);
    }

    #[test]
    fn fixed_disks_read_like_the_model(sectors in 1..9000u64, changes in changes()) {
        let subject = Subject { parents: Vec::new(), ..new_disk(DiskType::Fixed, sectors * 512) };
        let file = Arc::clone(&subject.file);
        subject.run(&changes);
        let counts = Vhdx::from_storage(file).unwrap().block_counts().unwrap();
        prop_assert_eq!(counts.keys().collect::<Vec<_>>(), [&PayloadBlockState::FullyPresent]);
    }
}

fn new_disk(disk_type: DiskType, size: u64) -> Subject {
    let disk = NewDisk { block_size: 1 << 20, disk_type, ..NewDisk::new(size) };
    let file = Memory::default();
    VhdxWriter::new(&file, &disk).unwrap().finish().unwrap();
    Subject { file: Arc::new(file), parents: Vec::new(), expected: vec![0; size as usize] }
}

#[test]
fn opening_and_closing_writes_nothing() {
    let subject = new_disk(DiskType::Dynamic, 4 * MIB);
    let before = bytes(&subject.file);
    subject.open().close().unwrap();
    let mut disk = subject.open();
    disk.flush().unwrap();
    disk.close().unwrap();
    assert!(bytes(&subject.file) == before);
}

fn bytes(file: &Memory) -> Vec<u8> {
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, FileOffset::new(0)).unwrap();
    bytes
}

#[test]
fn space_that_was_freed_is_used_again_and_the_end_given_back() {
    let subject = new_disk(DiskType::Dynamic, 16 * MIB);
    let mut disk = subject.open();
    disk.write_all_at(&vec![1; 8 << 20], at(0)).unwrap();
    disk.flush().unwrap();
    let full = subject.file.len().unwrap();
    disk.write_zeros(at(0)..at(8 * MIB)).unwrap();
    disk.flush().unwrap();
    disk.write_all_at(&vec![2; 8 << 20], at(8 * MIB)).unwrap();
    disk.flush().unwrap();
    assert_eq!(subject.file.len().unwrap(), full);
    disk.unmap(at(0)..at(16 * MIB)).unwrap();
    disk.close().unwrap();
    assert_eq!(subject.file.len().unwrap(), full - 8 * MIB);
}

/// Freed space must not be written to before the log says that it is free.
#[test]
fn space_is_not_used_again_within_one_commit() {
    let subject = new_disk(DiskType::Dynamic, 4 * MIB);
    let mut disk = subject.open();
    disk.write_all_at(&vec![1; 1 << 20], at(0)).unwrap();
    disk.flush().unwrap();
    let place = disk.payload_entry(vhdx::BlockIndex::new(0)).unwrap().file_offset();
    disk.write_zeros(at(0)..at(MIB)).unwrap();
    disk.write_all_at(&vec![2; 1 << 20], at(MIB)).unwrap();
    assert_ne!(disk.payload_entry(vhdx::BlockIndex::new(1)).unwrap().file_offset(), place);
    disk.flush().unwrap();
    disk.write_all_at(&vec![3; 1 << 20], at(2 * MIB)).unwrap();
    assert_eq!(disk.payload_entry(vhdx::BlockIndex::new(2)).unwrap().file_offset(), place);
}

#[test]
fn ranges_off_the_disk_or_within_sectors_are_refused() {
    let subject = new_disk(DiskType::Dynamic, 4 * MIB);
    let before = bytes(&subject.file);
    let mut disk = subject.open();
    let is = |result: vhdx::Result<()>, past: bool| {
        let error = result.unwrap_err();
        let vhdx::Error::InvalidArgument(argument) = error else { panic!("{error}") };
        assert_eq!(matches!(argument, InvalidArgument::PastEndOfDisk { .. }), past, "{argument}");
        assert_eq!(matches!(argument, InvalidArgument::NotWholeSectors { .. }), !past, "{argument}");
    };
    is(disk.write_all_at(&[0; 512], at(4 * MIB)), true);
    is(disk.write_all_at(&[0; 1024], at(4 * MIB - 512)), true);
    is(disk.write_all_at(&[0; 512], at(u64::MAX - 511)), true);
    is(disk.write_all_at(&[0; 511], at(0)), false);
    is(disk.write_zeros(at(1)..at(513)), false);
    is(disk.unmap(DiskOffset::new(0)..at(100)), false);
    disk.close().unwrap();
    assert!(bytes(&subject.file) == before);
}
