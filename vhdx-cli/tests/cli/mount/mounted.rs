//! Mounts the disk of a family for a test.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tempfile::TempDir;
use vhdx_testkit::shared;

use crate::run::{Ran, command, vhdx};

/// Reports that a test is skipped unless this host can mount.
pub(super) fn can_mount() -> bool {
    let device = fs::File::options().read(true).write(true).open("/dev/fuse");
    let found = device.is_ok().then_some(()).or_else(|| shared::skip("/dev/fuse cannot be opened"));
    found.is_some()
}

/// A disk that a process in the background serves.
pub(super) struct Mounted {
    pub(super) dir: TempDir,
    pub(super) answer: Value,
    pid: Pid,
}

impl Mounted {
    /// Runs the command, which returns when the files can be read.
    pub(super) fn new(file: &Path, options: &[&OsStr]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ran = mount(file, dir.path(), options).exits(0);
        let answer = ran.json();
        let pid = answer["pid"].as_i64().and_then(|pid| Pid::from_raw(pid as i32)).unwrap();
        Self { dir, answer, pid }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn send(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Waits until the process has ended.
    #[track_caller]
    pub(super) fn wait(&self) {
        // The process is no child of this one, so the system forgets it at its end.
        wait_until("the process ends", || test_kill_process(self.pid).is_err() || is_zombie(self.pid));
    }
}

/// Whether the process has ended, and nobody has asked for its result: some containers have no process that does.
fn is_zombie(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    status.is_ok_and(|status| status.contains(") Z "))
}

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(self.dir.path());
    }
}

/// Unmounts, if something is mounted.
pub(super) fn unmount(dir: &Path) {
    let _ = Command::new("fusermount3").arg("-uzq").arg(dir).stderr(Stdio::null()).status();
}

pub(super) fn mount(file: &Path, dir: &Path, options: &[&OsStr]) -> Ran {
    let args = [OsStr::new("mount"), OsStr::new("--json"), file.as_os_str(), dir.as_os_str()];
    vhdx(args.iter().chain(options))
}

/// Starts the command in the foreground, and waits until the files can be read.
pub(super) fn foreground(file: &Path, dir: &Path) -> Child {
    let mut mount = command();
    mount.arg("mount").arg(file).arg(dir).arg("--foreground").stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = mount.spawn().unwrap();
    wait_until("the folder is mounted", || dir.join("latest").exists());
    child
}

#[track_caller]
pub(super) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
