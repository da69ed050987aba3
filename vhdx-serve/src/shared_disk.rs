//! Defines [`SharedDisk`]: the disk of an export, which all connections use at the same time.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use vhdx::{ChainMut, Disk, DiskMut, DiskOffset, Error, Result};

/// A disk that all connections use at the same time.
///
/// Reads run in parallel. A change runs alone. A flush makes the changes of all connections durable that were finished
/// before it. After the file that takes the changes has failed, every later change and flush fails: nobody knows then
/// which changes the medium has lost. A change that fails for another reason, such as a parent that cannot be read, does
/// not affect the others.
pub struct SharedDisk {
    content: Content,
    size: u64,
    layers: u32,
}

enum Content {
    ReadOnly(Arc<dyn Disk>),
    /// `None` after [`SharedDisk::close`].
    Writable {
        disk: RwLock<Option<Box<ChainMut>>>,
        /// Held around a change. So at most one change waits for `disk`, and reads get their turn between two changes: a
        /// lock prefers writers that wait.
        turn: Mutex<()>,
    },
}

/// The reason why a disk did not do what a client asked.
#[derive(Debug)]
pub(crate) enum DiskError {
    /// The disk is read-only.
    ReadOnly,
    /// The disk was closed.
    Closed,
    /// An earlier change or flush failed.
    FailedBefore,
    /// The disk failed now.
    Failed(Error),
}

impl From<Error> for DiskError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl SharedDisk {
    /// Returns a disk that cannot be changed. `layers` is the number of its files: that of
    /// [`Chain::layers`](vhdx::Chain::layers), and 1 for a raw image. It serves the context `vhdx:layer`.
    ///
    /// The caller locks the files, for example with [`Chain::lock_shared`](vhdx::Chain::lock_shared): clients keep what
    /// they have read, so nobody may change the files.
    pub fn read_only(disk: Arc<dyn Disk>, layers: usize) -> Self {
        let (size, layers) = (disk.virtual_size(), layers_of(layers));
        Self { content: Content::ReadOnly(disk), size, layers }
    }

    /// Returns a disk that clients can change.
    pub fn writable(disk: ChainMut) -> Self {
        let (size, layers) = (disk.virtual_size(), layers_of(disk.parents().len() + 1));
        let content = Content::Writable { disk: RwLock::new(Some(Box::new(disk))), turn: Mutex::new(()) };
        Self { content, size, layers }
    }

    /// Returns the size in bytes.
    pub fn virtual_size(&self) -> u64 {
        self.size
    }

    /// Returns whether clients cannot change the disk.
    pub fn is_read_only(&self) -> bool {
        matches!(self.content, Content::ReadOnly(_))
    }

    /// Waits until the disk is free for a change, at most for `time`.
    ///
    /// # Errors
    /// [`Error::Io`] if a request still runs then, for example because it waits for a device that does not answer.
    pub(crate) fn wait_until_free(&self, time: Duration) -> Result<()> {
        let Content::Writable { disk, .. } = &self.content else { return Ok(()) };
        let until = Instant::now() + time;
        while let Err(TryLockError::WouldBlock) = disk.try_write() {
            if Instant::now() > until {
                let text = "a request still waits for a file of the disk; what was written after the last flush \
                            may be lost";
                return Err(Error::io(
                    "flush",
                    None,
                    std::io::Error::new(std::io::ErrorKind::TimedOut, text),
                ));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Makes all earlier changes durable. Does nothing for a read-only disk and for one that is closed.
    ///
    /// # Errors
    /// Those of [`DiskMut::flush`]; [`Error::Io`] if the file that takes the changes has failed before.
    pub fn flush(&self) -> Result<()> {
        match self.change(DiskMut::flush) {
            Ok(()) | Err(DiskError::ReadOnly | DiskError::Closed) => Ok(()),
            Err(DiskError::FailedBefore) => Err(failed_before()),
            Err(DiskError::Failed(error)) => Err(error),
        }
    }

    /// Makes all changes durable, leaves a clean log and closes the files. Later requests fail.
    ///
    /// Does nothing for a read-only disk and for one that is closed. Waits for requests that still run.
    ///
    /// # Errors
    /// Those of [`ChainMut::close`]; [`Error::Io`] if the file that takes the changes has failed before.
    pub fn close(&self) -> Result<()> {
        let Content::Writable { disk, .. } = &self.content else { return Ok(()) };
        // A thread that panicked while it had the lock may have left half a change.
        let Ok(mut disk) = disk.write() else { return Err(failed_before()) };
        let Some(disk) = disk.take() else { return Ok(()) };
        match disk.leaf().has_failed() {
            true => Err(failed_before()),
            false => disk.close(),
        }
    }

    /// The number of files.
    pub(crate) fn layers(&self) -> u32 {
        self.layers
    }

    /// The number of reads that the files answer best at the same time.
    pub(crate) fn parallelism(&self) -> usize {
        // A disk that is closed answers nothing.
        self.read(|disk| Ok(disk.hint().parallelism)).unwrap_or(1)
    }

    /// Calls `read` with the disk. Other reads run at the same time, changes do not.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&dyn Disk) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        match &self.content {
            Content::ReadOnly(disk) => read(&**disk),
            Content::Writable { disk, .. } => {
                let disk = disk.read().map_err(|_| DiskError::FailedBefore)?;
                read(disk.as_deref().ok_or(DiskError::Closed)?)
            }
        }
    }

    /// Writes `buf` from `offset` on. If `is_durable`, the write is durable when this returns.
    pub(crate) fn write(&self, buf: &[u8], offset: DiskOffset, is_durable: bool) -> Result<(), DiskError> {
        self.change(|disk| {
            disk.write_all_at(buf, offset)?;
            flush_if(disk, is_durable)
        })
    }

    /// Makes a range read as zeros.
    pub(crate) fn write_zeros(&self, range: Range<DiskOffset>, is_durable: bool) -> Result<(), DiskError> {
        self.change(|disk| {
            disk.write_zeros(range)?;
            flush_if(disk, is_durable)
        })
    }

    /// Frees the space of a range.
    pub(crate) fn unmap(&self, range: Range<DiskOffset>, is_durable: bool) -> Result<(), DiskError> {
        self.change(|disk| {
            disk.unmap(range)?;
            flush_if(disk, is_durable)
        })
    }

    /// Calls `change` while nobody else uses the disk.
    pub(crate) fn change(&self, change: impl FnOnce(&mut ChainMut) -> Result<()>) -> Result<(), DiskError> {
        let Content::Writable { disk, turn } = &self.content else { return Err(DiskError::ReadOnly) };
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        // A thread that panicked while it had the lock may have left half a change.
        let mut disk = disk.write().map_err(|_| DiskError::FailedBefore)?;
        let disk = disk.as_mut().ok_or(DiskError::Closed)?;
        if disk.leaf().has_failed() {
            return Err(DiskError::FailedBefore);
        }
        change(disk).map_err(DiskError::Failed)
    }
}

fn layers_of(layers: usize) -> u32 {
    // A chain has at most MAX_CHAIN_LENGTH files. A caller's number is only shown.
    u32::try_from(layers).unwrap_or(u32::MAX)
}

fn flush_if(disk: &mut ChainMut, is_durable: bool) -> Result<()> {
    if is_durable { disk.flush() } else { Ok(()) }
}

fn failed_before() -> Error {
    let text =
        "an earlier write or flush of this disk failed; what was written after the last flush may be lost";
    Error::io("flush", None, std::io::Error::other(text))
}

impl fmt::Debug for SharedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedDisk")
            .field("size", &self.size)
            .field("is_read_only", &self.is_read_only())
            .finish_non_exhaustive()
    }
}
