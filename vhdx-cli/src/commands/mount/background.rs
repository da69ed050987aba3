//! Runs the command in a process in the background, and waits until its files can be read.
//!
//! The process is a new one of this program with the same arguments. Its stdin is a socket on which it tells that it is
//! ready. Its stdout and stderr are those of the command until then, so it prints the answer or the error itself.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::exit::{Failure, Outcome};

/// Set in the environment of the process in the background.
const CHILD: &str = "VHDX_MOUNT_CHILD";
/// What the process in the background sends when it is ready.
const READY: u8 = b'r';

/// Whether this is the process in the background.
pub(super) fn is_child() -> bool {
    env::var_os(CHILD).is_some()
}

/// Starts the process in the background, and waits until it is ready or has failed.
pub(super) fn start() -> Result<Outcome, Failure> {
    let cannot = |error| Failure::io("cannot start a process in the background", &error);
    let (mut ours, theirs) = UnixStream::pair().map_err(cannot)?;
    let mut args = env::args_os();
    let mut command = Command::new(this_program());
    if let Some(name) = args.next() {
        command.arg0(name);
    }
    command.args(args).env(CHILD, "1").stdin(Stdio::from(OwnedFd::from(theirs)));
    let mut child = command.spawn().map_err(cannot)?;
    // Closes the other end of the socket: then only the child has it.
    drop(command);
    let mut answer = [0];
    match ours.read(&mut answer) {
        Ok(1) if answer == [READY] => Ok(Outcome::Done),
        Ok(_) => ended(child.wait().map_err(cannot)?),
        Err(error) => Err(cannot(error)),
    }
}

/// Returns the path of this program. The name of the process comes from it.
fn this_program() -> PathBuf {
    // The second path also leads to a program whose file was deleted, but its process is called `exe`.
    let path = env::current_exe().ok().filter(|path| path.exists());
    path.unwrap_or_else(|| PathBuf::from("/proc/self/exe"))
}

/// Returns the result of a process that has ended before it was ready. It has printed its error.
fn ended(status: ExitStatus) -> Result<Outcome, Failure> {
    match (status.code().and_then(|code| u8::try_from(code).ok()), status.signal()) {
        (Some(code), _) if code != 0 => Ok(Outcome::Reported(code)),
        (_, Some(signal)) => {
            Err(Failure::failed_io(format!("the process in the background was killed by signal {signal}")))
        }
        _ => Err(Failure::failed_io("the process in the background has ended before it was ready")),
    }
}

/// Leaves the terminal and the caller's folder, and tells the waiting process that the files can be read.
///
/// From then on, messages go to `log`.
pub(super) fn detach(log: Option<&Path>) -> io::Result<()> {
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    let messages = match log {
        Some(log) => &File::options().append(true).create(true).open(log)?,
        None => &nothing,
    };
    rustix::stdio::dup2_stdout(&nothing)?;
    rustix::stdio::dup2_stderr(messages)?;
    rustix::process::setsid()?;
    // A file system that is in use as the current folder cannot be unmounted.
    env::set_current_dir("/")?;
    rustix::io::write(io::stdin().as_fd(), &[READY])?;
    rustix::stdio::dup2_stdin(&nothing)?;
    Ok(())
}
