//! A storage for tests that counts reads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vhdx::{FileOffset, ReadAt};

/// A storage that counts what is read through it.
#[derive(Clone, Debug)]
pub struct Counting<S> {
    storage: S,
    counts: Arc<Counts>,
}

/// The reads of a [`Counting`] storage.
#[derive(Debug, Default)]
pub struct Counts {
    reads: AtomicU64,
    bytes: AtomicU64,
    within: std::sync::Mutex<Vec<(u64, u64)>>,
}

impl Counts {
    /// Returns the number of reads.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Returns the number of bytes that were requested.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns whether any read touched `range` of the file.
    pub fn touched(&self, range: std::ops::Range<u64>) -> bool {
        let reads = self.within.lock().expect("no panic elsewhere");
        reads.iter().any(|&(start, end)| start < range.end && range.start < end)
    }
}

impl<S> Counting<S> {
    /// Wraps a storage, and returns it with its counts.
    pub fn new(storage: S) -> (Self, Arc<Counts>) {
        let counts = Arc::new(Counts::default());
        (Self { storage, counts: Arc::clone(&counts) }, counts)
    }
}

impl<S: ReadAt> ReadAt for Counting<S> {
    fn size(&self) -> io::Result<u64> {
        self.storage.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        let len = buf.len() as u64;
        self.counts.reads.fetch_add(1, Ordering::Relaxed);
        self.counts.bytes.fetch_add(len, Ordering::Relaxed);
        let read = (offset.get(), offset.get().saturating_add(len));
        self.counts.within.lock().expect("no panic elsewhere").push(read);
        self.storage.read_exact_at(buf, offset)
    }
}
