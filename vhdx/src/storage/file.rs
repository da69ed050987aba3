//! Files of the host: positioned reads and writes, regular files only.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use super::{FileIdentity, ReadAt, Storage};
use crate::error::{Error, InvalidArgument, Result};
use crate::units::FileOffset;

/// An open regular file.
#[derive(Debug)]
pub struct FileStorage(File);

impl FileStorage {
    /// Opens a regular file for reading. Where the system allows it, not even the time of the last access changes.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be opened, [`InvalidArgument::NotARegularFile`] for folders, pipes and devices,
    /// which are refused without waiting for them.
    pub fn open(path: &Path) -> Result<Self> {
        let attempt = || {
            let file = open_readable(path).map_err(|e| Error::io("open", None, e))?;
            let metadata = file.metadata().map_err(|e| Error::io("measure", None, e))?;
            if !metadata.is_file() {
                return Err(InvalidArgument::NotARegularFile.into());
            }
            Ok(Self(file))
        };
        attempt().map_err(|error: Error| error.in_file(path))
    }

    /// Wraps an open file.
    pub fn new(file: File) -> Self {
        Self(file)
    }

    /// The file below.
    pub fn file(&self) -> &File {
        &self.0
    }

    /// The first byte at or past `offset` that is not in a hole; `None` when there is none. Where the host cannot tell,
    /// everything is data.
    pub(crate) fn next_data(&self, offset: FileOffset) -> io::Result<Option<FileOffset>> {
        #[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
        {
            match rustix::fs::seek(&self.0, rustix::fs::SeekFrom::Data(offset.get())) {
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
            match rustix::fs::seek(&self.0, rustix::fs::SeekFrom::Hole(offset.get())) {
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
        FileIdentity::of(&self.0).map_err(|e| Error::io("identify", None, e))
    }
}

/// A pipe must not hang the open, so it does not wait; on a regular file the flag has no effect.
#[cfg(unix)]
fn open_readable(path: &Path) -> io::Result<File> {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    let open = |flags: OFlags| {
        let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
        OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
    };
    // Only the owner of a file may leave its access time alone.
    #[cfg(target_os = "linux")]
    match open(OFlags::NOATIME) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        result => return result,
    }
    open(OFlags::empty())
}

#[cfg(not(unix))]
fn open_readable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

/// How many bytes the host's file system really spends on a file.
///
/// # Errors
/// Whatever the operating system says.
#[cfg(unix)]
pub fn allocated_bytes(path: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    const BLOCK: u64 = 512; // the unit of st_blocks, whatever the file system's own block size is
    Ok(path.metadata()?.blocks().saturating_mul(BLOCK))
}

/// How many bytes the host's file system really spends on a file.
///
/// # Errors
/// Whatever the operating system says.
#[cfg(windows)]
pub fn allocated_bytes(path: &Path) -> io::Result<u64> {
    filesize::file_real_size(path)
}

/// How many bytes a file of this user may still take on the file system of a folder; `None` where the host does not say.
///
/// # Errors
/// Whatever the operating system says.
#[cfg(unix)]
pub fn free_space(folder: &Path) -> io::Result<Option<u64>> {
    let found = rustix::fs::statvfs(folder)?;
    let is_known = found.f_blocks > 0; // some file systems of the network say nothing
    Ok(is_known.then(|| found.f_bavail.saturating_mul(found.f_frsize)))
}

/// How many bytes a file of this user may still take on the file system of a folder; `None` where the host does not say.
///
/// # Errors
/// Whatever the operating system says.
#[cfg(not(unix))]
pub fn free_space(_: &Path) -> io::Result<Option<u64>> {
    Ok(None)
}

impl ReadAt for FileStorage {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, buf, offset.get())
    }

    #[cfg(windows)]
    fn read_exact_at(&self, mut buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        use std::os::windows::fs::FileExt;
        let mut at = offset.get();
        while !buf.is_empty() {
            match self.0.seek_read(buf, at) {
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
        std::os::unix::fs::FileExt::write_all_at(&self.0, buf, offset.get())
    }

    #[cfg(windows)]
    fn write_all_at(&self, mut buf: &[u8], offset: FileOffset) -> io::Result<()> {
        use std::os::windows::fs::FileExt;
        let mut at = offset.get();
        while !buf.is_empty() {
            match self.0.seek_write(buf, at) {
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
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}
