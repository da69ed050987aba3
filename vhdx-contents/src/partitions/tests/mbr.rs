use super::disk::{Bytes, mbr, places};
use crate::partitions::{DiskId, TableFinding, TableKind};

const SECTORS: usize = 4096;

fn disk(entries: &[(u8, u8, u32, u32)]) -> Bytes {
    let mut disk = Bytes::new(SECTORS * 512, 512);
    disk.put_sector(0, &mbr(entries));
    disk
}

/// Returns the numbers, starts and lengths in sectors.
fn sectors(disk: &Bytes) -> Vec<(u32, u64, u64)> {
    let found = disk.contents();
    places(&found).into_iter().map(|(number, start, len)| (number, start / 512, len / 512)).collect()
}

#[test]
fn primary_and_logical_partitions() {
    let mut disk = disk(&[(0x80, 7, 64, 64), (0, 0, 9, 9), (0, 0x0f, 200, 1000), (0, 0x83, 128, 64)]);
    disk.put_sector(200, &mbr(&[(0, 0x83, 8, 92), (0, 5, 100, 200)]));
    disk.put_sector(300, &mbr(&[(0x80, 0x82, 8, 192)]));
    let found = disk.contents();
    assert_eq!((found.table.kind, found.table.id), (TableKind::Mbr, Some(DiskId::Signature(0x1234_5678))));
    assert_eq!(sectors(&disk), [(1, 64, 64), (3, 200, 1000), (4, 128, 64), (5, 208, 92), (6, 308, 192)]);
    assert_eq!(found.findings, []);
    assert!(found.partitions.iter().all(|one| one.findings.is_empty()), "{found:?}");
    let bootable: Vec<u32> =
        found.partitions.iter().filter(|one| one.is_bootable).map(|one| one.number).collect();
    assert_eq!(bootable, [1, 6]);
    assert!(found.partitions[1].is_extended);
    assert_eq!(found.partitions[4].type_name, Some("Linux swap"));
}

#[test]
fn loops_of_extended_partitions_end() {
    // A record that continues with itself, and two that continue with each other.
    let mut itself = disk(&[(0, 5, 200, 1000)]);
    itself.put_sector(200, &mbr(&[(0, 0x83, 8, 8), (0, 5, 0, 200)]));
    let mut pair = disk(&[(0, 5, 200, 1000)]);
    pair.put_sector(200, &mbr(&[(0, 0x83, 8, 8), (0, 5, 100, 200)]));
    pair.put_sector(300, &mbr(&[(0, 0x83, 8, 8), (0, 5, 0, 200)]));
    for (disk, count) in [(itself, 2), (pair, 3)] {
        let found = disk.contents();
        assert_eq!(found.partitions.len(), count);
        let at = 200 * 512;
        assert!(
            matches!(&found.findings[..], [TableFinding::BrokenExtended { at: found, .. }] if *found == at)
        );
    }
}

#[test]
fn the_number_of_logical_partitions_is_bounded() {
    let mut disk = disk(&[(0, 0x85, 100, 3900)]);
    for number in 0..200 {
        let entries = [(0, 0x83, 1, 4), (0, 5, (number + 1) * 8, 8)];
        disk.put_sector(100 + 8 * u64::from(number), &mbr(&entries));
    }
    let found = disk.contents();
    assert_eq!(found.partitions.len(), 1 + 128);
    assert_eq!(found.partitions.last().unwrap().number, 132);
    assert!(matches!(&found.findings[..], [TableFinding::BrokenExtended { .. }]), "{:?}", found.findings);
}

#[test]
fn two_extended_partitions_are_both_followed() {
    let mut disk = disk(&[(0, 5, 200, 100), (0, 5, 400, 100)]);
    disk.put_sector(200, &mbr(&[(0, 0x83, 8, 8)]));
    disk.put_sector(400, &mbr(&[(0, 0x83, 8, 8)]));
    assert_eq!(sectors(&disk), [(1, 200, 100), (2, 400, 100), (5, 208, 8), (6, 408, 8)]);
}

#[test]
fn an_extended_partition_without_records_is_reported() {
    for entries in [(0, 5, 200, 100), (0, 5, 4000, u32::MAX), (0, 5, u32::MAX, u32::MAX)] {
        let found = disk(&[entries]).contents();
        let is_broken = |one: &TableFinding| matches!(one, TableFinding::BrokenExtended { .. });
        assert!(found.findings.iter().any(is_broken), "{:?}", found.findings);
    }
}

#[test]
fn logical_partitions_outside_of_their_extended_one() {
    let mut disk = disk(&[(0, 7, 1000, 100), (0, 5, 200, 100)]);
    disk.put_sector(200, &mbr(&[(0, 0x83, 850, 8)]));
    let found = disk.contents();
    let expected = [TableFinding::OutsideExtended, TableFinding::Overlaps { other: 1 }];
    assert_eq!(found.partitions[2].findings, expected);
}

#[test]
fn partitions_past_the_end_and_overlapping() {
    let disk = disk(&[(0, 7, 4000, 200), (0, 7, 4096, 1), (0, 7, 100, 100), (0, 7, 199, 1)]);
    assert_eq!(sectors(&disk), [(1, 4000, 96), (3, 100, 100), (4, 199, 1)]);
    let found = disk.contents();
    assert_eq!(found.findings, [TableFinding::StartsPastEnd { number: 2 }]);
    assert_eq!(found.partitions[0].findings, [TableFinding::EndsPastEnd]);
    assert_eq!(found.partitions[1].findings, []);
    assert_eq!(found.partitions[2].findings, [TableFinding::Overlaps { other: 3 }]);
}

#[test]
fn a_primary_partition_may_not_overlap_the_extended_one() {
    let mut disk = disk(&[(0, 5, 200, 1000), (0, 7, 500, 10)]);
    disk.put_sector(200, &mbr(&[(0, 0x83, 8, 8)]));
    let found = disk.contents();
    assert_eq!(found.partitions[1].findings, [TableFinding::Overlaps { other: 1 }]);
    assert_eq!(found.partitions[2].findings, []);
}

#[test]
fn a_status_that_is_neither_active_nor_inactive_is_no_mbr() {
    let disk = disk(&[(0x81, 7, 100, 100)]);
    assert_eq!(disk.contents().table.kind, TableKind::None);
}

#[test]
fn an_empty_table_is_a_table() {
    let found = disk(&[]).contents();
    assert_eq!((found.table.kind, found.partitions.len(), found.whole), (TableKind::Mbr, 0, None));
}

#[test]
fn the_table_of_a_disk_with_large_sectors() {
    let mut disk = Bytes::new(SECTORS * 4096, 4096);
    disk.put_sector(0, &mbr(&[(0, 7, 256, 100), (0, 5, 1000, 1000)]));
    disk.put_sector(1000, &mbr(&[(0, 0x83, 8, 92)]));
    let found = disk.contents();
    let places: Vec<_> =
        places(&found).iter().map(|(n, start, len)| (*n, start / 4096, len / 4096)).collect();
    assert_eq!(places, [(1, 256, 100), (2, 1000, 1000), (5, 1008, 92)]);
}
