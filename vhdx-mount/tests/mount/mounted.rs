//! Mounts disks for a test.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use vhdx::{Chain, Disk, FolderResolver};
use vhdx_mount::{End, MountedDisk, Options, Session, Tree};
use vhdx_testkit::{ChainModel, shared};

/// Mounted disks. They are unmounted at the end.
pub(crate) struct Mounted {
    folder: TempDir,
    stop: Arc<AtomicBool>,
    session: Option<JoinHandle<vhdx_mount::Result<End>>>,
    lines: Arc<Mutex<Vec<String>>>,
}

/// Reports that a test is skipped unless this host can mount.
pub(crate) fn can_mount() -> bool {
    let device = fs::File::options().read(true).write(true).open("/dev/fuse");
    let found = device.is_ok().then_some(()).or_else(|| shared::skip("/dev/fuse cannot be opened"));
    found.is_some()
}

/// A disk without partitions.
pub(crate) fn disk(name: &str, disk: Arc<dyn Disk>) -> MountedDisk {
    MountedDisk {
        name: name.to_owned(),
        disk,
        partitions: Vec::new(),
        info: format!("{{\"name\": \"{name}\"}}\n").into_bytes(),
        modified: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
    }
}

/// Returns the disk of each layer of a model, leaf first, in files in `folder`.
pub(crate) fn checkpoints(model: &ChainModel, folder: &Path) -> Vec<MountedDisk> {
    let paths = model.write_to(folder).unwrap();
    let mounted = |path: &PathBuf| {
        let chain = Chain::open(path, &FolderResolver::default()).unwrap();
        disk(path.file_stem().unwrap().to_str().unwrap(), Arc::new(chain))
    };
    paths.iter().map(mounted).collect()
}

impl Mounted {
    pub(crate) fn new(checkpoints: Vec<MountedDisk>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (stop, lines) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (report, stopped) = (lines.clone(), stop.clone());
        let options = Options {
            allow_other: false,
            threads: 4,
            report: Arc::new(move |line| report.lock().unwrap().push(line.to_owned())),
        };
        let session = Session::mount(Tree { checkpoints, latest: 0 }, folder.path(), &options).unwrap();
        let session = std::thread::spawn(move || session.wait(&stopped));
        Self { folder, stop, session: Some(session), lines }
    }

    pub(crate) fn one(disk: Arc<dyn Disk>, partitions: &[(&str, Range<u64>)]) -> Self {
        let partitions = partitions.iter().map(|(name, range)| ((*name).to_owned(), range.clone())).collect();
        Self::new(vec![MountedDisk { partitions, ..self::disk("disk", disk) }])
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the reported lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits for the end, without asking for it.
    pub(crate) fn wait(&mut self) -> End {
        self.session.take().unwrap().join().unwrap().unwrap()
    }

    pub(crate) fn stop(&mut self) -> End {
        self.stop.store(true, Ordering::Relaxed);
        self.wait()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(session) = self.session.take() {
            let end = session.join();
            assert!(std::thread::panicking() || end.is_ok_and(|end| end.is_ok()), "not unmounted");
        }
    }
}

/// Runs a program, which must succeed.
#[track_caller]
pub(crate) fn run(program: &str, args: &[&dyn AsRef<std::ffi::OsStr>]) -> Output {
    let output = Command::new(program).args(args.iter().map(|arg| arg.as_ref())).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[track_caller]
pub(crate) fn assert_same(found: &[u8], expected: &[u8], what: &str) {
    assert_eq!(found.len(), expected.len(), "length of {what}");
    if let Some(at) = found.iter().zip(expected).position(|(found, expected)| found != expected) {
        panic!("{what}: byte {at} is {:#x}, not {:#x}", found[at], expected[at]);
    }
}
