//! A range that cannot be read is an error for that range only, and is reported.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use vhdx::{Chain, Disk, DiskOffset, Extent, FileIdentity, FolderResolver, Result, Source};
use vhdx_testkit::{Block, Image};

use crate::mounted::{Mounted, can_mount};

const MIB: u64 = 1 << 20;

#[test]
fn a_damaged_block_is_an_error_only_there_and_is_named() {
    if !can_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut image = Image::dynamic(5 * MIB, 1 << 20);
    image.blocks = (0..4).map(|block| (block, Block::full(vec![block as u8 + 1; MIB as usize]))).collect();
    let path = folder.path().join("damaged.vhdx");
    image.sparse().write_to(&path).unwrap();
    // The place of block 2 is past the end of the file.
    let entry = image.layout().bat_entry(image.bat_index(2));
    let file = File::options().read(true).write(true).open(&path).unwrap();
    file.write_all_at(&(6_u64 | (1 << 20) << 20).to_le_bytes(), entry).unwrap();
    let chain = Chain::open(&path, &FolderResolver::default()).unwrap();
    let mounted = Mounted::one(Arc::new(chain), &[]);
    let disk = mounted.path("disk/disk.raw");
    let file = File::open(&disk).unwrap();
    let mut page = vec![0; 4096];
    for at in (0..5 * MIB).step_by(64 << 10) {
        let read = file.read_exact_at(&mut page, at);
        match at / MIB {
            2 => assert_eq!(Errno::from_io_error(&read.unwrap_err()), Some(Errno::IO), "at {at}"),
            4 => assert!(read.is_ok() && page.iter().all(|byte| *byte == 0), "at {at}"),
            block => assert!(read.is_ok() && page.iter().all(|byte| *byte == block as u8 + 1), "at {at}"),
        }
    }
    // Pages beside the damaged block are read, although the kernel also asks for both at once.
    let mut beside = vec![0; 8192];
    file.read_exact_at(&mut beside[..4096], 2 * MIB - 4096).unwrap();
    file.read_exact_at(&mut beside[4096..], 3 * MIB).unwrap();
    assert_eq!((beside[0], beside[8191]), (2, 4));
    let lines = mounted.lines();
    assert!(
        lines.iter().any(|line| line.contains("damaged.vhdx") && line.contains("disk/disk.raw")),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 1, "one line for one damaged entry: {lines:?}");
    assert!(lines.iter().any(|line| line.contains(&format!("{entry:#x}"))), "no offset {entry}: {lines:?}");
    // No program may take the damaged block for a hole.
    assert_eq!(seek(&file, SeekFrom::Hole(0)), Ok(4 * MIB));
    assert_eq!(seek(&file, SeekFrom::Data(2 * MIB)), Ok(2 * MIB));
    assert_eq!(fs::metadata(&disk).unwrap().blocks() * 512, 4 * MIB);
    assert!(fs::read(&disk).is_err());
}

/// A disk whose code panics, or that fails with an error of a device.
struct Faulty;

impl Disk for Faulty {
    fn virtual_size(&self) -> u64 {
        4 * MIB
    }

    fn logical_sector_size(&self) -> u32 {
        512
    }

    fn extents(&self, range: Range<DiskOffset>) -> Box<dyn Iterator<Item = Result<Extent>> + Send + '_> {
        let len = range.end.get() - range.start.get();
        let source = Source::Data { layer: 0, offset: vhdx::FileOffset::new(0) };
        Box::new(std::iter::once(Ok(Extent { start: range.start, len, source })))
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: DiskOffset) -> Result<()> {
        let end = offset.get() + buf.len() as u64;
        assert!(!(MIB..2 * MIB).contains(&offset.get()), "a panic that the test wants");
        if end > 2 * MIB && offset.get() < 3 * MIB {
            return Err(vhdx::Error::io("read", None, io::Error::from_raw_os_error(5)));
        }
        buf.fill(9);
        Ok(())
    }

    fn validate_placement(&self) -> Result<()> {
        Ok(())
    }

    fn ensure_unchanged(&self) -> Result<()> {
        Ok(())
    }

    fn identities(&self) -> Vec<FileIdentity> {
        Vec::new()
    }
}

#[test]
fn a_panic_and_an_error_of_the_device_are_input_output_errors() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::one(Arc::new(Faulty), &[]);
    let file = File::open(mounted.path("disk/disk.raw")).unwrap();
    let mut page = vec![0; 4096];
    for round in 0..20 {
        for (at, is_error) in [(0, false), (MIB + 8192, true), (2 * MIB + 8192, true), (3 * MIB, false)] {
            let read = file.read_exact_at(&mut page, at);
            assert_eq!(read.is_err(), is_error, "round {round} at {at}");
        }
    }
    assert_eq!(page, [9; 4096]);
    assert!(mounted.lines().iter().any(|line| line.contains("bug")), "{:?}", mounted.lines());
}
