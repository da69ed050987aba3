//! Writes the seeds of the fuzz target `contents` into a folder: small disks with partition tables and superblocks.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("the folder for the seeds"));
    std::fs::create_dir_all(&folder)?;
    for (name, disk) in seeds() {
        std::fs::write(folder.join(name), disk)?;
    }
    Ok(())
}

fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut logical =
        disk(40 << 10, &[(0, &mbr(&[(0x07, 1, 2), (0x05, 8, 64)])), (512, b"\xeb\x52\x90NTFS    ")]);
    put(&mut logical, 8 * 512, &mbr(&[(0x83, 1, 4), (0x05, 16, 8)]));
    put(&mut logical, 24 * 512, &mbr(&[(0x83, 1, 4), (0x05, 0, 8)]));
    put(&mut logical, 9 * 512 + 1024 + 56, b"\x53\xef");
    vec![
        ("empty", Vec::new()),
        ("mbr", logical),
        ("gpt", gpt(512)),
        ("gpt-4096", gpt(4096)),
        ("swap", disk(8192, &[(1024, &[1, 0, 0, 0, 100]), (4086, b"SWAPSPACE2")])),
        ("xfs", disk(4096, &[(0, b"XFSB\0\0\x10\0")])),
        ("btrfs", disk(68 << 10, &[((64 << 10) + 64, b"_BHRfS_M")])),
        ("luks", disk(4096, &[(0, b"LUKS\xba\xbe\0\x02")])),
        ("lvm", disk(4096, &[(512, b"LABELONE\x01"), (512 + 24, b"LVM2 001")])),
        ("ext", disk(4096, &[(1024 + 56, b"\x53\xef")])),
        ("iso", disk(36 << 10, &[(32769, b"CD001\x01")])),
        ("apfs", disk(4096, &[(32, b"NXSB\0\x10")])),
        ("hfs", disk(4096, &[(1024, b"H+\0\x04")])),
        ("apple", disk(8192, &[(0, b"ER\x02\0"), (512, b"PM\0\0\0\0\0\x02\0\0\0\x01\0\0\0\x02")])),
        ("bsd", disk(8192, &[(512, b"WEV\x82"), (512 + 132, b"WEV\x82")])),
        ("fat", fat()),
    ]
}

fn disk(len: usize, parts: &[(usize, &[u8])]) -> Vec<u8> {
    let mut disk = vec![0; len];
    for (at, bytes) in parts {
        put(&mut disk, *at, bytes);
    }
    disk
}

fn put(disk: &mut [u8], at: usize, bytes: &[u8]) {
    disk[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Returns a sector with these entries: type, first sector, number of sectors.
fn mbr(entries: &[(u8, u32, u32)]) -> [u8; 512] {
    let mut sector = [0; 512];
    for (entry, (kind, first, sectors)) in sector[446..510].chunks_exact_mut(16).zip(entries) {
        entry[4] = *kind;
        entry[8..12].copy_from_slice(&first.to_le_bytes());
        entry[12..].copy_from_slice(&sectors.to_le_bytes());
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// Returns the start of a disk with a GPT of four entries. The fuzz target corrects the checksums.
fn gpt(sector: usize) -> Vec<u8> {
    let mut header = Vec::from(b"EFI PART\0\0\x01\0\x5c\0\0\0\0\0\0\0\0\0\0\0");
    for number in [1_u64, 2047, 6, 2000] {
        header.extend(number.to_le_bytes());
    }
    header.extend([7; 16]);
    header.extend(2_u64.to_le_bytes());
    for number in [4_u32, 128, 0] {
        header.extend(number.to_le_bytes());
    }
    let mut disk = disk(3 * sector, &[(0, &mbr(&[(0xee, 1, u32::MAX)])), (sector, &header)]);
    let mut entry = vec![0xa2; 128];
    entry[32..40].copy_from_slice(&100_u64.to_le_bytes());
    entry[40..48].copy_from_slice(&200_u64.to_le_bytes());
    put(&mut disk, 2 * sector, &entry);
    disk
}

fn fat() -> Vec<u8> {
    let mut sector = mbr(&[]);
    sector[..13].copy_from_slice(b"\xeb\x58\x90mkfs.fat\0\x02");
    sector[13..17].copy_from_slice(&[1, 32, 0, 2]);
    sector[21] = 0xf8;
    sector[32..40].copy_from_slice(&[0, 8, 0, 0, 8, 0, 0, 0]);
    disk(4096, &[(0, &sector)])
}
