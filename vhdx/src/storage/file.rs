//! Files of the host: positioned reads and writes, regular files only.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::path::Path;

use super::early_sync::EarlySync;
#[cfg(target_os = "linux")]
pub(super) use super::linux as host;
#[cfg(not(any(target_os = "linux", windows)))]
pub(super) use super::other as host;
use super::shared_lock::SharedLock;
#[cfg(windows)]
pub(super) use super::windows as host;
use super::{FileIdentity, ReadAt, Storage, advance, copy, write_zeros};
use crate::error::{Error, InvalidArgument, Result};
use crate::units::FileOffset;

/// An open regular file.
#[derive(Debug)]
pub struct FileStorage {
    file: File,
    is_locked: bool,
    /// Held beside `is_locked` only if that is not set.
    shared: SharedLock,
    early_sync: EarlySync,
}

/// Closing is not enough: a program that another thread starts has the file open too, for as long as it has not yet
/// become that program, and the locks with it.
impl Drop for FileStorage {
    fn drop(&mut self) {
        let _ = self.early_sync.end(); // who needs it to be durable has synced
        if self.is_locked || self.shared.is_held() {
            host::unlock(&self.file);
        }
    }
}

impl FileStorage {
    /// Opens a regular file for reading. Where the system allows it, not even the time of the last access changes.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be opened, on Windows also because another program (or
    /// [`open_exclusive`](Self::open_exclusive)) wants it for itself; [`InvalidArgument::NotARegularFile`] for folders,
    /// pipes and devices, which are refused without waiting for them.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_regular(path, || {
            open_readable(path).map_err(|e| Error::io("open", None, plain_if_busy(e)))
        })
    }

    /// Opens a regular file for reading and writing, for this storage alone, for as long as it lives. Links are
    /// followed.
    ///
    /// On Windows nobody else can open the file meanwhile, not even this process for reading. On Unix only programs
    /// that lock the files they use are kept out, and can be detected: on Linux QEMU and all that use `flock` or
    /// `fcntl`, elsewhere all that use `flock`. Where the file system has no locks, the file is opened without one.
    ///
    /// # Errors
    /// [`Error::Io`] with the operation `lock` and [`io::ErrorKind::ResourceBusy`] when another program has the file
    /// open, with another operation when it cannot be opened; [`InvalidArgument::NotARegularFile`] as for
    /// [`open`](Self::open).
    pub fn open_exclusive(path: &Path) -> Result<Self> {
        let open = || match open_writable(path) {
            Ok(file) => Ok(file),
            Err(error) if is_busy(&error) => Err(Error::io("lock", None, busy())),
            Err(error) => Err(Error::io("open for writing", None, error)),
        };
        Self::open_regular(path, open)?.locked(path)
    }

    /// What was opened, with a lock that keeps others out until it is closed.
    pub(super) fn locked(mut self, path: &Path) -> Result<Self> {
        self.is_locked = true;
        match host::lock(&self.file) {
            Ok(()) => Ok(self),
            Err(error) => Err(Error::io("lock", None, plain_if_busy(error)).in_file(path)),
        }
    }

    /// Opens a regular file for reading while nobody writes to it, for as long as this storage lives, and makes durable
    /// what was written before: a program that was killed may have left what can be read, but not survive a power
    /// failure. Any number of storages may share a file so. Links are followed.
    ///
    /// Who is kept out, and can be detected, is as for [`open_exclusive`](Self::open_exclusive); QEMU only if it writes.
    /// A file system that cannot write is durable as it is. Where only who may write to a file can make it durable, it
    /// is taken as it is: on Windows a file that this user may not write to, on Linux a file on a share of Windows.
    ///
    /// # Errors
    /// [`Error::Io`] with the operation `lock` and [`io::ErrorKind::ResourceBusy`] when another program may write to the
    /// file, with another operation when it cannot be opened or made durable; [`InvalidArgument::NotARegularFile`] as for
    /// [`open`](Self::open).
    pub fn open_shared(path: &Path) -> Result<Self> {
        let open = || match open_unchanging(path) {
            Ok(file) => Ok(file),
            Err(error) if is_busy(&error) => Err(Error::io("lock", None, busy())),
            Err(error) => Err(Error::io("open", None, error)),
        };
        let mut storage = Self::open_regular(path, open)?;
        storage.is_locked = true;
        let lock = || {
            host::lock_shared(&storage.file).map_err(|e| Error::io("lock", None, plain_if_busy(e)))?;
            settle(&storage.file).map_err(|e| Error::io("sync", None, e))
        };
        match lock() {
            Ok(()) => Ok(storage),
            Err(error) => Err(error.in_file(path)),
        }
    }

    /// Judged by name first, because opening some devices has consequences, and again once the name cannot change.
    fn open_regular(path: &Path, open: impl Fn() -> Result<File>) -> Result<Self> {
        let attempt = || {
            if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
                return Err(InvalidArgument::NotARegularFile.into());
            }
            let file = open()?;
            if !is_regular(&file).map_err(|e| Error::io("measure", None, e))? {
                return Err(InvalidArgument::NotARegularFile.into());
            }
            Ok(Self::new(file))
        };
        attempt().map_err(|error: Error| error.in_file(path))
    }

    /// Wraps an open file.
    pub fn new(file: File) -> Self {
        Self { file, is_locked: false, shared: SharedLock::default(), early_sync: EarlySync::default() }
    }

    /// The file below.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The first byte at or past `offset` that is not in a hole; `None` when there is none. Where the host cannot tell,
    /// everything is data.
    pub(crate) fn next_data(&self, offset: FileOffset) -> io::Result<Option<FileOffset>> {
        #[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
        {
            match rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Data(offset.get())) {
                Ok(data) => return Ok(Some(FileOffset::new(data))),
                Err(rustix::io::Errno::NXIO) => return Ok(None),
                Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok((offset.get() < self.len()?).then_some(offset))
    }

    /// The first byte at or past `offset` that is in a hole, or the end of the file.
    pub(crate) fn next_hole(&self, offset: FileOffset) -> io::Result<FileOffset> {
        #[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
        {
            match rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Hole(offset.get())) {
                Ok(hole) => return Ok(FileOffset::new(hole)),
                Err(rustix::io::Errno::NXIO | rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(FileOffset::new(self.len()?.max(offset.get())))
    }

    /// Which file this is, whatever it was opened as.
    ///
    /// # Errors
    /// [`Error::Io`] when the operating system does not say.
    pub fn identity(&self) -> Result<FileIdentity> {
        FileIdentity::of(&self.file).map_err(|e| Error::io("identify", None, e))
    }
}

/// What to tell the user, whatever the system calls it.
fn busy() -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, "another program has the file open")
}

fn plain_if_busy(error: io::Error) -> io::Error {
    if is_busy(&error) { busy() } else { error }
}

/// A lock that is held, a lease that is not given up (Samba's clients), a sharing violation.
fn is_busy(error: &io::Error) -> bool {
    #[cfg(windows)]
    if host::is_sharing_violation(error) {
        return true;
    }
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ResourceBusy)
}

#[cfg(unix)]
fn is_regular(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.is_file())
}

#[cfg(windows)]
fn is_regular(file: &File) -> io::Result<bool> {
    Ok(winapi_util::file::typ(file)?.is_disk() && file.metadata()?.is_file())
}

/// A pipe must not hang the open, so it does not wait; on a regular file the flag has no effect.
#[cfg(unix)]
pub(super) fn open_waiting_for_nothing(
    options: &mut OpenOptions,
    path: &Path,
    flags: rustix::fs::OFlags,
) -> io::Result<File> {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
    options.custom_flags(flags.bits().cast_signed()).open(path)
}

#[cfg(unix)]
fn open_readable(path: &Path) -> io::Result<File> {
    use rustix::fs::OFlags;
    let open = |flags| open_waiting_for_nothing(OpenOptions::new().read(true), path, flags);
    // Only the owner of a file may leave its access time alone.
    #[cfg(target_os = "linux")]
    match open(OFlags::NOATIME) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        result => return result,
    }
    open(OFlags::empty())
}

#[cfg(unix)]
fn open_writable(path: &Path) -> io::Result<File> {
    open_waiting_for_nothing(OpenOptions::new().read(true).write(true), path, rustix::fs::OFlags::empty())
}

/// Others may do with the file what they like.
#[cfg(windows)]
fn open_readable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

/// Others may do nothing with the file: Hyper-V, and all that follow the rules of the system, are refused.
#[cfg(windows)]
fn open_writable(path: &Path) -> io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt;
    const SHARE_NOTHING: u32 = 0;
    OpenOptions::new().read(true).write(true).share_mode(SHARE_NOTHING).open(path)
}

#[cfg(unix)]
fn open_unchanging(path: &Path) -> io::Result<File> {
    open_readable(path)
}

/// Others may only read the file. It is flushed before, because only what may write can, and nobody else could then.
#[cfg(windows)]
fn open_unchanging(path: &Path) -> io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt;
    const SHARE_READ: u32 = 1;
    if let Ok(file) = OpenOptions::new().write(true).share_mode(SHARE_READ).open(path) {
        file.sync_all()?;
    }
    OpenOptions::new().read(true).share_mode(SHARE_READ).open(path)
}

/// Makes durable what anybody has written to the file.
#[cfg(unix)]
fn settle(file: &File) -> io::Result<()> {
    settled(file.sync_all())
}

/// Where that is no call, nothing can have been written; where it takes a writer (a share of Windows on Linux before
/// 5.15), a reader can do no more.
#[cfg(unix)]
pub(super) fn settled(synced: io::Result<()>) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    let excused = [InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported];
    match synced {
        Err(error) if excused.contains(&error.kind()) => Ok(()),
        result => result,
    }
}

/// It was flushed when it was opened.
#[cfg(windows)]
fn settle(_: &File) -> io::Result<()> {
    Ok(())
}

impl ReadAt for FileStorage {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn as_file(&self) -> Option<&File> {
        Some(&self.file)
    }

    fn hole_after(&self, offset: FileOffset) -> io::Result<Option<Range<FileOffset>>> {
        let hole = host::hole_after(&self.file, offset.get())?;
        Ok(hole.map(|hole| FileOffset::new(hole.start)..FileOffset::new(hole.end)))
    }

    fn lock_shared(&self) -> io::Result<()> {
        // The lock that is held already is as strong, and must not become weaker.
        if self.is_locked { Ok(()) } else { self.shared.take(&self.file).map_err(plain_if_busy) }
    }

    #[cfg(unix)]
    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buf, offset.get())
    }

    #[cfg(windows)]
    fn read_exact_at(&self, mut buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        use std::os::windows::fs::FileExt;
        let mut at = offset.get();
        while !buf.is_empty() {
            match self.file.seek_read(buf, at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    buf = &mut buf[n..];
                    at += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

impl Storage for FileStorage {
    #[cfg(unix)]
    fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.file, buf, offset.get())
    }

    #[cfg(windows)]
    fn write_all_at(&self, mut buf: &[u8], offset: FileOffset) -> io::Result<()> {
        use std::os::windows::fs::FileExt;
        let mut at = offset.get();
        while !buf.is_empty() {
            match self.file.seek_write(buf, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    buf = &buf[n..];
                    at += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if host::set_len_makes_sparse(&self.file, len)? {
            return self.write_all_at(&[0], FileOffset::new(len - 1));
        }
        self.file.set_len(len)
    }

    /// Everything but times: what it takes to read the bytes again, the length included, is durable with them.
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
