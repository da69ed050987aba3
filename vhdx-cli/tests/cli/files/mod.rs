//! `ls` and `cp`: files inside disks.

mod copying;
mod hostile;
mod listing;
mod partitions;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use vhdx_testkit::shared;

/// A folder with a disk: a FAT file system with files, made by mtools.
pub(super) struct Fixture {
    folder: TempDir,
}

impl Fixture {
    /// Makes a disk with the files that `make` makes in a folder. Returns `None` if a tool is missing.
    pub(super) fn new(make: impl FnOnce(&Path)) -> Option<Self> {
        let fixture = Self { folder: tempfile::tempdir().unwrap() };
        fat(&fixture.path("disk.raw"), "LABEL", make)?;
        fixture.convert();
        Some(fixture)
    }

    /// Changes bytes of the raw image, and makes the disk again.
    pub(super) fn patch(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.path("disk.raw")).unwrap();
        change(&mut bytes);
        fs::write(self.path("disk.raw"), bytes).unwrap();
        fs::remove_file(self.disk()).unwrap();
        self.convert();
    }

    fn convert(&self) {
        crate::run!("convert", "--quiet", self.path("disk.raw"), self.disk()).exits(0);
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn disk(&self) -> PathBuf {
        self.path("disk.vhdx")
    }

    /// Returns FILE:PATH for a path in the disk.
    pub(super) fn place(&self, path: &str) -> String {
        format!("{}:{path}", self.disk().display())
    }
}

/// Makes a FAT file system with the files that `make` makes in a folder.
pub(super) fn fat(image: &Path, label: &str, make: impl FnOnce(&Path)) -> Option<()> {
    shared::program("mkfs.vfat")?;
    shared::program("mcopy")?;
    fs::File::create(image).unwrap().set_len(8 << 20).unwrap();
    let run = |command: &mut Command| {
        let output = command.env("TZ", "UTC").env("LC_ALL", "C.UTF-8").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(Command::new("mkfs.vfat").args(["-F", "16", "-s", "1", "-n", label]).arg(image));
    let files = tempfile::tempdir().unwrap();
    make(files.path());
    let names = fs::read_dir(files.path()).unwrap().map(|entry| entry.unwrap().path());
    run(Command::new("mcopy").args(["-s", "-m", "-Q", "-i"]).arg(image).args(names).arg("::/"));
    Some(())
}

/// Some files in folders.
pub(super) fn documents(folder: &Path) {
    fs::create_dir_all(folder.join("docs/old letters")).unwrap();
    fs::write(folder.join("docs/a.txt"), "content of a").unwrap();
    fs::write(folder.join("docs/old letters/Grüße.txt"), "x".repeat(100_000)).unwrap();
    fs::write(folder.join("root file"), "").unwrap();
}
