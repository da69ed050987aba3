//! Holes are where the extents say, and programs that copy keep them.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use vhdx::{Disk, DiskOffset, Source};
use vhdx_testkit::{Block, ChainModel, Image, chains};

use crate::mounted::{Mounted, assert_same, can_mount, checkpoints, run};

const MIB: u64 = 1 << 20;

/// Returns whether each sector has data, by the extents of the disk.
fn sectors_with_data(disk: &dyn Disk) -> Vec<bool> {
    let size = disk.virtual_size();
    let mut sectors = vec![false; size.div_ceil(512) as usize];
    for extent in disk.extents(DiskOffset::new(0)..DiskOffset::new(size)) {
        let extent = extent.unwrap();
        let is_data = matches!(extent.source, Source::Data { .. });
        sectors[(extent.start.get() / 512) as usize..extent.end().get().div_ceil(512) as usize].fill(is_data);
    }
    sectors
}

/// Checks `SEEK_DATA` and `SEEK_HOLE` from an offset against the sectors.
fn check_seek(file: &File, sectors: &[bool], size: u64, offset: u64) {
    let next = |is_data: bool| {
        let first = (offset / 512) as usize;
        let found = (first..sectors.len()).find(|sector| sectors[*sector] == is_data)?;
        Some((found as u64 * 512).max(offset))
    };
    let data = if offset < size { next(true).ok_or(Errno::NXIO) } else { Err(Errno::NXIO) };
    let hole = if offset < size { Ok(next(false).unwrap_or(size)) } else { Err(Errno::NXIO) };
    assert_eq!(seek(file, SeekFrom::Data(offset)), data, "data from {offset}");
    assert_eq!(seek(file, SeekFrom::Hole(offset)), hole, "hole from {offset}");
}

#[test]
fn seeks_find_the_data_and_holes_of_the_extents() {
    if !can_mount() {
        return;
    }
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let offsets = prop::collection::vec(any::<u64>(), 24);
    let checked = TestRunner::new(config).run(&(chains(4), offsets), |(model, offsets)| {
        let folder = tempfile::tempdir().unwrap();
        let disks = checkpoints(&model, folder.path());
        let all: Vec<(String, Arc<dyn Disk>)> =
            disks.iter().map(|disk| (disk.name.clone(), disk.disk.clone())).collect();
        let mounted = Mounted::new(disks);
        for (name, disk) in all {
            let (size, sectors) = (disk.virtual_size(), sectors_with_data(&*disk));
            let path = mounted.path(&name).join("disk.raw");
            let file = File::open(&path).unwrap();
            let edges = (1..sectors.len()).filter(|at| sectors[*at] != sectors[*at - 1]);
            let edges = edges.take(20).flat_map(|at| [at as u64 * 512 - 1, at as u64 * 512]);
            let ends = [0, size - 1, size, size + 1, size + MIB, i64::MAX as u64];
            for offset in offsets.iter().map(|offset| offset % size).chain(edges).chain(ends) {
                check_seek(&file, &sectors, size, offset);
            }
            let (blocks, data) =
                (fs::metadata(&path).unwrap().blocks(), sectors.iter().filter(|is_data| **is_data).count());
            assert_eq!(blocks, data as u64, "st_blocks of {name}");
        }
        Ok(())
    });
    checked.unwrap();
}

/// A disk with data at its start, in its middle, or at its end, and a hole elsewhere.
fn sparse_disk(blocks: &[u64], size: u64) -> ChainLike {
    let mut image = Image::dynamic(size, 1 << 20);
    let full = |block: u64| Block::full((0..MIB).map(|at| (at >> 9) as u8 ^ block as u8 | 1).collect());
    image.blocks = blocks.iter().map(|block| (*block, full(*block))).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhdx");
    image.sparse().write_to(&path).unwrap();
    let chain = vhdx::Chain::open(&path, &vhdx::FolderResolver::default()).unwrap();
    let mut bytes = vec![0; size as usize];
    chain.read_exact_at(&mut bytes, DiskOffset::new(0)).unwrap();
    ChainLike { chain: Arc::new(chain), bytes }
}

struct ChainLike {
    chain: Arc<vhdx::Chain>,
    bytes: Vec<u8>,
}

/// Copies a file, checks the bytes of the copy, and returns how much space it takes.
fn copy_with(program: &str, args: &[&str], source: &Path, expected: &[u8]) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("disk.raw");
    match program {
        "tar" => {
            let archive = folder.path().join("archive");
            let from = source.parent().unwrap();
            run("tar", &[&"-S", &"-cf", &archive, &"-C", &from, &"disk.raw"]);
            assert!(fs::metadata(&archive).unwrap().len() < expected.len() as u64, "tar has kept no hole");
            run("tar", &[&"-xf", &archive, &"-C", &folder.path()]);
        }
        "dd" => {
            let from = format!("if={}", source.display());
            let to = format!("of={}", copy.display());
            run("dd", &[&from, &to, &args[0], &args[1], &"status=none"]);
        }
        _ => drop(run(program, &[&args[0], &source, &copy])),
    }
    assert_same(&fs::read(&copy).unwrap(), expected, program);
    fs::metadata(&copy).unwrap().blocks() * 512
}

#[test]
fn copies_keep_holes_and_all_data() {
    if !can_mount() {
        return;
    }
    let places: [&[u64]; 5] = [&[0, 1], &[3], &[0, 4, 7], &[7], &[]];
    for blocks in places {
        let disk = sparse_disk(blocks, 8 * MIB - 512);
        let mounted = Mounted::one(disk.chain.clone(), &[]);
        let source = mounted.path("disk/disk.raw");
        let data = blocks.len() as u64 * MIB;
        for (program, args) in [
            ("cp", &["--sparse=auto"][..]),
            ("cp", &["--sparse=always"]),
            ("tar", &[]),
            ("dd", &["bs=64k", "conv=sparse"]),
        ] {
            let space = copy_with(program, args, &source, &disk.bytes);
            assert!(space <= data + 64 * 1024, "{program} {args:?} of {blocks:?}: {space} bytes");
        }
        copy_with("cp", &["--sparse=never"], &source, &disk.bytes);
        copy_with("dd", &["bs=1M", "iflag=direct"], &source, &disk.bytes);
    }
}

#[test]
fn full_disks_have_all_their_blocks() {
    if !can_mount() {
        return;
    }
    let disk = sparse_disk(&[0, 1, 2], 3 * MIB);
    let mounted = Mounted::one(disk.chain, &[("p1", MIB..2 * MIB)]);
    for (name, size) in [("disk.raw", 3 * MIB), ("p1", MIB)] {
        let path = mounted.path("disk").join(name);
        assert_eq!(fs::metadata(&path).unwrap().blocks() * 512, size);
        let file = File::open(&path).unwrap();
        assert_eq!(seek(&file, SeekFrom::Hole(0)), Ok(size));
        assert_eq!(seek(&file, SeekFrom::Hole(size)), Err(Errno::NXIO));
    }
}

#[test]
fn fragmented_disks_are_copied_with_their_holes() {
    if !can_mount() {
        return;
    }
    let layer = vhdx_testkit::LayerModel {
        block_mib: 1,
        sectors: 8 * 2048,
        operations: (0..2000)
            .map(|number| vhdx_testkit::Operation::Write { start: number * 8, count: 3, zeros: false })
            .collect(),
        second_linkage: false,
        shuffled: true,
        headers: vhdx_testkit::Headers::Equal,
        region_tables: vhdx_testkit::RegionTables::Both,
        log: None,
        is_fixed: false,
    };
    let base = vhdx_testkit::LayerModel { operations: Vec::new(), ..layer.clone() };
    let model = ChainModel { seed: 3, sector_size: 512, layers: vec![base, layer] };
    let folder = tempfile::tempdir().unwrap();
    let mounted = Mounted::new(checkpoints(&model, folder.path()));
    let source = mounted.path("latest/disk.raw");
    assert_eq!(fs::metadata(&source).unwrap().blocks(), 6000);
    copy_with("cp", &["--sparse=auto"], &source, model.disks().last().unwrap());
}
