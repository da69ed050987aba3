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
        self.mount(program, options, &self.path(), fill);
        Some(())
    }

    /// As [`fill`](Self::fill), for a FUSE program that mounts only block devices.
    pub(crate) fn fill_device(&self, mount: &[&str], fill: impl FnOnce(&Path)) -> Option<()> {
        let (program, options) = mount.split_first().unwrap();
        shared::program(program)?;
        let device = LoopDevice::new(&self.path())?;
        self.mount(program, options, Path::new(&device.0), fill);
        Some(())
    }

    fn mount(&self, program: &str, options: &[&str], from: &Path, fill: impl FnOnce(&Path)) {
        let folder = self.folder.path().join("mounted");
        fs::create_dir_all(&folder).unwrap();
        run(Command::new(program).args(options).arg(from).arg(&folder));
        let mounted = Mounted(folder);
        fill(&mounted.0);
    }
}

/// A loop device over an image.
struct LoopDevice(String);

impl LoopDevice {
    fn new(image: &Path) -> Option<Self> {
        let output = Command::new("losetup").args(["--find", "--show"]).arg(image).output();
        match output {
            Ok(output) if output.status.success() => {
                Some(Self(String::from_utf8(output.stdout).unwrap().trim().to_owned()))
            }
            failed => shared::skip(&format!("there is no loop device: {failed:?}")),
        }
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

/// A mounted folder. It is unmounted even if a test fails.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        // The kernel may hold the folder for a moment.
        for _ in 0..50 {
            let unmounted = Command::new("umount").arg(&self.0).stderr(Stdio::null()).status();
            if unmounted.is_ok_and(|status| status.success()) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        assert!(std::thread::panicking(), "{} cannot be unmounted", self.0.display());
    }
}

pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
