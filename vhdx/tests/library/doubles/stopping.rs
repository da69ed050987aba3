//! Stops a program at any operation that changes a file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use vhdx::ops::{FileState, HostFiles, MergeFiles, OpenFile, PruneFiles, RevertFiles};
use vhdx::{Error, FileOffset, ReadAt, Relatives, Result, Storage};

/// The files of the host, of which no operation succeeds any more from one on that changes something.
///
/// This is what a killed process leaves: what was written before stays, and a write may be cut.
pub(crate) struct Stopping {
    left: Arc<AtomicUsize>,
    /// How many operations were left at each deletion, and at each change of a journal.
    pub(crate) deletions: Mutex<Vec<usize>>,
}

fn stopped() -> io::Error {
    io::Error::other("the process was stopped")
}

/// Counts an operation down.
fn step(left: &AtomicUsize) -> io::Result<()> {
    let go_on = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    go_on.map(drop).map_err(|_| stopped())
}

impl Stopping {
    pub(crate) fn after(operations: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(operations)), deletions: Mutex::default() }
    }

    /// Returns how many operations would still succeed.
    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    fn step(&self, path: &Path) -> Result<()> {
        self.deletions.lock().unwrap().push(self.left());
        step(&self.left).map_err(|error| Error::io("change", None, error).in_file(path))
    }
}

struct StoppingStorage<S> {
    storage: S,
    left: Arc<AtomicUsize>,
}

impl<S: Storage> ReadAt for StoppingStorage<S> {
    fn size(&self) -> io::Result<u64> {
        self.storage.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.storage.read_exact_at(buf, offset)
    }
}

impl<S: Storage> Storage for StoppingStorage<S> {
    fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
        if self.left.load(Ordering::Relaxed) == 0 {
            return Err(stopped());
        }
        if self.left.load(Ordering::Relaxed) == 1 {
            let half = buf.len() / 2 / 512 * 512;
            self.storage.write_all_at(&buf[..half], offset)?;
        }
        step(&self.left)?;
        self.storage.write_all_at(buf, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        step(&self.left)?;
        self.storage.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        step(&self.left)?;
        self.storage.sync()
    }
}

impl MergeFiles for Stopping {
    fn open(&self, path: &Path) -> Result<OpenFile> {
        let file = HostFiles.open(path)?;
        let storage = StoppingStorage { storage: file.storage, left: Arc::clone(&self.left) };
        Ok(OpenFile { storage: Arc::new(storage), identity: file.identity })
    }

    fn delete(&self, file: &FileState) -> Result<()> {
        self.step(&file.path)?;
        HostFiles.delete(file)
    }

    fn relatives(&self, folders: &[PathBuf]) -> Result<Relatives> {
        HostFiles.relatives(folders)
    }
}

impl PruneFiles for Stopping {
    fn write_journal(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.step(path)?;
        HostFiles.write_journal(path, bytes)
    }

    fn read_journal(&self, path: &Path) -> Result<Vec<u8>> {
        HostFiles.read_journal(path)
    }

    fn delete_journal(&self, path: &Path) -> Result<()> {
        self.step(path)?;
        HostFiles.delete_journal(path)
    }
}

impl RevertFiles for Stopping {
    fn create(&self, path: &Path, write: &mut dyn FnMut(&dyn Storage) -> Result<()>) -> Result<()> {
        HostFiles.create(path, &mut |storage| {
            write(&StoppingStorage { storage, left: Arc::clone(&self.left) })?;
            self.step(path)
        })
    }
}
