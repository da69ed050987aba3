//! A raw image as a disk with a chosen sector size, which counts its reads.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use vhdx::{Disk, DiskOffset, Extent, FileIdentity, RawDisk, Result};
use vhdx_contents::Window;
use vhdx_contents::probe::{Content, TypeHint, identify};

pub(crate) struct TestDisk {
    raw: RawDisk,
    sector_size: u32,
    reads: AtomicUsize,
}

impl TestDisk {
    pub(crate) fn open(path: &Path, sector_size: u32) -> Self {
        Self { raw: RawDisk::open(path).unwrap(), sector_size, reads: AtomicUsize::new(0) }
    }

    pub(crate) fn of_bytes(bytes: Vec<u8>) -> Self {
        let raw = RawDisk::open_with(bytes, "bytes").unwrap();
        Self { raw, sector_size: 512, reads: AtomicUsize::new(0) }
    }

    pub(crate) fn identify(&self) -> Option<Content> {
        self.identify_with(TypeHint::None)
    }

    pub(crate) fn identify_with(&self, hint: TypeHint) -> Option<Content> {
        identify(&Window::whole(self), hint).unwrap()
    }

    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }
}

/// Identifies the content of an image with sectors of 512 bytes.
pub(crate) fn identify_file(path: &Path) -> Option<Content> {
    TestDisk::open(path, 512).identify()
}

impl Disk for TestDisk {
    fn virtual_size(&self) -> u64 {
        self.raw.virtual_size()
    }

    fn logical_sector_size(&self) -> u32 {
        self.sector_size
    }

    fn extents(&self, range: Range<DiskOffset>) -> Box<dyn Iterator<Item = Result<Extent>> + Send + '_> {
        self.raw.extents(range)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: DiskOffset) -> Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.raw.read_exact_at(buf, offset)
    }

    fn validate_placement(&self) -> Result<()> {
        self.raw.validate_placement()
    }

    fn ensure_unchanged(&self) -> Result<()> {
        self.raw.ensure_unchanged()
    }

    fn identities(&self) -> Vec<FileIdentity> {
        self.raw.identities()
    }
}
