//! Turns a panic, and work without an end, of a file system's code into an error.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::file_system::{Attributes, Entry, FileSystem, Node, Range};
use crate::error::{Error, Result};

/// The reads of one call. The largest folder or file needs far fewer: a read has 64 KiB.
const READS_OF_A_CALL: u64 = 1 << 20;

/// How often the disk may still be read before a call must end.
pub(super) struct Budget(AtomicU64);

impl Budget {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(READS_OF_A_CALL)))
    }

    fn renew(&self) {
        self.0.store(READS_OF_A_CALL, Ordering::Relaxed);
    }

    /// Counts one read.
    ///
    /// # Errors
    /// [`Error::Abandoned`] if there were too many.
    pub(super) fn spend(&self) -> Result<()> {
        let spent = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        spent.map(drop).map_err(|_| {
            Error::Abandoned(format!(
                "the file system is damaged: a list did not end after {READS_OF_A_CALL} reads; it probably loops"
            ))
        })
    }
}

/// A file system whose methods do not panic, and end.
pub(super) struct Guarded<F> {
    inside: F,
    budget: Arc<Budget>,
    /// A panic has left the file system in an unknown state.
    has_panicked: AtomicBool,
}

impl<F: FileSystem> Guarded<F> {
    /// Opens a file system. `budget` is that of its reads.
    pub(super) fn open(budget: Arc<Budget>, open: impl FnOnce() -> Result<F>) -> Result<Self> {
        let inside = catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| Err(panicked()))?;
        Ok(Self { inside, budget, has_panicked: AtomicBool::new(false) })
    }

    fn call<T>(&self, call: impl FnOnce(&F) -> Result<T>) -> Result<T> {
        if self.has_panicked.load(Ordering::Relaxed) {
            return Err(panicked());
        }
        self.budget.renew();
        catch_unwind(AssertUnwindSafe(|| call(&self.inside))).unwrap_or_else(|_| {
            self.has_panicked.store(true, Ordering::Relaxed);
            Err(panicked())
        })
    }
}

fn panicked() -> Error {
    Error::Abandoned("reading the file system stopped because of a bug in vhdx; please report it".to_owned())
}

impl<F: FileSystem> FileSystem for Guarded<F> {
    fn root(&self) -> Node {
        self.inside.root()
    }

    fn attributes(&self, node: Node) -> Result<Attributes> {
        self.call(|inside| inside.attributes(node))
    }

    fn list(&self, folder: Node, each: &mut dyn FnMut(Entry) -> Result<ControlFlow<()>>) -> Result<()> {
        self.call(|inside| inside.list(folder, each))
    }

    fn folder_identity(&self, folder: Node) -> Result<u64> {
        self.call(|inside| inside.folder_identity(folder))
    }

    fn lookup(&self, folder: Node, name: &[u8]) -> Result<Option<Entry>> {
        self.call(|inside| inside.lookup(folder, name))
    }

    fn notes(&self) -> Vec<String> {
        self.inside.notes()
    }

    fn is_same_name(&self, one: &[u8], other: &[u8]) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.inside.is_same_name(one, other))).unwrap_or(one == other)
    }

    fn range_at(&self, file: Node, offset: u64) -> Result<Option<Range>> {
        self.call(|inside| inside.range_at(file, offset))
    }

    fn read(&self, file: Node, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.call(|inside| inside.read(file, offset, buf))
    }

    fn link_target(&self, link: Node) -> Result<Vec<u8>> {
        self.call(|inside| inside.link_target(link))
    }
}
