//! Damaged file systems: no panic, no endless loop, no huge allocation.

use std::process::Command;
use std::time::{Duration, Instant};

use vhdx_testkit::{Random, shared};

use crate::image::{Image, run};
use crate::{originals, walk};

/// Overwrites some bytes of the parts of an image that are not zero, and reads everything.
fn mutate(image: &[u8], rounds: usize) {
    let used: Vec<usize> = image
        .chunks(512)
        .enumerate()
        .filter(|(_, sector)| sector.iter().any(|byte| *byte != 0))
        .map(|(number, _)| number)
        .collect();
    let mut random = Random::new(7);
    let mut read = 0;
    for round in 0..rounds {
        let mut bytes = image.to_vec();
        for _ in 0..=random.below(8) {
            let sector = used[random.below(used.len())];
            let at = sector * 512 + random.below(512);
            let values = [0, 1, 0x7f, 0x80, 0xff, random.bytes(1)[0]];
            bytes[at] = values[random.below(6)];
        }
        if round % 20 == 0 {
            bytes.truncate(random.below(bytes.len()) / 512 * 512);
        }
        let start = Instant::now();
        read += walk::exhaust(bytes).0;
        assert!(start.elapsed() < Duration::from_secs(20), "round {round}");
    }
    assert!(read > 0);
}

fn rounds() -> usize {
    std::env::var("VHDX_MUTATIONS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(400)
}

#[test]
fn mutated_ntfs() {
    let Some(image) = Image::new(4 << 20, &["mkfs.ntfs", "-F", "-Q", "-q"]) else { return };
    let filled = image.fill(&["ntfs-3g"], |folder| {
        for number in 0..120 {
            std::fs::write(folder.join(format!("file {number}")), "x".repeat(number * 20)).unwrap();
        }
        originals::make_sparse(&folder.join("sparse"));
        std::os::unix::fs::symlink("target", folder.join("link")).unwrap();
    });
    if filled.is_some() {
        mutate(&image.bytes(), rounds());
    }
}

#[test]
fn mutated_fat() {
    if shared::program("mcopy").is_none() {
        return;
    }
    for (bits, size) in [("12", 1 << 20), ("16", 9 << 20), ("32", 36 << 20)] {
        let Some(image) = Image::new(size, &["mkfs.vfat", "-s", "1", "-F", bits]) else { return };
        let originals = tempfile::tempdir().unwrap();
        std::fs::create_dir(originals.path().join("folder with a long name")).unwrap();
        for number in 0..60 {
            let path = originals.path().join(format!("folder with a long name/file {number}"));
            std::fs::write(path, "x".repeat(number * 30)).unwrap();
        }
        run(Command::new("mcopy")
            .args(["-s", "-Q", "-i"])
            .arg(image.path())
            .arg(originals.path().join("folder with a long name"))
            .arg("::/"));
        mutate(&image.bytes(), rounds() / 4);
    }
}

#[test]
fn mutated_exfat() {
    let Some(image) = Image::new(2 << 20, &["mkfs.exfat", "-c", "512", "-b", "64K"]) else { return };
    let filled = image.fill_device(&["mount.exfat-fuse"], |folder| {
        std::fs::create_dir(folder.join("folder")).unwrap();
        for number in 0..120 {
            std::fs::write(folder.join(format!("folder/file {number}")), "x".repeat(number * 20)).unwrap();
        }
    });
    if filled.is_some() {
        mutate(&image.bytes(), rounds());
    }
}

#[test]
fn a_circle_of_clusters_ends() {
    if shared::program("mcopy").is_none() {
        return;
    }
    let Some(image) = Image::new(9 << 20, &["mkfs.vfat", "-F", "16", "-s", "1"]) else { return };
    run(Command::new("mmd").arg("-i").arg(image.path()).arg("::/folder"));
    let mut bytes = image.bytes();
    let reserved = usize::from(u16::from_le_bytes([bytes[14], bytes[15]]));
    // Cluster 2, which is the folder, is followed by itself. Every entry is one of a file.
    let entry = reserved * 512 + 4;
    bytes[entry..entry + 2].copy_from_slice(&2_u16.to_le_bytes());
    let (files, errors) = walk::exhaust(bytes);
    assert_eq!((files, errors), (1, 1));
}
