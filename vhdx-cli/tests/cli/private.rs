//! Runs programs in a private mount namespace, with a file system that has limits and disappears afterwards.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use vhdx_testkit::shared;

use crate::run::{Ran, ran};

/// A mount namespace in which programs can be run.
pub(crate) struct Private {
    shell: Child,
    /// The stdin of the shell, which ends when it is closed.
    stdin: Option<ChildStdin>,
}

impl Private {
    /// Makes a namespace and runs a script in it that mounts something; `$1` is the folder.
    pub(crate) fn new(script: &str, folder: &Path) -> Option<Self> {
        shared::program("unshare")?;
        shared::program("nsenter")?;
        let script = format!("{script} && echo ready && exec cat > /dev/null");
        let mut shell = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-euc", &script, "sh"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let private = Self { stdin: shell.stdin.take(), shell };
        if said == "ready\n" { Some(private) } else { shared::skip("this user can mount nothing") }
    }

    /// Makes a namespace in which the folder is an empty file system of `mib` MiB.
    pub(crate) fn small(mib: u64, folder: &Path) -> Option<Self> {
        Self::new(&format!("mount -t tmpfs -o size={mib}m vhdx-test \"$1\""), folder)
    }

    /// Makes a namespace in which one file of the folder is read-only.
    pub(crate) fn read_only(name: &str, folder: &Path) -> Option<Self> {
        let script =
            format!("f=\"$1/{name}\"; mount --bind \"$f\" \"$f\" && mount -o remount,bind,ro \"$f\"");
        Self::new(&script, folder)
    }

    /// Returns the path by which processes outside the namespace see a file in it.
    pub(crate) fn seen(&self, path: &Path) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.shell.id())).join(path.strip_prefix("/").unwrap())
    }

    /// Runs the binary in the namespace.
    pub(crate) fn vhdx<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        let shell = self.shell.id().to_string();
        let mut inside = Command::new("nsenter");
        inside.args(["--target", &shell, "--user", "--mount", "--preserve-credentials", "--"]);
        ran(inside.arg(env!("CARGO_BIN_EXE_vhdx")).args(args).output().unwrap())
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.shell.wait();
    }
}

/// A program that has a file open, and is killed when this is dropped.
pub(crate) struct Holder(Child);

impl Holder {
    /// Starts `qemu-io`, which locks the file as a virtual machine of QEMU does.
    pub(crate) fn qemu(options: &[&str], file: &Path) -> Option<Self> {
        shared::program("qemu-io")?;
        let mut child = Command::new("qemu-io")
            .args(options)
            .args(["-f", "vhdx"])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.as_mut().unwrap().write_all(b"length\n").unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert!(said.contains("MiB"), "{said}");
        Some(Self(child))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
