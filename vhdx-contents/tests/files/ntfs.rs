//! NTFS, made by `mkfs.ntfs` and filled by `ntfs-3g`.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use vhdx_contents::files::FileSystem;
use vhdx_testkit::Random;

use crate::image::{Image, run};
use crate::{originals, walk};

const MKFS: [&str; 6] = ["mkfs.ntfs", "-F", "-Q", "-q", "-L", "Test"];
const SECOND: Duration = Duration::from_secs(1);

/// Compares the files as `ntfs-3g` and the reader show them.
fn assert_as_mounted(image: &Image, fs: &dyn FileSystem) {
    let found = walk::all(fs);
    image.fill(&["ntfs-3g", "-o", "ro"], |folder| originals::assert_same(folder, &found, Duration::ZERO));
}

#[test]
fn ten_thousand_files_are_read_as_ntfs_3g_reads_them() {
    let Some(image) = Image::new(200 << 20, &MKFS) else { return };
    let filled = image.fill(&["ntfs-3g"], |folder| {
        originals::make(folder, 10_000, &mut Random::new(1));
        originals::make_sparse(&folder.join("sparse"));
        symlink("large", folder.join("link")).unwrap();
        symlink("/etc/passwd", folder.join("absolute link")).unwrap();
        fs::hard_link(folder.join("large"), folder.join("empty/hard link")).unwrap();
        for name in ["a\\b", "colon:name", "trailing dot.", "quote\"", "\u{1f600}"] {
            fs::write(folder.join(name), name).unwrap();
        }
    });
    if filled.is_none() {
        return;
    }
    walk::open(&image.path(), |fs| {
        assert_as_mounted(&image, fs);
        assert_eq!(fs.notes(), Vec::<String>::new());
        let sparse = fs.lookup(fs.root(), b"SPARSE").unwrap().unwrap();
        let (content, stored) = walk::content(fs, sparse.node).unwrap();
        assert!(content.len() == 20_000_000 && stored < 300_000, "{stored}");
        assert!(fs.lookup(fs.root(), b"$MFT").unwrap().is_some());
        assert_eq!(fs.lookup(fs.root(), "ÜMLÄUT 2.TXT".as_bytes()).unwrap(), None);
        let group = fs.lookup(fs.root(), b"GROUP 0").unwrap().unwrap();
        assert!(fs.lookup(group.node, "ÜMLÄUT 2.TXT".as_bytes()).unwrap().is_some());
    });
}

/// Sets the attribute of NTFS that makes new files in a folder compressed.
fn compress(folder: &Path) {
    fs::create_dir(folder).unwrap();
    run(Command::new("setfattr").args(["-h", "-n", "system.ntfs_attrib_be", "-v", "0x00000810"]).arg(folder));
}

#[test]
fn compressed_files_are_read() {
    if vhdx_testkit::shared::program("setfattr").is_none() {
        return;
    }
    let Some(image) = Image::new(100 << 20, &MKFS) else { return };
    let filled = image.fill(&["ntfs-3g", "-o", "compression"], |folder| {
        let folder = folder.join("compressed");
        compress(&folder);
        let mut random = Random::new(2);
        for (name, repeat) in [("text", 400_000), ("short", 3), ("one unit", 65_536 / 12)] {
            fs::write(folder.join(name), "hello world\n".repeat(repeat)).unwrap();
        }
        let noise = random.bytes(500_000);
        fs::write(folder.join("noise"), &noise).unwrap();
        let words: Vec<u8> = noise.iter().flat_map(|byte| vec![*byte; usize::from(byte % 17)]).collect();
        fs::write(folder.join("runs"), words).unwrap();
        let mut mixed = noise.clone();
        mixed.resize(1_000_000, 0);
        mixed.extend("compressible ".repeat(20_000).as_bytes());
        mixed.extend(&noise);
        fs::write(folder.join("mixed"), mixed).unwrap();
        originals::make_sparse(&folder.join("sparse"));
        let program = fs::read(std::env::current_exe().unwrap()).unwrap();
        fs::write(folder.join("program"), &program[..program.len().min(8 << 20)]).unwrap();
        let text = folder.join("text").metadata().unwrap();
        assert!(text.blocks() * 512 < text.len() / 4, "the file is not compressed");
    });
    if filled.is_none() {
        return;
    }
    walk::open(&image.path(), |fs| {
        assert_as_mounted(&image, fs);
    });
}

#[test]
fn every_size_of_clusters_is_read() {
    for cluster in ["512", "1024", "65536", "1048576"] {
        let options = ["mkfs.ntfs", "-F", "-Q", "-q", "-c", cluster];
        let Some(image) = Image::new(800 << 20, &options) else { return };
        if image.fill(&["ntfs-3g"], |folder| originals::make(folder, 100, &mut Random::new(3))).is_none() {
            return;
        }
        walk::open(&image.path(), |fs| assert_as_mounted(&image, fs));
    }
}

#[test]
fn a_fragmented_table_and_file_are_read() {
    let Some(image) = Image::new(64 << 20, &MKFS) else { return };
    let filled = image.fill(&["ntfs-3g"], |folder| {
        // Two files that grow in turns have many fragments, and so has the table that grows beside them.
        use std::io::Write;
        let open =
            |name: &str| fs::File::options().append(true).create(true).open(folder.join(name)).unwrap();
        let mut random = Random::new(4);
        for number in 0..2500 {
            for name in ["one", "other"] {
                open(name).write_all(&random.bytes(4096)).unwrap();
            }
            if number % 2 == 0 {
                fs::write(folder.join(format!("small {number}")), "x".repeat(3000)).unwrap();
            }
        }
    });
    if filled.is_some() {
        walk::open(&image.path(), |fs| assert_as_mounted(&image, fs));
    }
}

#[test]
fn times_are_those_of_the_host() {
    let Some(image) = Image::new(32 << 20, &MKFS) else { return };
    let originals = tempfile::tempdir().unwrap();
    originals::make(originals.path(), 100, &mut Random::new(5));
    let filled = image.fill(&["ntfs-3g"], |folder| {
        run(Command::new("cp").arg("-a").arg(originals.path().join(".")).arg(folder));
    });
    if filled.is_some() {
        walk::open(&image.path(), |fs| originals::assert_same(originals.path(), &walk::all(fs), SECOND));
    }
}

#[test]
fn a_journal_in_use_is_noted() {
    let Some(image) = Image::new(32 << 20, &MKFS) else { return };
    walk::open(&image.path(), |fs| assert_eq!(fs.notes(), Vec::<String>::new()));
    let mut bytes = image.bytes();
    // The new journal has only bytes of 255.
    let is_unused = |page: &[u8]| page.iter().all(|byte| *byte == 0xff);
    let at = bytes.chunks_exact(4096).position(is_unused).unwrap() * 4096;
    let mut page = [0; 4096];
    page[..4].copy_from_slice(b"RSTR");
    (page[4], page[6], page[17], page[24]) = (30, 9, 16, 48);
    bytes[at..at + 4096].copy_from_slice(&page);
    fs::write(image.path(), bytes).unwrap();
    walk::open(&image.path(), |fs| {
        let notes = fs.notes();
        assert!(notes.len() == 1 && notes[0].contains("its journal is not replayed"), "{notes:?}");
    });
}
