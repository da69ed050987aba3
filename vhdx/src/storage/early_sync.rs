//! A sync that runs beside the writing that it is for, so that the medium is busy before the writer waits for it.

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// At most one sync at a time, in a thread of its own.
#[derive(Debug, Default)]
pub(super) struct EarlySync(Mutex<Option<JoinHandle<io::Result<()>>>>);

impl EarlySync {
    /// Begins to make durable what was written so far, if nothing of the kind is going on.
    ///
    /// # Errors
    /// That of the last one. The system tells about a write that failed once only, so it must not be lost.
    pub(super) fn begin(&self, file: &File) -> io::Result<()> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.as_ref().is_some_and(|sync| !sync.is_finished()) {
            return Ok(());
        }
        join(running.take())?;
        // Where there is no handle or no thread to be had, the sync that follows does all of it.
        let Ok(file) = file.try_clone() else { return Ok(()) };
        *running = thread::Builder::new().name("sync".to_owned()).spawn(move || file.sync_data()).ok();
        Ok(())
    }

    /// Waits for what was begun.
    ///
    /// # Errors
    /// What it met.
    pub(super) fn end(&self) -> io::Result<()> {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        join(running)
    }
}

fn join(sync: Option<JoinHandle<io::Result<()>>>) -> io::Result<()> {
    let died = |_| Err(io::Error::other("the thread that syncs the file has died"));
    sync.map_or(Ok(()), |sync| sync.join().unwrap_or_else(died))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_follows_the_other() {
        let file = tempfile::tempfile().unwrap();
        let sync = EarlySync::default();
        for _ in 0..100 {
            sync.begin(&file).unwrap();
        }
        sync.end().unwrap();
        sync.end().unwrap();
    }

    /// The system refuses to sync the device.
    #[cfg(target_os = "linux")]
    #[test]
    fn an_error_is_told_once_by_whoever_comes_next() {
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
