//! Ends the server when a signal asks for it.

use std::io::{Write, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use vhdx_serve::Stop;

use crate::exit::Failure;
use crate::interrupt;

/// How often the thread looks whether a signal has arrived.
const POLL: Duration = Duration::from_millis(50);

/// The exit code of a process that a signal has interrupted.
const INTERRUPTED: i32 = 130;

/// Watches for signals from now on. The first one stops the server in an orderly way. The second one ends the process,
/// so that a file that cannot be read or written cannot keep it for ever.
pub(super) fn watch(stop: Stop) -> Result<(), Failure> {
    let cannot = |error| Failure::io("cannot watch for Ctrl-C", &error);
    let signal = interrupt::watch().map_err(cannot)?;
    let watch = move || {
        wait(&signal);
        stop.stop();
        wait(&signal);
        let _ = writeln!(stderr(), "vhdx: ended by a second signal; writes since the last flush may be lost");
        std::process::exit(INTERRUPTED);
    };
    // The thread ends with the process.
    thread::Builder::new().name("signals".to_owned()).spawn(watch).map_err(cannot)?;
    Ok(())
}

/// Waits for a signal, and forgets it.
fn wait(signal: &Arc<AtomicBool>) {
    while !signal.swap(false, Ordering::Relaxed) {
        thread::sleep(POLL);
    }
}
