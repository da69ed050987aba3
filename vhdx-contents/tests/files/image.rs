//! Images of file systems, made and filled by real tools.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use vhdx_testkit::shared;

/// A raw image in a folder of its own.
pub(crate) struct Image {
    folder: TempDir,
}

impl Image {
    /// Makes an empty image, and runs the command that makes a file system in it. Returns `None` if that is absent.
    pub(crate) fn new(size: u64, mkfs: &[&str]) -> Option<Self> {
        let (program, options) = mkfs.split_first().unwrap();
        shared::program(program)?;
        let image = Self { folder: tempfile::tempdir().unwrap() };
        File::create(image.path()).unwrap().set_len(size).unwrap();
        run(Command::new(program).args(options).arg(image.path()));
        Some(image)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("image.raw")
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    /// Mounts the image with a FUSE program, calls `fill` with the folder, and unmounts. Returns `None` if the host has
    /// no FUSE or no such program.
    pub(crate) fn fill(&self, mount: &[&str], fill: impl FnOnce(&Path)) -> Option<()> {
        let (program, options) = mount.split_first().unwrap();
        shared::program(program)?;
        if File::options().read(true).write(true).open("/dev/fuse").is_err() {
            return shared::skip("/dev/fuse cannot be opened");
        }
        let folder = self.folder.path().join("mounted");
        fs::create_dir_all(&folder).unwrap();
        run(Command::new(program).args(options).arg(self.path()).arg(&folder));
        let mounted = Mounted(folder);
        fill(&mounted.0);
        drop(mounted);
        Some(())
    }
}

/// A mounted folder. It is unmounted even if a test fails.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        // The kernel may hold the folder for a moment.
        for _ in 0..50 {
            if Command::new("umount")
                .arg(&self.0)
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
            {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        if !std::thread::panicking() {
            panic!("{} cannot be unmounted", self.0.display());
        }
    }
}

pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
