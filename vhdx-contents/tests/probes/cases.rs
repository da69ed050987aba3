//! Images of every kind that a tool can make.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use vhdx_contents::probe::ContentKind;

use crate::compare::differences;
use crate::disk::TestDisk;
use crate::tools::{TestImage, program};

pub(crate) struct Case {
    pub(crate) size: u64,
    pub(crate) command: &'static [&'static str],
    pub(crate) kind: ContentKind,
    pub(crate) sector_size: u32,
}

const fn case(kind: ContentKind, mib: u64, command: &'static [&'static str]) -> Case {
    Case { size: mib << 20, command, kind, sector_size: 512 }
}

const fn case_4k(kind: ContentKind, mib: u64, command: &'static [&'static str]) -> Case {
    Case { size: mib << 20, command, kind, sector_size: 4096 }
}

use ContentKind::*;

const LUKS1: &[&str] = &[
    "cryptsetup",
    "-q",
    "luksFormat",
    "--type",
    "luks1",
    "--pbkdf-force-iterations",
    "1000",
    "IMAGE",
    "KEYFILE",
];

#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    case(Ntfs, 16, &["mkfs.ntfs", "-F", "-q", "-Q", "-L", "Daten ä 数据", "IMAGE"]),
    case(Ntfs, 16, &["mkfs.ntfs", "-F", "-q", "-Q", "IMAGE"]),
    case(Ntfs, 64, &["mkfs.ntfs", "-F", "-q", "-Q", "-c", "65536", "-L", "large clusters", "IMAGE"]),
    case(Ntfs, 64, &["mkfs.ntfs", "-F", "-q", "-Q", "-c", "512", "-L", "small clusters", "IMAGE"]),
    case(Ntfs, 64, &["mkfs.ntfs", "-F", "-q", "-Q", "-c", "2097152", "-L", "huge", "IMAGE"]),
    case_4k(Ntfs, 64, &["mkfs.ntfs", "-F", "-q", "-Q", "-s", "4096", "-L", "4Kn", "IMAGE"]),
    case(Fat12, 4, &["mkfs.vfat", "-F", "12", "-n", "OLD DISK", "IMAGE"]),
    case(Fat12, 2, &["mkfs.vfat", "-F", "12", "-s", "4", "IMAGE"]),
    case(Fat16, 32, &["mkfs.vfat", "-F", "16", "-n", "BOOT", "-i", "0123abcd", "IMAGE"]),
    case(Fat16, 500, &["mkfs.vfat", "-F", "16", "-n", "LARGE", "IMAGE"]),
    case(Fat16, 100, &["mkfs.vfat", "-F", "16", "-S", "2048", "-n", "2K", "IMAGE"]),
    case(Fat32, 64, &["mkfs.vfat", "-F", "32", "-n", "EFI", "IMAGE"]),
    case(Fat32, 300, &["mkfs.vfat", "-F", "32", "IMAGE"]),
    case(Fat32, 20, &["mkfs.vfat", "-F", "32", "-s", "1", "-n", "SMALL", "IMAGE"]),
    case_4k(Fat32, 300, &["mkfs.vfat", "-F", "32", "-S", "4096", "-n", "4KN", "IMAGE"]),
    case(ExFat, 16, &["mkfs.exfat", "-L", "Photos ü 写真", "IMAGE"]),
    case(ExFat, 16, &["mkfs.exfat", "IMAGE"]),
    case(ExFat, 200, &["mkfs.exfat", "-c", "1M", "-L", "large", "IMAGE"]),
    case(Ext2, 8, &["mke2fs", "-q", "-t", "ext2", "-b", "1024", "-L", "small blocks", "IMAGE"]),
    case(Ext2, 8, &["mke2fs", "-q", "-t", "ext2", "-b", "4096", "IMAGE"]),
    case(Ext2, 8, &["mke2fs", "-q", "-t", "ext2", "-r", "0", "-O", "none", "IMAGE"]),
    case(Ext3, 16, &["mke2fs", "-q", "-t", "ext3", "-b", "2048", "-L", "with journal", "IMAGE"]),
    case(Ext4, 16, &["mke2fs", "-q", "-t", "ext4", "-L", "root ö", "IMAGE"]),
    case(Ext4, 64, &["mke2fs", "-q", "-t", "ext4", "-b", "1024", "-O", "^64bit", "IMAGE"]),
    case(Ext4, 16, &["mke2fs", "-q", "-t", "ext4", "-O", "^metadata_csum", "-L", "no checksums", "IMAGE"]),
    case(Ext4, 16, &["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "IMAGE"]),
    case(Ext4, 64, &["mke2fs", "-q", "-t", "ext4", "-F", "-b", "65536", "-O", "bigalloc", "-L",
        "64 KiB blocks", "IMAGE"]),
    case(Ext4, 16, &["mke2fs", "-q", "-t", "ext4", "-O", "casefold,encrypt,inline_data", "-L",
        "0123456789abcdef", "IMAGE"]),
    case(ExtJournal, 16, &["mke2fs", "-q", "-O", "journal_dev", "-b", "1024", "-L", "journal", "IMAGE"]),
    case(Xfs, 320, &["mkfs.xfs", "-q", "-L", "xfs root", "IMAGE"]),
    case(Xfs, 320, &["mkfs.xfs", "-q", "-m", "crc=0", "-L", "version four", "IMAGE"]),
    case(Xfs, 320, &["mkfs.xfs", "-q", "-b", "size=1024", "IMAGE"]),
    case_4k(Xfs, 320, &["mkfs.xfs", "-q", "-s", "size=4096", "-L", "4Kn", "IMAGE"]),
    case(Btrfs, 120, &["mkfs.btrfs", "-q", "-L", "subvolumes and more", "IMAGE"]),
    case(Btrfs, 120, &["mkfs.btrfs", "-q", "--csum", "xxhash", "-L", "xxhash", "IMAGE"]),
    case(Btrfs, 120, &["mkfs.btrfs", "-q", "--csum", "sha256", "-L", "sha256", "IMAGE"]),
    case(Btrfs, 120, &["mkfs.btrfs", "-q", "--csum", "blake2", "IMAGE"]),
    case(Btrfs, 24, &["mkfs.btrfs", "-q", "--mixed", "-L", "mixed", "IMAGE"]),
    case(Swap, 8, &["mkswap", "-p", "4096", "-L", "swap", "IMAGE"]),
    case(Swap, 8, &["mkswap", "-p", "8192", "IMAGE"]),
    case(Swap, 8, &["mkswap", "-p", "16384", "-L", "0123456789abcdef", "IMAGE"]),
    case(Swap, 8, &["mkswap", "-p", "65536", "IMAGE"]),
    case(Luks1, 8, LUKS1),
    case(Luks2, 32, &["cryptsetup", "-q", "luksFormat", "--type", "luks2", "--pbkdf", "pbkdf2",
        "--pbkdf-force-iterations", "1000",
        "--label", "secret data", "IMAGE", "KEYFILE"]),
    case_4k(Luks2, 32, &["cryptsetup", "-q", "luksFormat", "--type", "luks2", "--pbkdf", "pbkdf2",
        "--pbkdf-force-iterations", "1000",
        "--sector-size", "4096", "--luks2-metadata-size", "1m", "--luks2-keyslots-size", "4m", "IMAGE", "KEYFILE"]),
    case(Iso9660, 0, &["xorriso", "-as", "mkisofs", "-quiet", "-V", "PLAIN_DISC", "-o", "IMAGE", "FOLDER"]),
    case(Iso9660, 0, &["xorriso", "-as", "mkisofs", "-quiet", "-J", "-R", "-V", "a long label with Joliet",
        "-o", "IMAGE", "FOLDER"]),
    case(Udf, 8, &["mkudffs", "-b", "2048", "-l", "disc ü", "IMAGE"]),
    case(Udf, 8, &["mkudffs", "-b", "512", "-l", "hard disk", "-r", "1.50", "IMAGE"]),
    case_4k(Udf, 16, &["mkudffs", "-b", "4096", "-l", "数据", "IMAGE"]),
    case(Apfs, 600, &["mkapfs", "-L", "Macintosh", "IMAGE"]),
    case(Hfs, 8, &["hformat", "-l", "Old Mac", "IMAGE"]),
    case(F2fs, 64, &["mkfs.f2fs", "-q", "-l", "flash ß", "IMAGE"]),
    case(F2fs, 64, &["mkfs.f2fs", "-q", "-O", "extra_attr,sb_checksum", "-l", "sealed", "IMAGE"]),
    case(SquashFs, 0, &["mksquashfs", "FOLDER", "IMAGE", "-quiet", "-noappend", "-no-progress"]),
    case(SquashFs, 0, &["mksquashfs", "FOLDER", "IMAGE", "-quiet", "-noappend", "-no-progress", "-b", "1M",
        "-comp", "xz"]),
];

#[test]
fn contents_are_what_blkid_and_file_say() {
    let programs: BTreeSet<&str> =
        CASES.iter().map(|case| case.command[0]).chain(["blkid", "file"]).collect();
    if programs.into_iter().any(|name| program(name).is_none()) {
        return;
    }
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(case) = CASES.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = failures_of(case);
                    failures
                        .lock()
                        .unwrap()
                        .extend(found.iter().map(|one| format!("{:?}: {one}", case.command)));
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn failures_of(case: &Case) -> Vec<String> {
    let image = match TestImage::try_make(case.size, case.command) {
        Ok(image) => image,
        Err(why) => return vec![why],
    };
    let disk = TestDisk::open(&image.path, case.sector_size);
    let Some(content) = disk.identify() else { return vec!["nothing was found".to_owned()] };
    let mut failures = differences(&image.path, &content);
    if content.kind != case.kind {
        failures.push(format!("it is {:?}", content.kind));
    }
    if disk.reads() > if case.kind == Udf { 5 } else { 4 } {
        failures.push(format!("{} reads", disk.reads()));
    }
    let is_unverified = matches!(case.command.get(3), Some(&"xxhash" | &"blake2"));
    if content.findings.len() != usize::from(is_unverified) {
        failures.push(format!("findings: {:?}", content.findings));
    }
    let len = std::fs::metadata(&image.path).unwrap().len();
    let is_luks = matches!(case.kind, Luks1 | Luks2 | Udf);
    // Rounding may leave a part of the partition unused.
    if !is_luks && !content.size.is_some_and(|size| size <= len && size + (8 << 20) >= len) {
        failures.push(format!("its size is {:?} of {len}", content.size));
    }
    if content.used.is_some_and(|used| used > content.size.unwrap()) {
        failures.push(format!("{:?} of {:?} are used", content.used, content.size));
    }
    failures
}
