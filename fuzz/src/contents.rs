//! Finds what a disk of arbitrary bytes contains.

use vhdx::RawDisk;
use vhdx_contents::{Contents, contents};

/// The place of the GPT header, and the positions of its fields.
const HEADER: usize = 512;
const HEADER_LEN: usize = 92;
const CHECKSUM: usize = 16;
const ENTRIES_LBA: usize = 72;
const ENTRY_COUNT: usize = 80;
const ENTRY_LEN: usize = 84;
const ENTRIES_CHECKSUM: usize = 88;

/// The length of a disk that is made from short input: partitions have room, and a read of all of it is fast.
const DISK: usize = 1 << 20;

/// Finds what a disk contains. Nothing that it holds may do more than give an error or a finding.
pub fn exercise(bytes: Vec<u8>) {
    let len = bytes.len() as u64;
    let disk = RawDisk::open_with(bytes, "disk").expect("memory can be opened");
    let found = contents(&disk).expect("memory can be read");
    check(&found, len);
}

fn check(found: &Contents, disk_len: u64) {
    assert!(found.partitions.len() <= 1024, "{} partitions", found.partitions.len());
    for partition in &found.partitions {
        assert!(partition.len > 0 && partition.start < disk_len, "{partition:?}");
        assert!(partition.start + partition.len <= disk_len, "{partition:?}");
        assert!(partition.number > 0);
    }
    let texts = found.partitions.iter().flat_map(|partition| &partition.findings).chain(&found.findings);
    texts.for_each(|finding| assert!(!finding.to_string().is_empty()));
    let of_partitions = found.partitions.iter().filter_map(|partition| partition.content.as_ref());
    for content in of_partitions.chain(&found.whole) {
        content.findings.iter().for_each(|finding| assert!(!finding.to_string().is_empty()));
    }
}

/// Returns a disk with these bytes at both ends, and with correct checksums of the primary GPT.
pub fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut disk = vec![0; DISK.max(bytes.len())];
    let tail = disk.len() - bytes.len().min(disk.len() / 2);
    disk[..bytes.len()].copy_from_slice(bytes);
    let end = &bytes[bytes.len() - (disk.len() - tail)..];
    disk[tail..].copy_from_slice(end);
    seal(&mut disk);
    disk
}

fn seal(disk: &mut [u8]) -> Option<()> {
    let number = |disk: &[u8], at: usize| {
        let bytes = disk.get(HEADER + at..)?.first_chunk().copied()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let start = number(disk, ENTRIES_LBA)?.checked_mul(512)?;
    let len = number(disk, ENTRY_COUNT)?.checked_mul(number(disk, ENTRY_LEN)?)?;
    let entries = crc32fast::hash(disk.get(start..start.checked_add(len)?)?);
    let header = disk.get_mut(HEADER..HEADER + HEADER_LEN)?;
    header[12..16].copy_from_slice(&92_u32.to_le_bytes());
    header[ENTRIES_CHECKSUM..].copy_from_slice(&entries.to_le_bytes());
    header[CHECKSUM..CHECKSUM + 4].fill(0);
    let checksum = crc32fast::hash(header);
    header[CHECKSUM..CHECKSUM + 4].copy_from_slice(&checksum.to_le_bytes());
    Some(())
}
