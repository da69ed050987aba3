//! The bytes in use, as the programs that belong to the file systems say.

use std::fs;

use vhdx_contents::probe::Finding;

use crate::disk::identify_file;
use crate::tools::{TestImage, both, command, program, run, text};

/// Returns the first number after a word.
fn number_after(output: &str, word: &str) -> u64 {
    let rest = output.split_once(word).unwrap_or_else(|| panic!("no {word:?} in {output}")).1;
    let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// A folder with a file of 3 MiB.
fn source() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), vec![0x5a; 3 << 20]).unwrap();
    folder
}

#[test]
fn ext4() {
    if ["mke2fs", "dumpe2fs"].into_iter().any(|name| program(name).is_none()) {
        return;
    }
    let source = source();
    let image =
        TestImage::make(64 << 20, &["mke2fs", "-q", "-t", "ext4", "-d", text(source.path()), "IMAGE"]);
    let facts = run("dumpe2fs", &["-h", text(&image.path)]);
    let (blocks, free) = (number_after(&facts, "Block count:"), number_after(&facts, "Free blocks:"));
    let content = identify_file(&image.path).unwrap();
    assert_eq!(content.used, Some((blocks - free) * number_after(&facts, "Block size:")));
    assert_eq!(content.clean, Some(true));
}

#[test]
fn xfs() {
    if ["mkfs.xfs", "xfs_db"].into_iter().any(|name| program(name).is_none()) {
        return;
    }
    let image = TestImage::make(320 << 20, &["mkfs.xfs", "-q", "IMAGE"]);
    let facts = run("xfs_db", &["-r", "-c", "sb 0", "-c", "print dblocks fdblocks", text(&image.path)]);
    let (blocks, free) = (number_after(&facts, "dblocks ="), number_after(&facts, "fdblocks ="));
    assert_eq!(identify_file(&image.path).unwrap().used, Some((blocks - free) * 4096));
}

#[test]
fn btrfs() {
    if ["mkfs.btrfs", "btrfs"].into_iter().any(|name| program(name).is_none()) {
        return;
    }
    let source = source();
    let image = TestImage::make(120 << 20, &["mkfs.btrfs", "-q", "--rootdir", text(source.path()), "IMAGE"]);
    let facts = run("btrfs", &["inspect-internal", "dump-super", text(&image.path)]);
    let used = identify_file(&image.path).unwrap().used;
    assert_eq!(used, Some(number_after(&facts, "\nbytes_used")));
    assert!(used > Some(3 << 20));
}

#[test]
fn fat32_and_its_mark_of_a_clean_volume() {
    if ["mkfs.vfat", "fsck.vfat"].into_iter().any(|name| program(name).is_none()) {
        return;
    }
    let image = TestImage::make(64 << 20, &["mkfs.vfat", "-F", "32", "-s", "1", "-n", "DATA", "IMAGE"]);
    let content = identify_file(&image.path).unwrap();
    let output = command("fsck.vfat").args(["-n", text(&image.path)]).output().unwrap();
    // "0 files, 1/129022 clusters"
    let facts = both(&output);
    let clusters = facts.split("files, ").nth(1).unwrap();
    assert_eq!(content.used, Some(number_after(clusters, "") * 512));
    assert_eq!(content.clean, Some(true));
    // The mark of Linux in the boot sector.
    image.write(65, &[1]);
    assert_eq!(identify_file(&image.path).unwrap().clean, Some(false));
}

#[test]
fn ntfs_that_was_not_unmounted() {
    if program("mkfs.ntfs").is_none() {
        return;
    }
    let image = TestImage::make(16 << 20, &["mkfs.ntfs", "-F", "-q", "-Q", "-L", "dirty", "IMAGE"]);
    let content = identify_file(&image.path).unwrap();
    assert_eq!((content.version.as_deref(), content.clean), (Some("3.1"), Some(true)));
    // The boot sector counts one sector less than the partition has: the last one is its backup.
    assert_eq!((content.size, content.findings), (Some((16 << 20) - 512), vec![]));
    // The flags of the volume follow its version.
    let bytes = fs::read(&image.path).unwrap();
    let record = 4 * 4096 + 3 * 1024;
    let at = bytes[record..record + 1024].windows(4).position(|window| window == [3, 1, 0, 0]).unwrap();
    image.write((record + at + 2) as u64, &[1]);
    assert_eq!(identify_file(&image.path).unwrap().clean, Some(false));
    // A torn record: its sectors do not belong together.
    image.flip(record as u64 + 1022);
    let content = identify_file(&image.path).unwrap();
    assert_eq!((content.findings.len(), content.label), (1, None));
}

#[test]
fn the_backup_boot_sector_of_ntfs() {
    if program("mkfs.ntfs").is_none() {
        return;
    }
    let image = TestImage::make(16 << 20, &["mkfs.ntfs", "-F", "-q", "-Q", "IMAGE"]);
    let finding = |why: &str| Finding::Invalid { structure: "backup boot sector", why: why.to_owned() };
    image.flip((16 << 20) - 512 + 72);
    let content = identify_file(&image.path).unwrap();
    assert_eq!(content.findings, [finding("it is not a copy of the boot sector")]);
    image.truncate((16 << 20) - 512);
    let content = identify_file(&image.path).unwrap();
    assert_eq!(content.findings, [finding("it is outside of the partition")]);
    // A partition that has grown has it in its middle.
    image.truncate(20 << 20);
    assert_eq!(identify_file(&image.path).unwrap().findings, []);
}

#[test]
fn ext4_with_errors_is_not_clean() {
    if ["mke2fs", "debugfs"].into_iter().any(|name| program(name).is_none()) {
        return;
    }
    let image = TestImage::make(16 << 20, &["mke2fs", "-q", "-t", "ext4", "IMAGE"]);
    for (change, is_clean) in [("state 3", false), ("state 0", false), ("state 1", true)] {
        run("debugfs", &["-w", "-R", &format!("set_super_value {change}"), text(&image.path)]);
        let content = identify_file(&image.path).unwrap();
        assert_eq!((content.clean, content.findings), (Some(is_clean), vec![]), "{change}");
    }
    run("debugfs", &["-w", "-R", "feature needs_recovery", text(&image.path)]);
    assert_eq!(identify_file(&image.path).unwrap().clean, Some(false));
}

/// The numbers of the whole file system are not those of a device.
#[test]
fn btrfs_with_two_devices() {
    if program("mkfs.btrfs").is_none() {
        return;
    }
    let (first, second) = (TestImage::new(140 << 20), TestImage::new(150 << 20));
    run("mkfs.btrfs", &["-q", "-d", "raid0", "-m", "raid1", text(&first.path), text(&second.path)]);
    for (image, size) in [(first, 140 << 20), (second, 150 << 20)] {
        let content = identify_file(&image.path).unwrap();
        assert_eq!((content.size, content.used, content.findings), (Some(size), None, vec![]));
    }
}
