//! FAT, made by `mkfs.vfat` and filled by mtools.

use std::process::Command;
use std::time::Duration;

use vhdx_testkit::{Random, shared};

use crate::image::{Image, run};
use crate::{originals, walk};

#[test]
fn files_are_read_from_each_kind_of_fat() {
    if shared::program("mcopy").is_none() {
        return;
    }
    let kinds: [(&[&str], u64, usize); 5] = [
        (&["mkfs.vfat", "-F", "12", "-s", "8", "-r", "1024"], 12 << 20, 100),
        (&["mkfs.vfat", "-F", "16", "-r", "1024"], 60 << 20, 300),
        (&["mkfs.vfat", "-F", "32", "-s", "8"], 300 << 20, 4_000),
        (&["mkfs.vfat", "-F", "32", "-S", "4096", "-s", "1"], 500 << 20, 300),
        (&["mkfs.vfat", "-F", "32", "-f", "1", "-s", "64", "-R", "64"], 4 << 30, 300),
    ];
    for (mkfs, size, count) in kinds {
        let Some(image) = Image::new(size, mkfs) else { return };
        let originals = tempfile::tempdir().unwrap();
        originals::make_with(originals.path(), count, &originals::NAMES, &mut Random::new(7));
        run(Command::new("mcopy")
            .env("TZ", "UTC")
            .env("LC_ALL", "C.UTF-8")
            .args(["-s", "-m", "-Q", "-i"])
            .arg(image.path())
            .args(std::fs::read_dir(originals.path()).unwrap().map(|entry| entry.unwrap().path()))
            .arg("::/"));
        walk::open(&image.path(), |fs| {
            originals::assert_same(originals.path(), &walk::all(fs), Duration::from_secs(2));
            assert!(fs.lookup(fs.root(), b"LARGE").unwrap().is_some());
            assert!(fs.lookup(fs.root(), b"GROUP 0").unwrap().is_some());
        });
    }
}

#[test]
fn two_entries_of_one_folder_have_one_identity() {
    if shared::program("mcopy").is_none() {
        return;
    }
    let Some(image) = Image::new(9 << 20, &["mkfs.vfat", "-F", "16", "-s", "1"]) else { return };
    run(Command::new("mmd").arg("-i").arg(image.path()).args(["::/ONE", "::/OTHER", "::/THIRD"]));
    let mut bytes = image.bytes();
    let place = |name: &[u8]| bytes.chunks_exact(32).position(|entry| entry.starts_with(name)).unwrap() * 32;
    let (one, other) = (place(b"ONE        \x10") + 26, place(b"OTHER      \x10") + 26);
    bytes.copy_within(one..one + 2, other);
    std::fs::write(image.path(), bytes).unwrap();
    walk::open(&image.path(), |fs| {
        let identity =
            |name: &[u8]| fs.folder_identity(fs.lookup(fs.root(), name).unwrap().unwrap().node).unwrap();
        assert_eq!(identity(b"ONE"), identity(b"OTHER"));
        assert_ne!(identity(b"ONE"), identity(b"THIRD"));
        assert_ne!(identity(b"ONE"), fs.folder_identity(fs.root()).unwrap());
    });
}

#[test]
fn a_volume_that_is_not_clean_is_noted() {
    for (bits, size, at, mask) in [("16", 9 << 20, 3, 0x7f), ("32", 36 << 20, 7, 0xf7)] {
        let Some(image) = Image::new(size, &["mkfs.vfat", "-s", "1", "-F", bits]) else { return };
        walk::open(&image.path(), |fs| assert_eq!(fs.notes(), Vec::<String>::new()));
        let mut bytes = image.bytes();
        let table = usize::from(u16::from_le_bytes([bytes[14], bytes[15]])) * 512;
        bytes[table + at] &= mask;
        std::fs::write(image.path(), bytes).unwrap();
        walk::open(&image.path(), |fs| assert_eq!(fs.notes().len(), 1, "{bits}"));
    }
}
