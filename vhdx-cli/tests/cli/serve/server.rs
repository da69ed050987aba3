//! A running `vhdx serve`.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::run::{Ran, command, interrupt};

/// A server on a Unix socket in a folder of its own. It is killed when the test ends.
pub(super) struct Server {
    child: Option<Child>,
    stdout: BufReader<ChildStdout>,
    stderr: Option<JoinHandle<String>>,
    started: String,
    folder: TempDir,
}

impl Server {
    /// Starts `vhdx serve` with these arguments, and waits until it is ready.
    pub(super) fn start<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        Self::start_with(None, args)
    }

    /// As [`start`](Self::start), with a folder for temporary files.
    pub(super) fn start_with_temporary<S: AsRef<OsStr>>(
        temporary: &Path,
        args: impl IntoIterator<Item = S>,
    ) -> Self {
        Self::start_with(Some(temporary), args)
    }

    fn start_with<S: AsRef<OsStr>>(temporary: Option<&Path>, args: impl IntoIterator<Item = S>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut serve = command();
        serve.arg("serve").args(args).arg("--unix").arg(folder.path().join("socket")).arg("--json");
        serve.env("TMPDIR", temporary.unwrap_or(folder.path()));
        let mut child = serve.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let started = document(&mut stdout);
        let stderr = Some(thread::spawn(|| all(stderr)));
        Self { child: Some(child), stdout, stderr, started, folder }
    }

    /// Returns the document that the server has printed at its start.
    pub(super) fn started(&self) -> Value {
        match serde_json::from_str(&self.started) {
            Ok(started) => started,
            Err(error) => panic!("{error}: {:?}", self.started),
        }
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Returns the folder for temporary files of the server. Its socket is in it, too.
    pub(super) fn temporary(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the URI of an export; the empty name is the default export.
    pub(super) fn uri(&self, export: &str) -> String {
        format!("nbd+unix:///{export}?socket={}", self.socket().display())
    }

    /// Sends Ctrl-C and waits for the end.
    pub(super) fn stop(mut self) -> Ran {
        self.interrupt();
        self.wait()
    }

    /// Sends Ctrl-C.
    pub(super) fn interrupt(&self) {
        interrupt(self.child.as_ref().unwrap());
    }

    /// Kills the process, as a power failure of its host would end it.
    pub(super) fn kill(mut self) {
        self.child.as_mut().unwrap().kill().unwrap();
        self.child.take().unwrap().wait().unwrap();
    }

    /// Waits until the server ends by itself.
    pub(super) fn wait(&mut self) -> Ran {
        let mut child = self.child.take().unwrap();
        let patience = Instant::now() + Duration::from_secs(60);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > patience {
                child.kill().unwrap();
                panic!("the server does not end");
            }
            thread::sleep(Duration::from_millis(5));
        };
        let mut stdout = self.started.clone().into_bytes();
        self.stdout.read_to_end(&mut stdout).unwrap();
        let stderr = self.stderr.take().unwrap().join().unwrap();
        assert!(!stderr.contains("panicked"), "{stderr}");
        Ran { code: status.code().unwrap(), stdout, stderr }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Reads one document, whose last line is `}`. At the end of the stream it is incomplete.
fn document(stdout: &mut BufReader<ChildStdout>) -> String {
    let mut text = String::new();
    while stdout.read_line(&mut text).unwrap() > 0 && !text.ends_with("\n}\n") {}
    text
}

fn all(mut stderr: ChildStderr) -> String {
    let mut text = String::new();
    stderr.read_to_string(&mut text).unwrap();
    text
}
