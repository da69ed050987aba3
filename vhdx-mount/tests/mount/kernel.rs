//! The kernel mounts file systems from the files, through a loop device.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use vhdx::RawDisk;
use vhdx_testkit::{Random, shared};

use crate::mounted::{Mounted, assert_same, can_mount, run};

/// Where the file system begins on the disk.
const START: u64 = 1 << 20;
const SIZE: u64 = 300 << 20;

/// A mount that ends with the test.
struct Mount(tempfile::TempDir);

impl Mount {
    /// Mounts by loop; `None` if this host cannot.
    fn new(source: &Path, options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-o", options]).arg(source).arg(folder.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            Ok(output) => shared::skip(&format!(
                "{} cannot be mounted by loop: {}",
                source.display(),
                String::from_utf8_lossy(&output.stderr)
            )),
            Err(error) => shared::skip(&format!("mount cannot be run: {error}")),
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let ended = Command::new("umount").arg(self.0.path()).status();
        assert!(std::thread::panicking() || ended.is_ok_and(|ended| ended.success()));
    }
}

/// Files by name, with their content.
type Files = Vec<(String, Vec<u8>)>;

/// Makes a raw disk with a file system in which there are files.
fn disk_with(kind: &str, folder: &Path) -> Option<(PathBuf, Files)> {
    let path = folder.join("disk");
    let file_system = folder.join("file-system");
    fs::File::create(&file_system).unwrap().set_len(SIZE).unwrap();
    let make = format!("mkfs.{kind}");
    let made = Command::new(&make).arg("-q").arg(&file_system).output();
    if !made.is_ok_and(|made| made.status.success()) {
        return shared::skip(&format!("{make} cannot be run"));
    }
    let mut random = Random::new(11);
    let mut files = Vec::new();
    let mount = Mount::new(&file_system, "loop")?;
    for number in 0..40_u64 {
        let (name, len) = (format!("file {number}"), random.number() as usize % (400 << 10));
        let bytes: Vec<u8> = (0..len).map(|_| random.number() as u8).collect();
        fs::write(mount.0.path().join(&name), &bytes).unwrap();
        files.push((name, bytes));
    }
    drop(mount);
    fs::File::create(&path).unwrap().set_len(START + SIZE).unwrap();
    let (from, to) = (format!("if={}", file_system.display()), format!("of={}", path.display()));
    run("dd", &[&from, &to, &"bs=1M", &"seek=1", &"conv=sparse,notrunc", &"status=none"]);
    Some((path, files))
}

fn check(kind: &str, options: &str) -> Option<()> {
    let folder = tempfile::tempdir().unwrap();
    let (path, files) = disk_with(kind, folder.path())?;
    let disk = Arc::new(RawDisk::open(&path).unwrap());
    let mounted = Mounted::one(disk, &[("p1", START..START + SIZE)]);
    for (file, options) in
        [("p1", format!("loop,ro{options}")), ("disk.raw", format!("loop,ro,offset={START}{options}"))]
    {
        let mount = Mount::new(&mounted.path("disk").join(file), &options)?;
        for (name, expected) in &files {
            let found = fs::read(mount.0.path().join(name)).unwrap();
            assert_same(&found, expected, &format!("{name} on {kind} in {file}"));
        }
    }
    assert_eq!(mounted.lines(), [""; 0]);
    Some(())
}

#[test]
fn the_kernel_mounts_ext4() {
    if can_mount() {
        check("ext4", "");
    }
}

#[test]
fn the_kernel_mounts_xfs() {
    if can_mount() {
        check("xfs", ",norecovery,nouuid");
    }
}

#[test]
fn the_kernel_mounts_btrfs() {
    if can_mount() {
        check("btrfs", "");
    }
}
