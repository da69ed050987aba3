use std::sync::atomic::Ordering;

use super::disk::{BASIC_DATA, Bytes, Gpt, mbr, places, seal};
use crate::partitions::{DiskId, TableFinding, TableKind};

const MIB: usize = 1 << 20;

fn usual() -> Gpt {
    Gpt::of(&[(BASIC_DATA, 64, 127, "data"), (0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b, 32, 63, "EFI ä")])
}

#[test]
fn both_sector_sizes() {
    for sector_size in [512, 4096] {
        let mut disk = Bytes::new(MIB, sector_size);
        usual().put(&mut disk);
        let found = disk.contents();
        assert_eq!((found.table.kind, found.table.sector_size), (TableKind::Gpt, sector_size));
        assert_eq!(found.table.id, Some(DiskId::Guid(vhdx::Guid::from_u128(77))));
        assert_eq!(found.findings, []);
        let size = u64::from(sector_size);
        assert_eq!(places(&found), [(1, 64 * size, 64 * size), (2, 32 * size, 32 * size)]);
        let [data, efi] = &found.partitions[..] else { panic!("{found:?}") };
        assert_eq!((data.type_name, data.name.as_deref()), (Some("Microsoft basic data"), Some("data")));
        assert_eq!((efi.type_name, efi.name.as_deref()), (Some("EFI system"), Some("EFI ä")));
        assert_eq!(data.guid, Some(vhdx::Guid::from_u128(1)));
        assert_eq!((&data.findings, &efi.findings), (&vec![], &vec![]));
        assert!(disk.reads.load(Ordering::Relaxed) <= 2 + 2 * 6);
    }
}

#[test]
fn a_usual_disk_takes_few_reads() {
    let mut disk = Bytes::new(8 * MIB, 512);
    let first = |number: u64| 2048 + 2048 * number;
    Gpt::of(&[0, 1, 2, 3].map(|number| (BASIC_DATA, first(number), first(number) + 2047, ""))).put(&mut disk);
    assert_eq!(disk.contents().partitions.len(), 4);
    let reads = disk.reads.load(Ordering::Relaxed);
    assert!(reads <= 2 + 4 * 6, "{reads} reads");
    // A disk without a table is read as a whole.
    let empty = Bytes::new(8 * MIB, 512);
    empty.contents();
    let reads = empty.reads.load(Ordering::Relaxed);
    assert!(reads <= 2 + 6, "{reads} reads");
}

#[test]
fn a_table_of_another_sector_size_is_found_and_reported() {
    for (table, disk_size) in [(512, 4096), (4096, 512)] {
        let mut disk = Bytes::new(MIB, table);
        usual().put(&mut disk);
        disk.sector_size = disk_size;
        let found = disk.contents();
        assert_eq!((found.table.kind, found.table.sector_size), (TableKind::Gpt, table));
        assert_eq!(found.findings, [TableFinding::OtherSectorSize { table, disk: disk_size }]);
        assert_eq!(found.partitions[0].start, 64 * u64::from(table));
    }
}

#[test]
fn a_damaged_primary_is_replaced_by_the_backup() {
    // A byte of the header, of the entries, and all of the header.
    for (at, damage) in [(512 + 60, vec![0xff]), (1024 + 40, vec![0xff]), (512, vec![0; 92])] {
        let mut disk = Bytes::new(MIB, 512);
        usual().put(&mut disk);
        let sound = places(&disk.contents());
        disk.put(at, &damage);
        let found = disk.contents();
        assert_eq!(places(&found), sound);
        assert!(matches!(&found.findings[..], [TableFinding::PrimaryDamaged { .. }]), "{:?}", found.findings);
    }
}

#[test]
fn a_damaged_backup_is_reported() {
    let last = MIB - 512;
    for (at, damage) in [(last + 60, vec![0xff]), (last - 1024, vec![0xff]), (last, vec![0; 92])] {
        let mut disk = Bytes::new(MIB, 512);
        usual().put(&mut disk);
        let sound = places(&disk.contents());
        disk.put(at, &damage);
        let found = disk.contents();
        assert_eq!(places(&found), sound);
        assert!(matches!(&found.findings[..], [TableFinding::BackupDamaged { .. }]), "{:?}", found.findings);
    }
}

#[test]
fn entries_that_are_damaged_in_both_copies_are_shown_as_they_are() {
    let mut disk = Bytes::new(MIB, 512);
    usual().put(&mut disk);
    disk.put(1024 + 32, &[65]);
    disk.put(MIB - 512 - 128 * 128 + 32, &[66]);
    let found = disk.contents();
    assert_eq!(found.partitions[0].start, 65 * 512);
    let damaged = |finding: &TableFinding| matches!(finding, TableFinding::DamagedEntries { .. });
    assert!(found.findings.iter().any(damaged), "{:?}", found.findings);
}

#[test]
fn without_a_usable_copy_the_protective_mbr_is_shown() {
    let mut disk = Bytes::new(MIB, 512);
    disk.put_sector(0, &mbr(&[(0, 0xee, 1, u32::MAX)]));
    let found = disk.contents();
    assert_eq!(found.table.kind, TableKind::Mbr);
    assert!(matches!(&found.findings[..], [TableFinding::NoGpt { .. }]), "{:?}", found.findings);
    assert_eq!(places(&found), [(1, 512, (MIB - 512) as u64)]);
    assert_eq!(found.partitions[0].type_name, Some("GPT protective"));
}

#[test]
fn a_resized_disk_has_its_backup_elsewhere() {
    let mut disk = Bytes::new(MIB, 512);
    usual().put(&mut disk);
    disk.bytes.resize(2 * MIB, 0);
    let found = disk.contents();
    let (at, last) = ((MIB - 512) as u64, (2 * MIB - 512) as u64);
    assert_eq!(found.findings, [TableFinding::BackupElsewhere { at, last }]);
    assert_eq!(found.partitions.len(), 2);
    // A disk that became smaller has lost its backup.
    disk.bytes.truncate(MIB / 2);
    let found = disk.contents();
    assert!(matches!(&found.findings[..], [TableFinding::BackupDamaged { .. }]), "{:?}", found.findings);
    assert_eq!(found.partitions.len(), 2);
}

#[test]
fn differences_between_the_copies_are_reported() {
    let mut disk = Bytes::new(MIB, 512);
    usual().put(&mut disk);
    let last = disk.sectors() - 1;
    Gpt::of(&[(BASIC_DATA, 64, 128, "data")]).put_copy(&mut disk, (last, 1), last - 32);
    let found = disk.contents();
    assert_eq!(found.findings, [TableFinding::CopiesDiffer { field: "entries" }]);
    assert_eq!(found.partitions.len(), 2);
}

#[test]
fn impossible_entries_are_left_out_or_shortened() {
    let mut disk = Bytes::new(MIB, 512);
    let entries = [
        (BASIC_DATA, 0, u64::MAX, "all"),
        (BASIC_DATA, u64::MAX, u64::MAX, "at the end of numbers"),
        (BASIC_DATA, 1 << 55, 1 << 56, "position of 2^64"),
        (BASIC_DATA, 100, 99, "reversed"),
        (BASIC_DATA, 2048, 2048, "behind the last sector"),
        (BASIC_DATA, 2047, 2048, "half behind it"),
    ];
    Gpt::of(&entries).put(&mut disk);
    let found = disk.contents();
    assert_eq!(places(&found), [(1, 0, MIB as u64), (6, (MIB - 512) as u64, 512)]);
    use TableFinding::{EndsPastEnd, OutsideUsable, Overlaps, Reversed, StartsPastEnd};
    let past = [2, 3].map(|number| StartsPastEnd { number });
    let expected = [&past[..], &[Reversed { number: 4 }, StartsPastEnd { number: 5 }]].concat();
    assert_eq!(found.findings, expected);
    assert_eq!(found.partitions[0].findings, [EndsPastEnd, OutsideUsable]);
    assert_eq!(found.partitions[1].findings, [EndsPastEnd, OutsideUsable, Overlaps { other: 1 }]);
}

#[test]
fn many_or_long_entries_are_bounded() {
    let mut disk = Bytes::new(4 * MIB, 512);
    let gpt = Gpt { entry_len: 512, entry_count: 2000, entries: vec![(1023, (BASIC_DATA, 6000, 6001, ""))] };
    gpt.put(&mut disk);
    let found = disk.contents();
    assert_eq!(places(&found), [(1024, 6000 * 512, 1024)]);
    assert_eq!(found.findings, [TableFinding::TooManyEntries { entries: 2000, read: 1024 }]);
    // Each of these entry sizes is illegal; the sizes of both copies.
    for entry_len in [0_u32, 64, 129, 8192, u32::MAX] {
        let mut disk = Bytes::new(MIB, 512);
        usual().put(&mut disk);
        for sector in [1, disk.sectors() - 1] {
            let at = sector as usize * 512;
            disk.put(at + 84, &entry_len.to_le_bytes());
            seal(&mut disk.bytes[at..]);
        }
        let found = disk.contents();
        assert!(matches!(&found.findings[..], [TableFinding::NoGpt { .. }]), "{:?}", found.findings);
    }
}

#[test]
fn the_other_partitions_of_a_hybrid_mbr_are_counted() {
    let mut disk = Bytes::new(MIB, 512);
    usual().put(&mut disk);
    disk.put_sector(0, &mbr(&[(0, 0x0c, 64, 64), (0, 0xee, 1, 63)]));
    let found = disk.contents();
    assert_eq!(found.table.kind, TableKind::Gpt);
    assert_eq!(found.findings, [TableFinding::HybridMbr { partitions: 1 }]);
}

#[test]
fn a_gpt_is_used_without_its_mbr_unless_another_table_is_there() {
    let mut disk = Bytes::new(MIB, 512);
    usual().put(&mut disk);
    disk.put_sector(0, &[0; 512]);
    let found = disk.contents();
    assert_eq!((found.table.kind, found.partitions.len()), (TableKind::Gpt, 2));
    assert_eq!(found.findings, [TableFinding::NoProtectiveMbr]);
    disk.put_sector(0, &mbr(&[(0, 7, 64, 64)]));
    let found = disk.contents();
    assert_eq!((found.table.kind, found.partitions.len()), (TableKind::Mbr, 1));
    assert_eq!(found.findings, [TableFinding::IgnoredGpt]);
}

#[test]
fn an_error_of_the_disk_concerns_only_what_is_there() {
    let mut disk = Bytes::new(MIB, 512);
    usual().put(&mut disk);
    disk.unreadable = 65 * 512..66 * 512;
    let found = disk.contents();
    assert_eq!((found.findings, found.partitions.len()), (vec![], 2));
    let [data, efi] = &found.partitions[..] else { panic!("two partitions") };
    assert!(matches!(data.findings[..], [TableFinding::Unreadable { .. }]), "{data:?}");
    assert_eq!(efi.findings, []);
    // The backup.
    disk.unreadable = (MIB - 512) as u64..MIB as u64;
    let found = disk.contents();
    assert!(matches!(&found.findings[..], [TableFinding::BackupDamaged { .. }]), "{:?}", found.findings);
    disk.unreadable = 0..1;
    assert!(crate::contents(&disk).is_err());
}
