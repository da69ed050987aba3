//! Makes disks with partition tables.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use vhdx::{Disk, DiskOffset, Extent, FileIdentity, RawDisk, Result};
use vhdx_testkit::shared;

/// Returns a folder for disks, if all programs are there.
pub(crate) fn folder() -> Option<TempDir> {
    for program in ["sfdisk", "fdisk", "sgdisk", "mmls"] {
        shared::program(program)?;
    }
    Some(tempfile::tempdir().unwrap())
}

/// Makes an empty disk. The name ends without a digit, so sfdisk appends only the number of a partition.
pub(crate) fn raw(folder: &TempDir, len: u64) -> PathBuf {
    let file = tempfile::Builder::new().prefix("d").suffix(".img").tempfile_in(folder.path()).unwrap();
    file.as_file().set_len(len).unwrap();
    file.into_temp_path().keep().unwrap()
}

/// Runs a program, which must succeed, and returns what it prints.
#[track_caller]
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> String {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C.UTF-8");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn run_with(command: &mut Command, input: &str) {
    command.env("LC_ALL", "C.UTF-8").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {input}: {output:?}");
}

/// Makes a disk with the partition table of a script.
#[track_caller]
pub(crate) fn sfdisk(folder: &TempDir, len: u64, script: &str) -> PathBuf {
    let path = raw(folder, len);
    run_with(Command::new("sfdisk").arg("--no-tell-kernel").arg(&path), script);
    path
}

/// Makes a disk with sectors of 4096 bytes.
#[track_caller]
pub(crate) fn fdisk(folder: &TempDir, len: u64, commands: &str) -> PathBuf {
    let path = raw(folder, len);
    run_with(Command::new("fdisk").args(["-b", "4096"]).arg(&path), commands);
    path
}

/// Fills a range with zeros.
pub(crate) fn zero(path: &PathBuf, at: u64, len: u64) {
    File::options().write(true).open(path).unwrap().write_all_at(&vec![0; len as usize], at).unwrap();
}

/// A raw disk with sectors of another size.
pub(crate) struct Sectors {
    pub(crate) disk: RawDisk,
    pub(crate) sector_size: u32,
}

impl Disk for Sectors {
    fn virtual_size(&self) -> u64 {
        self.disk.virtual_size()
    }

    fn logical_sector_size(&self) -> u32 {
        self.sector_size
    }

    fn extents(&self, range: Range<DiskOffset>) -> Box<dyn Iterator<Item = Result<Extent>> + Send + '_> {
        self.disk.extents(range)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: DiskOffset) -> Result<()> {
        self.disk.read_exact_at(buf, offset)
    }

    fn validate_placement(&self) -> Result<()> {
        self.disk.validate_placement()
    }

    fn ensure_unchanged(&self) -> Result<()> {
        self.disk.ensure_unchanged()
    }

    fn identities(&self) -> Vec<FileIdentity> {
        self.disk.identities()
    }
}
