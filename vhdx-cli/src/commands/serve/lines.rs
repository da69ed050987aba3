//! Prints lines on stderr in a thread of its own: nobody waits for a terminal or a pipe that takes no more text.

use std::io::{Write, stderr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// The most lines that wait to be printed. Further lines are lost, and counted.
const MOST: usize = 2000;

/// How long the end of the process waits until all lines are printed.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Lines {
    /// `None` while this is dropped.
    lines: Option<SyncSender<String>>,
    lost: AtomicU64,
    /// Disconnected when all lines are printed.
    done: Mutex<Receiver<()>>,
}

impl Lines {
    pub(super) fn new() -> Self {
        let (lines, printed) = sync_channel::<String>(MOST);
        let (alive, done) = sync_channel::<()>(0);
        let print = move || {
            printed.iter().for_each(|line| {
                let _ = writeln!(stderr(), "{line}");
            });
            drop(alive);
        };
        // If no thread can be started, the lines are lost, but the disk is served.
        let _ = thread::Builder::new().name("log".to_owned()).spawn(print);
        Self { lines: Some(lines), lost: AtomicU64::new(0), done: done.into() }
    }

    pub(super) fn print(&self, line: String) {
        if self.lines.as_ref().is_none_or(|lines| lines.try_send(line).is_err()) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let lost = self.lost.load(Ordering::Relaxed);
        if let (Some(lines), 1..) = (&self.lines, lost) {
            let _ = lines.try_send(format!("vhdx: lines that could not be printed: {lost}"));
        }
        drop(self.lines.take());
        // If it takes longer, nobody reads stderr, so there is nobody to tell.
        let _ = self.done.get_mut().map(|done| done.recv_timeout(PATIENCE));
    }
}
