//! Files with odd names and content, and their comparison with what a reader shows.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use vhdx_contents::files::Kind;
use vhdx_testkit::Random;

use crate::walk::Found;

/// Parts of names that every program accepts.
pub(crate) const NAMES: [&str; 8] =
    ["plain", "with space", "ümläut", "e\u{301}", "日本語", "a.b.c", "ALL.CAPS", "x"];
/// A part with a letter that UTF-16 stores in two units, which mtools cannot write.
pub(crate) const TWO_UNITS: &str = "\u{1f600} smile";

/// Makes files with odd names. None of the names is invalid on Windows.
pub(crate) fn make(folder: &Path, count: usize, random: &mut Random) {
    make_with(folder, count, &[&NAMES[..], &[TWO_UNITS]].concat(), random);
}

/// Makes files with these parts in their names.
pub(crate) fn make_with(folder: &Path, count: usize, names: &[&str], random: &mut Random) {
    for number in 0..count {
        let group = folder.join(format!("group {}", number / 2500));
        if number % 2500 == 0 {
            fs::create_dir_all(&group).unwrap();
        }
        let name = names[number % names.len()];
        let long = if number % 50 == 0 { "long ".repeat(40) } else { String::new() };
        let content = random.below(if number % 100 == 0 { 40_000 } else { 900 });
        let content = random.bytes(content);
        let path = group.join(format!("{long}{name} {number}.txt"));
        fs::write(&path, content).unwrap();
        if number % 7 == 0 {
            let modified = UNIX_EPOCH + Duration::from_secs(1_000_000_000 + number as u64 * 1000);
            File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
        }
    }
    fs::create_dir_all(folder.join("empty/in empty")).unwrap();
    let mut deep = folder.to_owned();
    for level in 0..30 {
        deep.push(format!("level {level}"));
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("deep"), "deep").unwrap();
    fs::write(folder.join("no bytes"), "").unwrap();
    fs::write(folder.join("large"), random.bytes(3_000_001)).unwrap();
}

/// Makes a file of 20 MB with data at three places.
pub(crate) fn make_sparse(path: &Path) {
    let mut file = File::create(path).unwrap();
    for offset in [0, 5_000_000, 19_999_990] {
        file.seek(SeekFrom::Start(offset)).unwrap();
        file.write_all(b"some data\n").unwrap();
    }
}

/// Compares all files in a folder of the host with what the reader has found. Times may differ by less than `resolution`.
pub(crate) fn assert_same(folder: &Path, found: &BTreeMap<Vec<u8>, Found>, resolution: Duration) {
    let mut count = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().as_os_str().as_bytes();
            let shown = OsString::from_vec(name.to_vec());
            let found = found.get(name).unwrap_or_else(|| panic!("{shown:?} is missing"));
            let metadata = path.symlink_metadata().unwrap();
            count += 1;
            if metadata.is_dir() {
                assert_eq!(found.kind, Kind::Folder, "{shown:?}");
                folders.push(path);
            } else if metadata.is_symlink() {
                assert_eq!(found.kind, Kind::Link, "{shown:?}");
                assert_eq!(found.other.as_deref(), fs::read_link(&path).unwrap().to_str(), "{shown:?}");
            } else {
                assert_eq!(found.kind, Kind::File, "{shown:?}");
                assert_eq!(found.size, metadata.len(), "{shown:?}");
                assert!(found.content == Some(fs::read(&path).unwrap()), "{shown:?}: {:?}", found.other);
                let (one, other) = (found.modified.unwrap(), metadata.modified().unwrap());
                let difference = one.duration_since(other).or_else(|_| other.duration_since(one)).unwrap();
                assert!(difference <= resolution, "{shown:?}: {one:?} {other:?}");
            }
        }
    }
    assert_eq!(count, found.len(), "there are more files than there should be");
}
