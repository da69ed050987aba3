use super::disk::{Bytes, mbr, places};
use crate::partitions::TableKind;

/// Returns the first sector of a file system, with a name at byte 3.
fn boot_sector(name: &[u8; 8]) -> [u8; 512] {
    let mut sector = mbr(&[]);
    sector[440..444].fill(0x20);
    sector[..3].copy_from_slice(&[0xeb, 0x58, 0x90]);
    sector[3..11].copy_from_slice(name);
    sector[11..13].copy_from_slice(&512_u16.to_le_bytes());
    sector[13] = 8;
    sector[14] = 32;
    sector[16] = 2;
    sector[21] = 0xf8;
    sector[32..36].copy_from_slice(&4096_u32.to_le_bytes());
    sector[36..40].copy_from_slice(&8_u32.to_le_bytes());
    sector
}

#[test]
fn a_file_system_without_a_table_is_no_mbr() {
    for name in [b"NTFS    ", b"EXFAT   ", b"-FVE-FS-", b"MSDOS5.0", b"mkfs.fat"] {
        let mut disk = Bytes::new(1 << 20, 512);
        let mut sector = boot_sector(name);
        disk.put_sector(0, &sector);
        assert_eq!(disk.contents().table.kind, TableKind::None, "{name:?}");
        // Text of the boot code where the entries of an MBR are. Each status is one that an MBR can have.
        sector[446..510].fill(b'a');
        for status in [446, 462, 478, 494] {
            sector[status] = 0x80;
        }
        disk.put_sector(0, &sector);
        assert_eq!(disk.contents().table.kind, TableKind::None, "{name:?}");
    }
}

#[test]
fn an_mbr_with_the_header_of_a_file_system_is_an_mbr() {
    let mut disk = Bytes::new(1 << 20, 512);
    let mut sector = boot_sector(b"MSDOS5.0");
    sector[446..].copy_from_slice(&mbr(&[(0x80, 0x0c, 63, 1000)])[446..]);
    disk.put_sector(0, &sector);
    let found = disk.contents();
    assert_eq!((found.table.kind, places(&found)), (TableKind::Mbr, vec![(1, 63 * 512, 512_000)]));
}

#[test]
fn disks_of_any_length_are_read() {
    for len in (0..40).chain([511, 512, 513, 1023, 1024, 4095, 4096, 4097, 36 << 10, (36 << 10) + 1]) {
        for byte in [0, 0xff] {
            let mut disk = Bytes::new(len, 512);
            disk.bytes.fill(byte);
            let found = disk.contents();
            assert_eq!((found.table.kind, found.partitions.len()), (TableKind::None, 0));
        }
    }
}

#[test]
fn an_apple_partition_map() {
    let mut disk = Bytes::new(1 << 20, 512);
    disk.put_sector(0, b"ER\x02\x00");
    let entries =
        [(1, 63, "Apple", "Apple_partition_map"), (64, 900, "disk", "Apple_HFS"), (5000, 1, "x", "y")];
    for (number, (first, sectors, name, kind)) in (1_u64..).zip(entries) {
        let mut entry = vec![0; 80];
        entry[..2].copy_from_slice(b"PM");
        entry[4..8].copy_from_slice(&3_u32.to_be_bytes());
        entry[8..12].copy_from_slice(&u32::to_be_bytes(first));
        entry[12..16].copy_from_slice(&u32::to_be_bytes(sectors));
        entry[16..16 + name.len()].copy_from_slice(name.as_bytes());
        entry[48..48 + kind.len()].copy_from_slice(kind.as_bytes());
        disk.put_sector(number, &entry);
    }
    let found = disk.contents();
    assert_eq!(found.table.kind, TableKind::Apple);
    assert_eq!(places(&found), [(1, 512, 63 * 512), (2, 64 * 512, 900 * 512)]);
    assert_eq!(found.partitions[1].type_id.to_string(), "Apple_HFS");
    assert_eq!(found.partitions[1].name.as_deref(), Some("disk"));
    assert_eq!(found.findings.len(), 1);
}

#[test]
fn a_bsd_disklabel() {
    let mut disk = Bytes::new(1 << 20, 512);
    let mut label = vec![0; 148 + 8 * 16];
    for at in [0, 132] {
        label[at..at + 4].copy_from_slice(&0x8256_4557_u32.to_le_bytes());
    }
    label[40..44].copy_from_slice(&512_u32.to_le_bytes());
    label[138] = 8;
    for (index, sectors, first, kind) in [(0, 100_u32, 16_u32, 7), (1, 50, 116, 1), (2, 2048, 0, 0)] {
        let entry = &mut label[148 + 16 * index..];
        entry[..4].copy_from_slice(&sectors.to_le_bytes());
        entry[4..8].copy_from_slice(&first.to_le_bytes());
        entry[12] = kind;
    }
    let sum = label.chunks_exact(2).fold(0, |sum, word| sum ^ u16::from_le_bytes([word[0], word[1]]));
    label[136..138].copy_from_slice(&sum.to_le_bytes());
    disk.put_sector(1, &label);
    let found = disk.contents();
    assert_eq!(found.table.kind, TableKind::Bsd);
    assert_eq!(places(&found), [(1, 16 * 512, 100 * 512), (2, 116 * 512, 50 * 512)]);
    assert_eq!(found.partitions[0].type_name, Some("BSD FFS"));
    // A wrong checksum.
    disk.put(512 + 60, &[1]);
    assert_eq!(disk.contents().table.kind, TableKind::None);
}
