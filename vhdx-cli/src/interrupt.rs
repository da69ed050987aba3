//! Watches for Ctrl-C and for signals that ask the process to stop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Returns a flag that Ctrl-C, SIGTERM and SIGHUP set from now on, instead of ending the process.
///
/// On Linux, a signal that was ignored when the process started (`nohup`, a shell's `&`) stays ignored.
#[cfg(unix)]
pub(crate) fn watch() -> io::Result<Arc<AtomicBool>> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    let (flag, ignored) = (Arc::new(AtomicBool::new(false)), ignored());
    // The mask's lowest bit is signal 1.
    let is_watched = |signal: &i32| ignored & 1u64.rotate_left(signal.unsigned_abs().saturating_sub(1)) == 0;
    for signal in [SIGHUP, SIGINT, SIGTERM].into_iter().filter(is_watched) {
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(flag)
}

/// Returns the mask of the ignored signals. It is empty if the system does not provide it.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Returns a flag that Ctrl-C sets from now on, instead of ending the process.
#[cfg(windows)]
pub(crate) fn watch() -> io::Result<Arc<AtomicBool>> {
    use std::sync::atomic::Ordering;

    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    ctrlc::set_handler(move || set.store(true, Ordering::Relaxed)).map_err(io::Error::other)?;
    Ok(flag)
}
