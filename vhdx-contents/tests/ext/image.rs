//! Makes images with the tools of e2fsprogs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use vhdx::RawDisk;
use vhdx_contents::Window;
use vhdx_contents::files::ext::Ext;
use vhdx_testkit::shared;

/// Finds a program of e2fsprogs, which may not be in the path of a user.
fn tool(name: &str) -> PathBuf {
    let path = Path::new("/usr/sbin").join(name);
    if path.exists() { path } else { name.into() }
}

/// Returns `Some` if the tools are installed.
pub(crate) fn tools() -> Option<()> {
    match Command::new(tool("mke2fs")).arg("-V").output() {
        Ok(_) => Some(()),
        Err(error) => shared::skip(&format!("mke2fs cannot be run: {error}")),
    }
}

/// Runs a program, and returns its output if it succeeds.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Makes a file system of `mib` MiB, which contains a folder if there is one.
pub(crate) fn make(image: &Path, mib: u32, options: &[&str], folder: Option<&Path>) {
    let _ = std::fs::remove_file(image);
    let mut command = Command::new(tool("mke2fs"));
    // New images are zeros already, so nothing has to be written there.
    command.args(["-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"]).args(options);
    if let Some(folder) = folder {
        command.arg("-d").arg(folder);
    }
    run(command.arg(image).arg(format!("{mib}M")));
}

/// Runs `e2fsck`, which may correct the file system.
pub(crate) fn check(image: &Path, options: &[&str]) {
    let output = Command::new(tool("e2fsck")).arg("-fy").args(options).arg(image).output().unwrap();
    let code = output.status.code().unwrap();
    assert!(code <= 1, "{}", String::from_utf8_lossy(&output.stdout));
}

/// Runs commands of `debugfs` that may write.
pub(crate) fn debugfs(image: &Path, commands: &[&str]) -> String {
    let script = image.with_extension("debugfs");
    std::fs::write(&script, commands.join("\n")).unwrap();
    let output = run(Command::new(tool("debugfs")).arg("-wf").arg(script).arg(image));
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Copies an image with its holes.
pub(crate) fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("--sparse=always").arg(from).arg(to));
}

/// Opens the file system of an image, and passes it on.
pub(crate) fn with<T>(image: &Path, f: impl FnOnce(Ext<'_>) -> T) -> T {
    let disk = RawDisk::open(image).unwrap();
    f(Ext::open(Window::whole(&disk)).unwrap())
}
