//! Makes folders whose files are hard to read.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use vhdx_testkit::Random;

/// Fills a folder with files of all kinds, but without holes: about 6 MiB.
pub(crate) fn fill(root: &Path) {
    let mut random = Random::new(17);
    sizes(&root.join("sizes"), &mut random);
    odd_names(&root.join("odd"));
    links(&root.join("links"));
    attributes(&root.join("attributes"));
    let mut deep = root.to_owned();
    for level in 0..60 {
        deep.push(format!("level {level}"));
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), "deep").unwrap();
}

/// Fills a folder with many files of few bytes.
pub(crate) fn fill_large_folder(folder: &Path, count: usize) {
    fs::create_dir(folder).unwrap();
    for index in 0..count {
        fs::write(folder.join(format!("a file with a name that is not short {index}")), index.to_string())
            .unwrap();
    }
}

fn sizes(folder: &Path, random: &mut Random) {
    fs::create_dir(folder).unwrap();
    let sizes =
        [0, 1, 59, 60, 61, 100, 156, 160, 1023, 1024, 1025, 4095, 4096, 4097, 65_536, 300_000, 5_000_000];
    for size in sizes {
        fs::write(folder.join(size.to_string()), random.bytes(size)).unwrap();
    }
}

fn odd_names(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let long = vec![b'n'; 255];
    let names: [&[u8]; 12] = [
        b"line\nbreak",
        b"\xFF\xFE not UTF-8 \x80",
        b" ",
        b"...",
        b"-rf",
        b"back\\slash",
        b"*?\"<>|:",
        b"CON",
        b"\x1B[31m",
        "Größe \u{1F600} e\u{301}".as_bytes(),
        b"\x01",
        &long,
    ];
    for name in names {
        fs::write(folder.join(OsStr::from_bytes(name)), name).unwrap();
    }
}

fn links(folder: &Path) {
    fs::create_dir(folder).unwrap();
    for len in [1, 58, 59, 60, 61, 100, 156, 157, 900] {
        symlink("t".repeat(len), folder.join(format!("link {len}"))).unwrap();
    }
    symlink("../../../../etc/passwd", folder.join("out")).unwrap();
    symlink(OsStr::from_bytes(b"\xFF\n"), folder.join("odd")).unwrap();
    fs::write(folder.join("one name"), "content").unwrap();
    fs::hard_link(folder.join("one name"), folder.join("another name")).unwrap();
}

/// Makes a folder of files with holes at their start, middle and end, and data behind all levels of indirect blocks.
pub(crate) fn fill_sparse(folder: &Path) {
    let mut random = Random::new(18);
    fs::create_dir(folder).unwrap();
    for (name, offsets, len) in [
        ("end", &[0, 4096][..], 1 << 20),
        ("start", &[1 << 20], (1 << 20) + 10_000),
        ("only", &[], 12_345_678),
        // In blocks of 1 KiB: direct, indirect, double and triple indirect.
        ("middle", &[0, 13 << 10, 300 << 10, 68 << 20, 90 << 20], 100 << 20),
    ] {
        let file = File::create(folder.join(name)).unwrap();
        file.set_len(len).unwrap();
        for offset in offsets {
            file.write_all_at(&random.bytes(10_000), *offset).unwrap();
        }
    }
    let many = File::create(folder.join("many")).unwrap();
    many.set_len(40 << 20).unwrap();
    for index in 0..600 {
        many.write_all_at(&random.bytes(5000), index * (64 << 10) + index % 7 * 4096).unwrap();
    }
}

fn attributes(folder: &Path) {
    fs::create_dir(folder).unwrap();
    for (index, mode) in [0o000, 0o644, 0o755, 0o4755, 0o2711, 0o1777].into_iter().enumerate() {
        let path = folder.join(format!("mode {mode:o}"));
        fs::write(&path, "mode").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1 + 400_000_000 * index as u64)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}
