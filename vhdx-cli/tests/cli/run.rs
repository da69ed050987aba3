//! Runs the binary.

use std::ffi::OsStr;
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_vhdx"))
}

pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

pub(crate) fn vhdx<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    ran(output(command().args(args)))
}

/// Runs the command to its end.
///
/// Wine sometimes fails to start a process when many start at once. The command is then started again.
pub(crate) fn output(command: &mut Command) -> Output {
    for _ in 0..3 {
        let output = command.output();
        if !(cfg!(windows) && has_not_started(&output)) {
            return output.unwrap();
        }
    }
    command.output().unwrap()
}

fn has_not_started(output: &std::io::Result<Output>) -> bool {
    const INTERNAL_ERROR: i32 = 1359;
    const DLL_INIT_FAILED: u32 = 0xC000_0142;
    match output {
        Err(error) => error.raw_os_error() == Some(INTERNAL_ERROR),
        Ok(output) => output.status.code() == Some(DLL_INIT_FAILED.cast_signed()),
    }
}

pub(crate) fn ran(output: Output) -> Ran {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.contains("panicked"), "{stderr}");
    Ran { code: output.status.code().unwrap(), stdout: output.stdout, stderr }
}

impl Ran {
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            code,
            "stdout: {}\nstderr: {}",
            String::from_utf8_lossy(&self.stdout),
            self.stderr
        );
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap()
    }

    /// Returns the JSON error on stderr.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        let document: Value = serde_json::from_str(&self.stderr).unwrap();
        document["error"].clone()
    }
}

/// Interrupts the command, as Ctrl-C does.
///
/// A process that a script starts with `&` ignores SIGINT, and so do its children. The function panics then, because
/// the test would wait forever.
#[cfg(unix)]
pub(crate) fn interrupt(child: &std::process::Child) {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = Pid::from_child(child);
    #[cfg(target_os = "linux")]
    {
        const INTERRUPT: u64 = 1 << 1;
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
        if u64::from_str_radix(ignored.trim(), 16).unwrap() & INTERRUPT != 0 {
            kill_process(pid, Signal::KILL).unwrap();
            panic!("the tests were started with SIGINT ignored: by & in a script?");
        }
    }
    kill_process(pid, Signal::INT).unwrap();
}

/// Runs the binary with these arguments: words and paths.
#[macro_export]
macro_rules! run {
    ($($arg:expr),* $(,)?) => {
        $crate::run::vhdx([$(std::ffi::OsStr::new(&$arg)),*])
    };
}
