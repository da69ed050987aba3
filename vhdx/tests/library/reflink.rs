//! File systems whose files can share blocks: a merge of whole blocks takes no space there, and the disks read right.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{MIB, assert_same, read_all};
use vhdx::ops::{HostFiles, MergeFiles, MergeOptions, MergePlan};
use vhdx::{Chain, FolderResolver, NoProgress, ReadAt, Storage, VhdxMut, folders_around, free_space};
use vhdx_testkit::{Block, Image, shared};

/// A file system in a file, mounted by loop.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(kind: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (image, root) = (folder.path().join("image"), folder.path().join("root"));
        std::fs::create_dir(&root).unwrap();
        std::fs::File::create(&image).unwrap().set_len(400 * MIB).unwrap();
        let make = format!("mkfs.{kind}");
        let made = Command::new(&make).arg("-q").arg(&image).output();
        if !made.is_ok_and(|made| made.status.success()) {
            return shared::skip(&format!("{make} cannot be run"));
        }
        let mounted = Command::new("mount").args(["-o", "loop"]).args([&image, &root]).output().unwrap();
        match mounted.status.success() {
            true => Some(Self(folder)),
            false => shared::skip(&format!("{kind} cannot be mounted by loop")),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("root").join(name)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        Command::new("umount").arg(self.path("")).status().unwrap();
    }
}

const BLOCK: usize = 16 << 20;

/// Six blocks; the child has written all of two, most of another, and single sectors.
fn chain_in(mounted: &Mounted) -> (PathBuf, PathBuf, Vec<u8>) {
    let filled = |byte: u8| Block::full((0..BLOCK).map(|at| byte ^ (at >> 12) as u8 ^ at as u8).collect());
    let mut base = Image::dynamic(6 * BLOCK as u64, BLOCK as u32);
    base.blocks = [0, 1, 3].map(|block| (block, filled(block as u8 + 1))).into();
    let child = Image::child_of(&base, "base.vhdx", BLOCK as u32);
    let paths = ["base.vhdx", "child.avhdx"].map(|name| mounted.path(name));
    for (image, path) in [base, child].iter().zip(&paths) {
        image.sparse().write_to(path).unwrap();
    }
    let [base, child] = paths;
    let mut disk = VhdxMut::open(&child).unwrap();
    for (start, len) in [(BLOCK, 2 * BLOCK), (3 * BLOCK + 512, BLOCK - 8192), (5 * BLOCK + 1024, 512)] {
        let bytes: Vec<u8> = (0..len).map(|at| 0x80 | (at >> 9) as u8).collect();
        disk.write_all_at(&bytes, crate::common::at(start as u64)).unwrap();
    }
    disk.close().unwrap();
    let content = read_all(&Chain::open(&child, &FolderResolver::default()).unwrap());
    (base, child, content)
}

fn merge(child: &Path) -> u64 {
    let chain = Chain::open(child, &FolderResolver::default()).unwrap();
    let relatives = HostFiles
        .relatives(&folders_around(chain.layers().iter().filter_map(vhdx::Vhdx::path), &[]))
        .unwrap();
    let plan = MergePlan::new(&chain, 1, &relatives, &MergeOptions::default()).unwrap();
    drop(chain);
    plan.execute(&HostFiles, &NoProgress).unwrap().bytes_copied
}

fn free(mounted: &Mounted) -> u64 {
    assert!(Command::new("sync").arg("-f").arg(mounted.path("")).status().unwrap().success());
    free_space(&mounted.path("")).unwrap().unwrap()
}

#[test]
fn merged_blocks_are_shared() {
    for kind in ["xfs", "btrfs"] {
        let Some(mounted) = Mounted::new(kind) else { continue };
        let (base, child, content) = chain_in(&mounted);
        let before = free(&mounted);
        let copied = merge(&child);
        let taken = before.saturating_sub(free(&mounted));
        assert_eq!(copied, 3 * BLOCK as u64 - 8192 + 512);
        assert!(taken < 8 * MIB, "{kind}: {taken} bytes for {copied}");
        let merged = Chain::open(&base, &FolderResolver::default()).unwrap();
        assert_same(&read_all(&merged), &content, kind);
    }
}

/// Sharing begins and ends at blocks of the file system, and only between files of one.
#[test]
fn ranges_of_any_kind_are_copied() {
    for kind in ["xfs", "btrfs"] {
        let Some(mounted) = Mounted::new(kind) else { continue };
        let content: Vec<u8> = (0..5 << 20).map(|at: u32| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect();
        let source = mounted.path("source");
        std::fs::write(&source, &content).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(elsewhere.path().join("source"), &content).unwrap();
        for source in [source, elsewhere.path().join("source")] {
            let source = vhdx::FileStorage::open(&source).unwrap();
            for (from, to, len) in [
                (0, 0, 4 << 20),
                (4096, 1 << 20, 3 << 20),
                (512, 1024, (2 << 20) + 512),
                (512, 4608, (3 << 20) + 1024),
            ] {
                let path = mounted.path("target");
                std::fs::write(&path, vec![9; 5 << 20]).unwrap();
                let target = vhdx::FileStorage::open_exclusive(&path).unwrap();
                let offset = vhdx::FileOffset::new;
                target.copy_from(&source, offset(from as u64), offset(to as u64), len as u64).unwrap();
                let mut expected = vec![9; 5 << 20];
                expected[to..to + len].copy_from_slice(&content[from..from + len]);
                assert_same(&std::fs::read(&path).unwrap(), &expected, kind);
            }
            let target = vhdx::FileStorage::open_exclusive(&mounted.path("target")).unwrap();
            let [from, to] = [2 << 20, 0].map(vhdx::FileOffset::new);
            let past = target.copy_from(&source, from, to, 4 << 20).unwrap_err();
            assert_eq!(past.kind(), std::io::ErrorKind::UnexpectedEof);
            assert_eq!(source.size().unwrap(), 5 << 20);
        }
    }
}
