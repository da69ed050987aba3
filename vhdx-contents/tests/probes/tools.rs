//! Runs the programs that make file systems.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Returns a command that also finds programs for administrators.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C.UTF-8");
    command
}

/// Returns `Some` if a program can be run. If it cannot, the test is skipped.
pub(crate) fn program(name: &str) -> Option<()> {
    match command(name).arg("--version").output() {
        Ok(_) => Some(()),
        Err(error) => vhdx_testkit::shared::skip(&format!("{name} cannot be run: {error}")),
    }
}

/// Runs a program, and returns what it prints. It must succeed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    try_run(program, arguments).unwrap()
}

fn try_run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = command(program).args(arguments).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(String::from_utf8(output.stdout).unwrap()) } else { Err(both(&output)) }
}

pub(crate) fn both(output: &Output) -> String {
    [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat()
}

/// A sparse image in a temporary folder.
pub(crate) struct TestImage {
    pub(crate) folder: TempDir,
    pub(crate) path: PathBuf,
}

impl TestImage {
    pub(crate) fn new(size: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        File::create_new(&path).unwrap().set_len(size).unwrap();
        Self { folder, path }
    }

    pub(crate) fn with_bytes(size: u64, writes: &[(u64, &[u8])]) -> Self {
        let image = Self::new(size);
        for (offset, bytes) in writes {
            image.write(*offset, bytes);
        }
        image
    }

    /// Makes an image with a program. `IMAGE` in the arguments stands for its path, `FOLDER` for an empty folder, and
    /// `KEYFILE` for a file with a password. Returns what the program prints if it fails.
    pub(crate) fn try_make(size: u64, command: &[&str]) -> Result<Self, String> {
        let image = Self::new(size);
        let (empty, key) = (image.folder.path().join("empty"), image.folder.path().join("key"));
        std::fs::create_dir(&empty).unwrap();
        std::fs::write(&key, "password").unwrap();
        let replaced = |one: &&str| {
            let one = one.replace("IMAGE", text(&image.path));
            one.replace("FOLDER", text(&empty)).replace("KEYFILE", text(&key))
        };
        let replaced: Vec<String> = command.iter().map(replaced).collect();
        let arguments: Vec<&str> = replaced[1..].iter().map(String::as_str).collect();
        try_run(&replaced[0], &arguments)?;
        Ok(image)
    }

    pub(crate) fn make(size: u64, command: &[&str]) -> Self {
        Self::try_make(size, command).unwrap()
    }

    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) {
        use std::os::unix::fs::FileExt;
        File::options().write(true).open(&self.path).unwrap().write_all_at(bytes, offset).unwrap();
    }

    pub(crate) fn read<const N: usize>(&self, offset: u64) -> [u8; N] {
        use std::os::unix::fs::FileExt;
        let mut bytes = [0; N];
        File::open(&self.path).unwrap().read_exact_at(&mut bytes, offset).unwrap();
        bytes
    }

    /// Returns the first `len` bytes, or all if there are fewer.
    pub(crate) fn head(&self, len: u64) -> Vec<u8> {
        use std::io::Read;
        let mut bytes = Vec::new();
        File::open(&self.path).unwrap().take(len).read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// Changes one bit of a byte.
    pub(crate) fn flip(&self, offset: u64) {
        let [byte] = self.read(offset);
        self.write(offset, &[byte ^ 0x10]);
    }

    pub(crate) fn truncate(&self, size: u64) {
        File::options().write(true).open(&self.path).unwrap().set_len(size).unwrap();
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
