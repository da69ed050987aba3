//! Code that several tests share. Each test is a crate of its own and uses its part.
#![allow(dead_code)]

pub(crate) mod digest;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::test_runner::Config;
use vhdx::{Chain, Disk, DiskOffset, OpenOptions, Vhdx};
use vhdx_testkit::crash::Swept;
use vhdx_testkit::{ChainModel, Image};

pub(crate) const MIB: u64 = 1 << 20;

/// A proptest configuration with this many cases, or as many as `PROPTEST_CASES` says.
pub(crate) fn cases(cases: u32) -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
    Config { cases, max_shrink_iters: 2_000, ..Config::default() }
}

/// Prints what a sweep has checked, and how many crash images the process has checked so far.
pub(crate) fn report(what: &str, swept: &Swept) {
    static IMAGES: AtomicUsize = AtomicUsize::new(0);
    let images = IMAGES.fetch_add(swept.images, Ordering::Relaxed) + swept.images;
    eprintln!("{what}: {swept:?}; {images} crash images so far");
}

/// The chain of a model, in memory.
pub(crate) fn chain(model: &ChainModel) -> Chain {
    let layers = model
        .files()
        .into_iter()
        .map(|file| Vhdx::open_with(file, &OpenOptions::default()).unwrap())
        .collect();
    Chain::from_layers(layers).unwrap()
}

pub(crate) fn at(offset: u64) -> DiskOffset {
    DiskOffset::new(offset)
}

/// The whole disk. Not for large ones.
pub(crate) fn read_all(disk: &dyn Disk) -> Vec<u8> {
    let mut bytes = vec![0xaa; usize::try_from(disk.virtual_size()).unwrap()];
    disk.read_exact_at(&mut bytes, at(0)).unwrap();
    bytes
}

/// Fails with the first place where the two differ: a dump of megabytes helps nobody.
#[track_caller]
pub(crate) fn assert_same(found: &[u8], expected: &[u8], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    if found == expected {
        return; // much faster than looking for a place
    }
    if let Some(place) = found.iter().zip(expected).position(|(a, b)| a != b) {
        panic!("{what}: byte {place:#x} is {:#04x} and must be {:#04x}", found[place], expected[place]);
    }
}

/// A folder for this test's files that is gone when the test is over.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A folder to put images in.
pub(crate) struct Folder(pub(crate) tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn put(&self, name: &str, image: &Image) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image.sparse().write_to(&path).unwrap();
        path
    }
}

/// `../..` of this crate: the project.
pub(crate) fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
