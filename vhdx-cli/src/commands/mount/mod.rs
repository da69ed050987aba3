//! `vhdx mount`: shows a disk as files, as it was at each checkpoint.

#[cfg(target_os = "linux")]
mod background;
#[cfg(target_os = "linux")]
mod foreground;
#[cfg(target_os = "linux")]
mod mount_failure;
#[cfg(target_os = "linux")]
mod tree;

use crate::args::Mount;
use crate::exit::{Failure, Outcome};
use crate::output::Output;

#[cfg(target_os = "linux")]
pub(super) fn run(output: Output, ask: &Mount) -> Result<Outcome, Failure> {
    // Before a process is started, so that the most likely error is found at once.
    vhdx_mount::validate_mountpoint(&ask.dir).map_err(mount_failure::of)?;
    match ask.foreground {
        true => foreground::run(output, ask, foreground::Place::Foreground),
        false if background::is_child() => foreground::run(output, ask, foreground::Place::Background),
        false => background::start(),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn run(_: Output, _: &Mount) -> Result<Outcome, Failure> {
    Err(Failure::unsupported("`mount` needs FUSE, which vhdx uses only on Linux")
        .with_hint("`vhdx serve FILE` serves the same disks to NBD clients on this system"))
}
