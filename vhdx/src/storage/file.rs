//! Opens, locks, reads and writes regular files of the host.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use super::early_sync::EarlySync;
use super::shared_lock::SharedLock;
use super::{FileIdentity, ReadAt, ReadRange, Storage, advance, copy, host, write_zeros};
use crate::error::{Error, InvalidArgument, Result};
use crate::units::FileOffset;

/// An open regular file.
#[derive(Debug)]
pub struct FileStorage {
    file: File,
    is_locked: bool,
    /// The lock that [`ReadAt::lock_shared`] takes. Not used if `is_locked` is set.
    shared: SharedLock,
    early_sync: EarlySync,
    cache_use: host::CacheUse,
    /// Asked for once: an open file keeps its identity.
    identity: OnceLock<FileIdentity>,
}

/// Unlocks the file. Closing is not enough: if another thread is starting a program, the new process has the file open
/// too, and keeps the locks until it executes the program.
impl Drop for FileStorage {
    fn drop(&mut self) {
        let _ = self.early_sync.end(); // callers that need durability have called `sync`
        if self.is_locked || self.shared.is_held() {
            host::unlock(&self.file);
        }
    }
}

impl FileStorage {
    /// Opens a regular file for reading, without changing its access time if possible.
    ///
    /// # Errors
    /// - [`Error::Io`] if it cannot be opened; on Windows also if anybody, even this process, has it open exclusively
    /// - [`InvalidArgument::NotARegularFile`] for folders, pipes and devices; the call does not wait for a pipe
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_regular(path, || {
            host::open_readable(path).map_err(|e| Error::io("open", None, plain_if_busy(e)))
        })
    }

    /// Opens a regular file for reading and writing, exclusively until this storage is dropped.
    ///
    /// Follows links. On Windows nobody else can open the file meanwhile, not even this process for reading. On Unix
    /// the lock detects and keeps out only programs that lock files: on Linux QEMU and users of `flock` or `fcntl`,
    /// elsewhere users of `flock`. If the file system has no locks, the file is opened without one.
    ///
    /// # Errors
    /// - [`Error::Io`] with the operation `lock` and [`io::ErrorKind::ResourceBusy`] if another program has the file
    ///   open; with another operation if it cannot be opened
    /// - [`InvalidArgument::NotARegularFile`] as for [`open`](Self::open)
    pub fn open_exclusive(path: &Path) -> Result<Self> {
        let open = || match host::open_writable(path) {
            Ok(file) => Ok(file),
            Err(error) if is_busy(&error) => Err(Error::io("lock", None, busy())),
            Err(error) => Err(Error::io("open for writing", None, error)),
        };
        Self::open_regular(path, open)?.locked(path)
    }

    /// Locks the open file exclusively until this storage is dropped.
    pub(super) fn locked(mut self, path: &Path) -> Result<Self> {
        self.is_locked = true;
        match host::lock(&self.file) {
            Ok(()) => Ok(self),
            Err(error) => Err(Error::io("lock", None, plain_if_busy(error)).in_file(path)),
        }
    }

    /// Opens a regular file for reading, syncs it, and keeps writers out.
    ///
    /// Writers are kept out until this storage is dropped. Any number of storages may share a file in this way. Links
    /// are followed. The lock detects and keeps out the same programs as [`open_exclusive`](Self::open_exclusive), but
    /// QEMU only if it writes.
    ///
    /// The sync is needed because a killed program may have left data that can be read, but would not survive a power
    /// failure. Its failure is ignored if the file system cannot write, because then everything is durable. It is also
    /// ignored if only a writer can sync: on Windows a file that this user may not write to, or that another program
    /// shares for reading only; on Linux a file on a Windows share.
    ///
    /// # Errors
    /// - [`Error::Io`] with the operation `lock` and [`io::ErrorKind::ResourceBusy`] if another program may write to
    ///   the file; with another operation if it cannot be opened or synced
    /// - [`InvalidArgument::NotARegularFile`] as for [`open`](Self::open)
    pub fn open_shared(path: &Path) -> Result<Self> {
        let open = || match host::open_unchanging(path) {
            Ok(file) => Ok(file),
            Err(error) if is_busy(&error) => Err(Error::io("lock", None, busy())),
            Err(error) => Err(Error::io("open", None, error)),
        };
        let mut storage = Self::open_regular(path, open)?;
        storage.is_locked = true;
        let lock = || {
            host::lock_shared(&storage.file).map_err(|e| Error::io("lock", None, plain_if_busy(e)))?;
            host::sync_written(&storage.file).map_err(|e| Error::io("sync", None, e))
        };
        match lock() {
            Ok(()) => Ok(storage),
            Err(error) => Err(error.in_file(path)),
        }
    }

    /// Opens a regular file. Its type is checked before, because opening some devices has side effects. The open file
    /// is checked again, because the path may lead elsewhere by then.
    fn open_regular(path: &Path, open: impl Fn() -> Result<File>) -> Result<Self> {
        let attempt = || {
            if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
                return Err(InvalidArgument::NotARegularFile.into());
            }
            let file = open()?;
            if !host::is_regular(&file).map_err(|e| Error::io("get its size", None, e))? {
                return Err(InvalidArgument::NotARegularFile.into());
            }
            Ok(Self::new(file))
        };
        attempt().map_err(|error: Error| error.in_file(path))
    }

    /// Wraps an open file, without a lock.
    pub fn new(file: File) -> Self {
        Self {
            file,
            is_locked: false,
            shared: SharedLock::default(),
            early_sync: EarlySync::default(),
            cache_use: host::CacheUse::default(),
            identity: OnceLock::new(),
        }
    }

    /// Returns the file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Returns the start of the first data at or past `offset`. All is data if the host does not report holes.
    pub(crate) fn next_data(&self, offset: FileOffset) -> io::Result<Option<FileOffset>> {
        Ok(host::next_data(&self.file, offset.get())?.map(FileOffset::new))
    }

    /// Returns the first offset at or past `offset` that is in a hole, or the end of the file.
    pub(crate) fn next_hole(&self, offset: FileOffset) -> io::Result<FileOffset> {
        host::next_hole(&self.file, offset.get()).map(FileOffset::new)
    }

    /// Returns the identity of this file, which is the same for all its names.
    ///
    /// # Errors
    /// [`Error::Io`] if the operating system does not report it.
    pub fn identity(&self) -> Result<FileIdentity> {
        if let Some(&identity) = self.identity.get() {
            return Ok(identity);
        }
        let identity = FileIdentity::of(&self.file).map_err(|e| Error::io("get its file id", None, e))?;
        Ok(*self.identity.get_or_init(|| identity))
    }
}

/// Returns one error for all the ways in which systems report a file in use.
fn busy() -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, "another program has the file open")
}

fn plain_if_busy(error: io::Error) -> io::Error {
    if is_busy(&error) { busy() } else { error }
}

/// Returns whether the file is in use: a lock, a lease of a Samba client, or a sharing violation.
fn is_busy(error: &io::Error) -> bool {
    host::is_sharing_violation(error)
        || matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ResourceBusy)
}

impl ReadAt for FileStorage {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_many(&self, ranges: &mut [ReadRange<'_>]) -> io::Result<()> {
        host::read_many(&self.file, &self.cache_use, ranges)
    }

    fn announce(&self, ranges: &mut [Range<FileOffset>]) {
        host::announce(&self.file, &self.cache_use, ranges);
    }

    fn as_file(&self) -> Option<&File> {
        Some(&self.file)
    }

    fn hole_after(&self, offset: FileOffset) -> io::Result<Option<Range<FileOffset>>> {
        let hole = host::hole_after(&self.file, offset.get())?;
        Ok(hole.map(|hole| FileOffset::new(hole.start)..FileOffset::new(hole.end)))
    }

    fn lock_shared(&self) -> io::Result<()> {
        // The lock from opening the file is at least as strong, and taking another one could weaken it.
        if self.is_locked { Ok(()) } else { self.shared.take(&self.file).map_err(plain_if_busy) }
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        host::read_exact_at(&self.file, buf, offset.get())
    }
}

impl Storage for FileStorage {
    fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
        host::write_all_at(&self.file, buf, offset.get())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if host::set_len_makes_sparse(&self.file, len)? {
            return self.write_all_at(&[0], FileOffset::new(len - 1));
        }
        self.file.set_len(len)
    }

    /// Syncs the bytes and what is needed to read them again, such as the length; not the times.
    fn sync(&self) -> io::Result<()> {
        self.early_sync.end()?;
        self.file.sync_data()
    }

    fn begin_sync(&self) -> io::Result<()> {
        self.early_sync.begin(&self.file)
    }

    fn zero_range(&self, offset: FileOffset, len: u64) -> io::Result<()> {
        advance(offset, len)?;
        if len == 0 || host::zero_range(&self.file, offset.get(), len)? {
            return Ok(());
        }
        write_zeros(self, offset, len)
    }

    fn punch_hole(&self, offset: FileOffset, len: u64) -> io::Result<()> {
        advance(offset, len)?;
        if len == 0 || host::punch_hole(&self.file, offset.get(), len)? {
            return Ok(());
        }
        self.zero_range(offset, len)
    }

    fn copy_from(&self, source: &dyn ReadAt, from: FileOffset, to: FileOffset, len: u64) -> io::Result<()> {
        let Some(file) = source.as_file() else { return copy(source, from, self, to, len) };
        let before = (host::SHARED_UNIT - from.get() % host::SHARED_UNIT) % host::SHARED_UNIT;
        let before = before.min(len);
        copy(source, from, self, to, before)?;
        let (from, to, len) = (advance(from, before)?, advance(to, before)?, len - before);
        let shared = host::share(file, from.get(), &self.file, to.get(), len)?;
        copy(source, advance(from, shared)?, self, advance(to, shared)?, len - shared)
    }
}
