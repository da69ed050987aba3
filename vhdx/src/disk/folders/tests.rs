use std::fs;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use vhdx_testkit::{DirtyLog, Headers, Image};

use super::*;
use crate::units::FileOffset;

/// Counts how the files of a folder are accessed.
#[derive(Default)]
struct Counters {
    opened: AtomicUsize,
    reads: AtomicUsize,
    bytes: AtomicUsize,
}

impl Counters {
    fn take(&self) -> [usize; 3] {
        [&self.opened, &self.reads, &self.bytes].map(|counter| counter.swap(0, Ordering::Relaxed))
    }
}

struct Counted<'a> {
    file: FileStorage,
    counters: &'a Counters,
}

impl ReadAt for Counted<'_> {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.counters.reads.fetch_add(1, Ordering::Relaxed);
        self.counters.bytes.fetch_add(buf.len(), Ordering::Relaxed);
        self.file.read_exact_at(buf, offset)
    }
}

fn disks(folder: &Path, counters: &Counters) -> DisksInFolder {
    Listing::of(folder).disks(folder, &|path| {
        counters.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Counted { file: FileStorage::open(path)?, counters })
    })
}

fn put(path: &Path, guid: u128) {
    let image = Image { data_write_guid: Uuid::from_u128(guid), ..Image::dynamic(4 << 20, 1 << 20) };
    image.sparse().write_to(path).unwrap();
}

#[test]
fn each_of_ten_thousand_files_is_opened_once_and_only_its_headers_are_read() {
    const HALF: usize = 5_000;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: String| folder.path().join(name);
    put(&at("0.vhdx".into()), 7);
    fs::write(at("0.txt".into()), vec![b'x'; 4096]).unwrap();
    for number in 1..HALF {
        fs::hard_link(at("0.vhdx".into()), at(format!("{number}.vhdx"))).unwrap();
        fs::hard_link(at("0.txt".into()), at(format!("{number}.txt"))).unwrap();
    }
    let counters = Counters::default();
    let found = disks(folder.path(), &counters);
    assert_eq!(found.with_guid(&Uuid::from_u128(7)).len(), HALF);
    assert_eq!(found.with_guid(&Uuid::from_u128(8)).len(), 0);
    let [opened, reads, bytes] = counters.take();
    assert_eq!((opened, reads), (2 * HALF, 3 * HALF + HALF));
    assert!(bytes <= 2 * HALF * 1024 + HALF * 2 * 4096, "{bytes}");
}

#[test]
fn a_folder_is_read_once_for_all_clones() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("a"), 1);
    let index = FolderIndex::default();
    let guid = Uuid::from_u128;
    assert_eq!(index.disks(folder.path()).with_guid(&guid(1)), ["a"]);
    put(&folder.path().join("b"), 2);
    let again = index.clone().disks(&folder.path().join("."));
    assert_eq!(again.with_guid(&guid(2)).len(), 0);
    assert_eq!(FolderIndex::default().disks(folder.path()).with_guid(&guid(2)), ["b"]);
}

#[test]
fn headers_give_the_same_guid_as_opening_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let dirty = DirtyLog { seed: 3, entries: 4, stale: 1, runs: 8, closed: false };
    for (headers, log) in [
        (Headers::FirstIsCurrent, None),
        (Headers::SecondIsCurrent, Some(dirty)),
        (Headers::Equal, None),
        (Headers::FirstIsSound, Some(dirty)),
        (Headers::SecondIsSound, None),
    ] {
        let data_write_guid = Uuid::from_u128(5);
        let image = Image { headers, log, data_write_guid, ..Image::dynamic(4 << 20, 1 << 20) };
        image.sparse().write_to(&path).unwrap();
        let opened = crate::file::Vhdx::open(&path).unwrap().data_write_guid();
        let read = read_data_write_guid(&FileStorage::open(&path).unwrap()).unwrap();
        assert_eq!(read, Some(opened));
    }
}

#[test]
fn other_files_are_skipped_and_unreadable_ones_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    put(&at("disk"), 1);
    put(&at("zero"), 0);
    put(&at("damaged"), 2);
    let mut bytes = fs::read(at("damaged")).unwrap();
    for header in [64 << 10, 128 << 10] {
        bytes[header] ^= 1;
    }
    fs::write(at("damaged"), &bytes).unwrap();
    fs::write(at("cut"), &bytes[..100_000]).unwrap();
    fs::write(at("short"), "vhdxfile").unwrap();
    fs::write(at("empty"), []).unwrap();
    fs::create_dir(at("folder")).unwrap();
    put(&at("folder/disk"), 1);
    let found = disks(folder.path(), &Counters::default());
    assert_eq!(found.with_guid(&Uuid::from_u128(1)), ["disk"]);
    assert_eq!(found.by_guid.len(), 1, "{found:?}");
    let unreadable: Vec<PathBuf> = found.unreadable(folder.path()).collect();
    assert_eq!(unreadable, [at("cut"), at("damaged")]);
    let absent = disks(&at("absent"), &Counters::default());
    assert_eq!((absent.by_guid.len(), absent.unreadable(&at("absent")).count()), (0, 0));
    let no_folder = disks(&at("disk"), &Counters::default());
    assert_eq!(no_folder.unreadable(&at("disk")).count(), 1);
}

/// The files change between listing and reading.
#[test]
fn a_file_that_is_removed_or_changes_its_kind_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["gone", "folder", "stays"] {
        put(&at(name), 1);
    }
    let listing = Listing::of(folder.path());
    fs::remove_file(at("gone")).unwrap();
    fs::remove_file(at("folder")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    let found = listing.disks(folder.path(), &|path| FileStorage::open(path));
    assert_eq!(found.with_guid(&Uuid::from_u128(1)), ["stays"]);
    assert_eq!(found.unreadable(folder.path()).count(), 0);
}

#[test]
#[cfg(unix)]
fn no_link_is_followed_and_no_pipe_or_device_is_opened() {
    use std::os::unix::fs::symlink;
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name);
    put(&outside.path().join("disk"), 1);
    symlink(outside.path().join("disk"), at("link")).unwrap();
    symlink("loop", at("loop")).unwrap();
    symlink("/dev/zero", at("zero")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    let counters = Counters::default();
    let found = disks(folder.path(), &counters);
    assert!(found.by_guid.is_empty() && found.unreadable(folder.path()).count() == 0, "{found:?}");
    assert_eq!(counters.take(), [0, 0, 0]);
}
