//! Opening a chain for writing.

use std::fs;

use vhdx::format::merge_guid::MergeId;
use vhdx::format::parent_locator::RELATIVE_PATH;
use vhdx::{Chain, ChainErrorKind, ChainMut, Disk, DiskMut, DiskOffset, Error, InvalidArgument};
use vhdx_testkit::Image;

use super::{BASE, Folder, beside, chain_error, disk, leaf};

const STORED: [(&str, &str); 1] = [(RELATIVE_PATH, r".\base.vhdx")];

#[test]
fn only_the_leaf_changes_and_parts_of_sectors_are_kept() {
    let folder = Folder::new();
    let base = folder.put("base.vhdx", &disk(BASE));
    let leaf = folder.put("leaf.avhdx", &leaf(&STORED));
    let before = fs::read(&base).unwrap();
    let chain = Chain::open(&leaf, &beside()).unwrap();
    let mut expected = vec![0; 4096];
    chain.read_exact_at(&mut expected, DiskOffset::new(0)).unwrap();
    drop(chain);

    let mut open = ChainMut::open(&leaf, &beside()).unwrap();
    open.write_all_at(&[7; 700], DiskOffset::new(300)).unwrap();
    open.write_zeros(DiskOffset::new(2000)..DiskOffset::new(2001)).unwrap();
    expected[300..1000].fill(7);
    expected[2000] = 0;
    let mut read = vec![1; 4096];
    open.read_exact_at(&mut read, DiskOffset::new(0)).unwrap();
    assert_eq!(read, expected);
    open.close().unwrap();
    let mut read = vec![1; 4096];
    Chain::open(&leaf, &beside()).unwrap().read_exact_at(&mut read, DiskOffset::new(0)).unwrap();
    assert_eq!(read, expected);
    assert!(fs::read(&base).unwrap() == before);
}

#[test]
fn a_range_that_ends_before_its_start_is_refused() {
    let folder = Folder::new();
    folder.put("base.vhdx", &disk(BASE));
    let leaf = folder.put("leaf.avhdx", &leaf(&STORED));
    let before = fs::read(&leaf).unwrap();
    let mut open = ChainMut::open(&leaf, &beside()).unwrap();
    let reversed = || DiskOffset::new(1024)..DiskOffset::new(512);
    for result in [open.write_zeros(reversed()), open.unmap(reversed())] {
        let error = result.unwrap_err();
        let Error::InvalidArgument(argument) = error else { panic!("{error}") };
        assert!(matches!(argument, InvalidArgument::RangeReversed { .. }), "{argument}");
    }
    open.close().unwrap();
    assert!(fs::read(&leaf).unwrap() == before);
}

#[test]
fn a_disk_that_cannot_be_written_is_not_changed() {
    let folder = Folder::new();
    let alone = folder.put("alone/leaf.avhdx", &leaf(&STORED));
    let incomplete = MergeId::new(None, BASE).guid();
    let target = folder.put("target.vhdx", &Image { data_write_guid: incomplete, ..disk(BASE) });
    for path in [&alone, &target] {
        let before = fs::read(path).unwrap();
        let error = chain_error(ChainMut::open(path, &beside()));
        let expected = match path == &alone {
            true => ChainErrorKind::MissingParent,
            false => ChainErrorKind::HalfMerged,
        };
        assert_eq!(error.kind(), expected, "{error}");
        assert!(fs::read(path).unwrap() == before);
    }
}

/// Programs that heed locks cannot change a parent, and a parent that is being changed cannot be used.
#[test]
#[cfg(target_os = "linux")]
fn parents_are_locked() {
    let folder = Folder::new();
    let base = folder.put("base.vhdx", &disk(BASE));
    let leaf = folder.put("leaf.avhdx", &leaf(&STORED));
    let is_busy = |error: vhdx::Error| {
        assert_eq!(error.kind(), vhdx::ErrorKind::Conflict);
        assert!(error.to_string().contains("in use") || error.to_string().contains("open"), "{error}");
    };
    let open = ChainMut::open(&leaf, &beside()).unwrap();
    is_busy(vhdx::VhdxMut::open(&base).unwrap_err());
    drop(open);
    let writer = vhdx::VhdxMut::open(&base).unwrap();
    is_busy(ChainMut::open(&leaf, &beside()).unwrap_err());
    drop(writer);
}
