//! Syncs a file in the background while it is written, so that the device is busy before the writer waits for it.

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// A background sync. At most one runs at a time, in its own thread.
#[derive(Debug, Default)]
pub(super) struct EarlySync(Mutex<Option<JoinHandle<io::Result<()>>>>);

impl EarlySync {
    /// Starts to sync what was written so far, unless a sync is still running.
    ///
    /// # Errors
    /// The error of the previous sync. The system reports a failed write only once, so this error must not be lost.
    pub(super) fn begin(&self, file: &File) -> io::Result<()> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.as_ref().is_some_and(|sync| !sync.is_finished()) {
            return Ok(());
        }
        join(running.take())?;
        // If no handle or no thread can be created, the caller's own sync does all the work.
        let Ok(file) = file.try_clone() else { return Ok(()) };
        *running = thread::Builder::new().name("sync".to_owned()).spawn(move || file.sync_data()).ok();
        Ok(())
    }

    /// Waits for the last sync that was started, if any.
    ///
    /// # Errors
    /// The error of that sync.
    pub(super) fn end(&self) -> io::Result<()> {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        join(running)
    }
}

fn join(sync: Option<JoinHandle<io::Result<()>>>) -> io::Result<()> {
    let died = |_| Err(io::Error::other("the thread that syncs the file ended unexpectedly"));
    sync.map_or(Ok(()), |sync| sync.join().unwrap_or_else(died))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syncs_can_be_started_repeatedly() {
        let file = tempfile::tempfile().unwrap();
        let sync = EarlySync::default();
        for _ in 0..100 {
            sync.begin(&file).unwrap();
        }
        sync.end().unwrap();
        sync.end().unwrap();
    }

    /// `/dev/null` cannot be synced.
    #[cfg(target_os = "linux")]
    #[test]
    fn an_error_is_returned_once_by_the_next_call() {
        let file = File::open("/dev/null").unwrap();
        let sync = EarlySync::default();
        sync.begin(&file).unwrap();
        assert_eq!(sync.end().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        sync.end().unwrap();
        sync.begin(&file).unwrap();
        while sync.0.lock().unwrap().as_ref().is_some_and(|sync| !sync.is_finished()) {
            thread::yield_now();
        }
        assert_eq!(sync.begin(&file).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        sync.end().unwrap();
    }
}
