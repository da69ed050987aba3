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
    /// Opens a regular file for reading; nothing in it, its times included, is changed by reading.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be opened, [`InvalidArgument::NotARegularFile`] for folders, pipes and devices,
    /// which are refused without waiting for them.
    pub fn open(path: &Path) -> Result<Self> {
        let attempt = || {
            let file = options().open(path).map_err(|e| Error::io("open", FileOffset::new(0), e))?;
            let metadata = file.metadata().map_err(|e| Error::io("measure", FileOffset::new(0), e))?;
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
        FileIdentity::of(&self.0).map_err(|e| Error::io("identify", FileOffset::new(0), e))
    }
}

/// A pipe must not hang the open, so it does not wait; on a regular file the flag has no effect.
#[cfg(unix)]
fn options() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags.bits().cast_signed());
    options
}

#[cfg(not(unix))]
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    options
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
