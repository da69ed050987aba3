use std::io;
use std::sync::Mutex;

use uuid::Uuid;

use super::*;
use crate::disk::Chain;
use crate::file::{NewItem, OpenOptions, Vhdx};
use crate::format::header::{self, Header};
use crate::ops::check_storage;
use crate::storage::{IfExists, Memory, NewFile, ReadAt};
use crate::units::{BatIndex, MIB};

fn small(virtual_size: u64, disk_type: DiskType) -> NewDisk {
    NewDisk { block_size: 1 << 20, disk_type, ..NewDisk::new(virtual_size) }
}

fn make(disk: &NewDisk, content: &[(u64, &[u8])]) -> (Vec<u8>, WriteReport) {
    let file = Memory::default();
    let mut writer = VhdxWriter::new(&file, disk).unwrap();
    for (at, bytes) in content {
        writer.write(DiskOffset::new(*at), bytes).unwrap();
    }
    let written = writer.finish().unwrap();
    (file.into_inner(), written)
}

fn read(file: Vec<u8>) -> Vec<u8> {
    let chain = Chain::from_layers(vec![Vhdx::open_with(file, &OpenOptions::default()).unwrap()]).unwrap();
    let mut bytes = vec![1; chain.virtual_size() as usize];
    chain.read_exact_at(&mut bytes, DiskOffset::new(0)).unwrap();
    bytes
}

/// Writes across a block boundary, and up to the end of a disk whose last block is partial.
#[test]
fn a_new_disk_reads_as_it_was_written() {
    let size = 7 * MIB + 512;
    let (middle, end) = ([7; 2048], [9; 100]);
    let content: [(u64, &[u8]); 2] = [(3 * MIB - 1000, &middle), (size - 100, &end)];
    let mut expected = vec![0; size as usize];
    for (at, bytes) in content {
        expected[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }
    for (disk_type, blocks) in [(DiskType::Dynamic, 3), (DiskType::Fixed, 8)] {
        let disk = small(size, disk_type);
        let (file, written) = make(&disk, &content);
        assert_eq!((written.blocks, written.file_size), (blocks, file.len() as u64));
        assert_eq!(disk.file_size(3).unwrap(), written.file_size);
        let report = check_storage(std::sync::Arc::new(file.clone()));
        assert!(report.files[0].violations.as_slice().is_empty(), "{report:?}");
        assert_eq!(Vhdx::open_with(file.clone(), &OpenOptions::default()).unwrap().disk_type(), disk_type);
        assert!(read(file) == expected);
    }
}

#[test]
fn an_untouched_disk_is_empty() {
    let (file, written) = make(&small(9 * MIB, DiskType::Dynamic), &[]);
    assert_eq!((written.blocks, file.len() as u64), (0, 4 * MIB));
    assert!(read(file).iter().all(|&byte| byte == 0));
}

#[test]
fn sequence_numbers_differ_by_one_and_the_log_is_empty() {
    let (file, _) = make(&small(MIB, DiskType::Dynamic), &[(0, &[1])]);
    let headers = header::OFFSETS.map(|at| Header::parse(&file[at.get() as usize..]).unwrap());
    assert_eq!(headers[1].sequence_number, headers[0].sequence_number + 1);
    assert_eq!(headers[0].file_write_guid, headers[1].file_write_guid);
    assert_ne!(headers[0].file_write_guid, headers[0].data_write_guid);
    assert!(headers[0].log_guid.is_nil());
    assert!(file[MIB as usize..2 * MIB as usize].iter().all(|&byte| byte == 0));
}

#[test]
fn further_metadata_items_are_stored_unless_they_are_invalid() {
    let item = |id: u128, is_user, content: Vec<u8>| NewItem {
        id: Uuid::from_u128(id),
        is_user,
        is_virtual_disk: true,
        is_required: false,
        content,
    };
    let large = vec![3; MIB as usize];
    let items =
        vec![item(1, true, b"label".to_vec()), item(1, false, large.clone()), item(2, true, Vec::new())];
    let disk = NewDisk { items: items.clone(), ..small(MIB, DiskType::Dynamic) };
    let vhdx = Vhdx::open_with(make(&disk, &[(0, &[1])]).0, &OpenOptions::default()).unwrap();
    assert_eq!(vhdx.tolerated(), []);
    assert_eq!(NewDisk::like(&vhdx).unwrap(), disk);

    for wrong in [
        vec![items[0].clone(), items[0].clone()],
        vec![item(1, true, vec![0; MIB as usize + 1])],
        vec![NewItem { id: crate::format::metadata_item::PARENT_LOCATOR, ..item(0, false, Vec::new()) }],
        (0..1025).map(|id| item(id, true, Vec::new())).collect(),
        (0..129).map(|id| item(id, true, large.clone())).collect(),
    ] {
        let disk = NewDisk { items: wrong, ..small(MIB, DiskType::Dynamic) };
        assert!(VhdxWriter::new(&Memory::default(), &disk).is_err());
    }
}

#[test]
fn invalid_writes_and_disks_are_rejected() {
    let file = Memory::default();
    let disk = small(4 * MIB, DiskType::Dynamic);
    let mut writer = VhdxWriter::new(&file, &disk).unwrap();
    writer.write(DiskOffset::new(2 * MIB), &[1]).unwrap();
    writer.write(DiskOffset::new(2 * MIB), &[1]).unwrap();
    let reason = |result: Result<()>| match result.unwrap_err() {
        Error::InvalidArgument(argument) => argument,
        error => panic!("{error}"),
    };
    let early = reason(writer.write(DiskOffset::new(0), &[1]));
    assert_eq!(early, InvalidArgument::OutOfOrder(DiskOffset::new(0)));
    let past = reason(writer.write(DiskOffset::new(4 * MIB - 1), &[1, 2]));
    assert!(matches!(past, InvalidArgument::PastEndOfDisk { len: 2, .. }));

    for wrong in [
        NewDisk { disk_type: DiskType::Differencing, ..disk.clone() },
        NewDisk { physical_sector_size: 1024, ..disk.clone() },
        NewDisk { logical_sector_size: 0, ..disk.clone() },
        NewDisk { block_size: 3 << 20, ..disk.clone() },
        NewDisk { virtual_size: 0, ..disk.clone() },
    ] {
        assert!(VhdxWriter::new(&Memory::default(), &wrong).is_err(), "{wrong:?}");
    }
    assert!(VhdxWriter::new(&Memory::new(vec![0]), &disk).is_err());
}

/// A storage that records every write and sync.
#[derive(Default)]
struct Recorder {
    memory: Memory,
    record: Mutex<Vec<Step>>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Step {
    Write(u64),
    SetLen,
    Sync,
}

impl ReadAt for Recorder {
    fn size(&self) -> io::Result<u64> {
        ReadAt::size(&self.memory)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.memory.read_exact_at(buf, offset)
    }
}

impl Storage for Recorder {
    fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
        self.record.lock().unwrap().push(Step::Write(offset.get()));
        self.memory.write_all_at(buf, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.record.lock().unwrap().push(Step::SetLen);
        self.memory.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.record.lock().unwrap().push(Step::Sync);
        Ok(())
    }
}

#[test]
fn the_headers_come_last_between_two_syncs() {
    let file = Recorder::default();
    let disk = small(4 * MIB, DiskType::Dynamic);
    let mut writer = VhdxWriter::new(&file, &disk).unwrap();
    writer.write(DiskOffset::new(MIB), &[1; 4096]).unwrap();
    writer.finish().unwrap();
    let record = file.record.into_inner().unwrap();
    let headers = header::OFFSETS.map(|at| Step::Write(at.get()));
    let last = [Step::Sync, headers[0], headers[1], Step::Sync];
    let (before, end) = record.split_at(record.len() - 4);
    assert_eq!(end, last);
    assert!(!before.iter().any(|step| headers.contains(step) || *step == Step::Sync), "{record:?}");
    assert_eq!(before.last(), Some(&Step::SetLen));
}

/// 64 TiB in blocks of 1 MiB need a BAT of 513 MiB. The file takes space only for what is written.
#[test]
fn the_largest_disk_takes_little_space_and_memory() {
    let folder = tempfile::tempdir().unwrap();
    let file = NewFile::create(&folder.path().join("huge.vhdx"), IfExists::Fail).unwrap();
    let disk = small(64 << 40, DiskType::Dynamic);
    let mut writer = VhdxWriter::new(&file, &disk).unwrap();
    for at in [0, (32 << 40) + 5, (64 << 40) - 4096] {
        writer.write(DiskOffset::new(at), &[6; 4096]).unwrap();
        assert!(writer.bat.buffer.capacity() <= BatWriter::CAPACITY);
    }
    let written = writer.finish().unwrap();
    assert_eq!(written, WriteReport { blocks: 3, file_size: (3 + 513 + 3) * MIB });
    file.commit().unwrap();
    let path = folder.path().join("huge.vhdx");
    #[cfg(unix)] // elsewhere the file may have no holes and take its whole length
    assert!(crate::storage::allocated_bytes(&path).unwrap() < 4 * MIB);
    let vhdx = Vhdx::open(&path).unwrap();
    assert_eq!(vhdx.bat_entries(BatIndex::new(0), 2).unwrap()[1].raw(), 0);
    let chain = Chain::from_layers(vec![vhdx]).unwrap();
    let mut sector = [0; 512];
    chain.read_exact_at(&mut sector, DiskOffset::new((64 << 40) - 512)).unwrap();
    assert_eq!(sector, [6; 512]);
}

/// A file in memory, on a host that has no space once.
#[derive(Default)]
struct FullOnce {
    memory: Memory,
    was_full: Mutex<bool>,
}

impl ReadAt for FullOnce {
    fn size(&self) -> io::Result<u64> {
        ReadAt::size(&self.memory)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.memory.read_exact_at(buf, offset)
    }
}

impl Storage for FullOnce {
    fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
        self.memory.write_all_at(buf, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.memory.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn zero_range(&self, offset: FileOffset, len: u64) -> io::Result<()> {
        match std::mem::replace(&mut *self.was_full.lock().unwrap(), true) {
            true => self.memory.zero_range(offset, len),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

#[test]
fn a_block_without_space_can_be_written_again() {
    let file = FullOnce::default();
    let disk = small(2 * MIB, DiskType::Fixed);
    let mut writer = VhdxWriter::new(&file, &disk).unwrap();
    let error = writer.write(DiskOffset::new(0), &[7; 512]).unwrap_err();
    assert!(matches!(error, Error::Io { operation: "reserve space", .. }), "{error}");
    writer.write(DiskOffset::new(0), &[7; 512]).unwrap();
    assert_eq!(writer.finish().unwrap().blocks, 2);
    let disk = read(file.memory.into_inner());
    assert!(disk[..512] == [7; 512] && disk[512..].iter().all(|byte| *byte == 0));
}
