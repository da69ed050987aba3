//! Fixed, dynamic and differencing disks that are written to read like a plain array with the same changes. If power or a
//! call fails meanwhile, each sector is old or new.

mod crash;
mod faults;
mod lost;
mod model;
mod places;
mod script;

use crate::common::{MIB, at};
use model::new_disk;
use vhdx::format::bat_entry::PayloadBlockState;
use vhdx::{DiskOffset, DiskType, FileOffset, InvalidArgument, Memory, ReadAt};

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
    let mut bytes = vec![0; file.size().unwrap() as usize];
    file.read_exact_at(&mut bytes, FileOffset::new(0)).unwrap();
    bytes
}

#[test]
fn space_that_was_freed_is_used_again_and_the_end_given_back() {
    let subject = new_disk(DiskType::Dynamic, 16 * MIB);
    let mut disk = subject.open();
    disk.write_all_at(&vec![1; 8 << 20], at(0)).unwrap();
    disk.flush().unwrap();
    let full = subject.file.size().unwrap();
    disk.write_zeros(at(0)..at(8 * MIB)).unwrap();
    disk.flush().unwrap();
    disk.write_all_at(&vec![2; 8 << 20], at(8 * MIB)).unwrap();
    disk.flush().unwrap();
    assert_eq!(subject.file.size().unwrap(), full);
    disk.unmap(at(0)..at(16 * MIB)).unwrap();
    disk.close().unwrap();
    assert_eq!(subject.file.size().unwrap(), full - 8 * MIB);
}

/// Unmapped blocks read as zeros here, but what is written as zeros must be so for every reader.
#[test]
fn zeros_over_an_unmapped_block_are_zeros_for_every_reader() {
    let subject = new_disk(DiskType::Dynamic, 4 * MIB);
    let mut disk = subject.open();
    disk.write_all_at(&vec![1; 2 << 20], at(0)).unwrap();
    disk.unmap(at(0)..at(2 * MIB)).unwrap();
    disk.write_zeros(at(0)..at(MIB + 512)).unwrap();
    let state = |block| disk.staged().payload_entry(vhdx::BlockIndex::new(block)).unwrap().payload_state();
    assert_eq!(state(0), Some(PayloadBlockState::Zero));
    assert_eq!(state(1), Some(PayloadBlockState::FullyPresent));
    disk.close().unwrap();
    subject.assert_reads("after closing");
}

/// Freed space must not be written to before the log says that it is free.
#[test]
fn space_is_not_used_again_within_one_commit() {
    let subject = new_disk(DiskType::Dynamic, 4 * MIB);
    let mut disk = subject.open();
    disk.write_all_at(&vec![1; 1 << 20], at(0)).unwrap();
    disk.flush().unwrap();
    let place = disk.staged().payload_entry(vhdx::BlockIndex::new(0)).unwrap().file_offset();
    disk.write_zeros(at(0)..at(MIB)).unwrap();
    disk.write_all_at(&vec![2; 1 << 20], at(MIB)).unwrap();
    assert_ne!(disk.staged().payload_entry(vhdx::BlockIndex::new(1)).unwrap().file_offset(), place);
    disk.flush().unwrap();
    disk.write_all_at(&vec![3; 1 << 20], at(2 * MIB)).unwrap();
    assert_eq!(disk.staged().payload_entry(vhdx::BlockIndex::new(2)).unwrap().file_offset(), place);
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
    for result in [disk.write_zeros(at(MIB)..at(0)), disk.unmap(at(MIB)..at(0))] {
        let error = result.unwrap_err();
        let vhdx::Error::InvalidArgument(argument) = error else { panic!("{error}") };
        assert!(matches!(argument, InvalidArgument::RangeReversed { .. }), "{argument}");
    }
    disk.close().unwrap();
    assert!(bytes(&subject.file) == before);
}
