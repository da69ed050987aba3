//! A raw disk that is overwritten in place: an existing file, or on Linux a block device.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(target_os = "linux")]
use super::block_device;
use super::{FileIdentity, FileStorage, ReadAt, Storage};
use crate::error::{Bounded, Error, InvalidArgument, Result};
use crate::units::FileOffset;

/// On a device, a call zeroes only whole pages of this many bytes.
///
/// So no page in memory belongs to both a call and a write of another thread. Some kernels have pages of 64 KiB. No
/// sector is larger.
const PAGE: u64 = 64 << 10;

/// An existing regular file, or on Linux a block device, open exclusively for writing.
///
/// Its length never changes.
#[derive(Debug)]
pub struct RawTarget {
    storage: FileStorage,
    len: u64,
    is_device: bool,
    identities: Vec<FileIdentity>,
    is_touched: AtomicBool,
}

impl RawTarget {
    /// Opens a file or device that is not in use. Follows links.
    ///
    /// Detects and keeps out the same programs as [`FileStorage::open_exclusive`]. On Linux, a device is also in
    /// use if it or a partition of it is mounted, swap space, or part of a volume. A file is also in use if a loop
    /// device uses it; this is checked once, here.
    ///
    /// # Errors
    /// - [`Error::Io`] with the operation `lock` and [`io::ErrorKind::ResourceBusy`] if the target is in use; with
    ///   another operation if it cannot be opened
    /// - [`InvalidArgument::NotARawTarget`] for folders, pipes and character devices, and on other systems for all
    ///   devices
    pub fn open(path: &Path) -> Result<Self> {
        #[cfg(target_os = "linux")]
        if block_device::is_at(path) {
            return Self::open_device(path).map_err(|error| error.in_file(path));
        }
        let storage = FileStorage::open_exclusive(path).map_err(|error| match error {
            Error::InFile { error, .. } if is_no_file(&error) => InvalidArgument::NotARawTarget.into(),
            error => error,
        });
        let open = || {
            let storage = storage?;
            let len = storage.size().map_err(|error| Error::io("get its size", None, error))?;
            let identity = storage.identity()?;
            #[cfg(target_os = "linux")]
            if let Some(device) = block_device::loop_device_of(identity) {
                let reason = format!("the loop device {device} uses this file; detach it first");
                return Err(Error::io("lock", None, io::Error::new(io::ErrorKind::ResourceBusy, reason)));
            }
            Ok(Self {
                storage,
                len,
                is_device: false,
                identities: vec![identity],
                is_touched: AtomicBool::new(false),
            })
        };
        open().map_err(|error: Error| error.in_file(path))
    }

    #[cfg(target_os = "linux")]
    fn open_device(path: &Path) -> Result<Self> {
        let operation = |error: &io::Error| match error.kind() {
            io::ErrorKind::ResourceBusy => "lock",
            _ => "open for writing",
        };
        let file = block_device::open(path).map_err(|error| Error::io(operation(&error), None, error))?;
        let storage = FileStorage::new(file.ok_or(InvalidArgument::NotARawTarget)?).locked(path)?;
        if block_device::is_read_only(storage.file())
            .map_err(|error| Error::io("find out whether it is read-only", None, error))?
        {
            let reason = io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the device is read-only");
            return Err(Error::io("open for writing", None, reason));
        }
        let len =
            block_device::len(storage.file()).map_err(|error| Error::io("get its size", None, error))?;
        let identities = block_device::backing_files(storage.file());
        let identities = identities.map_err(|error| Error::io("get its file id", None, error))?;
        Ok(Self { storage, len, is_device: true, identities, is_touched: AtomicBool::new(false) })
    }

    /// Returns whether this is a device and not a file.
    pub fn is_device(&self) -> bool {
        self.is_device
    }

    /// Returns the files that change when this target is written to.
    ///
    /// These are the file itself, or the files in which a device is stored, as far as the system reports them.
    pub fn identities(&self) -> &[FileIdentity] {
        &self.identities
    }

    /// Returns whether a write was started, so that the content may have changed.
    pub fn is_touched(&self) -> bool {
        self.is_touched.load(Ordering::Relaxed)
    }

    /// Ensures that a write does not end past the target's end, and records the write.
    fn touch(&self, offset: FileOffset, len: u64) -> io::Result<()> {
        if offset.checked_add(len).is_none_or(|end| end.get() > self.len) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the range ends past the end of the file or device",
            ));
        }
        self.is_touched.store(true, Ordering::Relaxed);
        Ok(())
    }
}

fn is_no_file(error: &Error) -> bool {
    matches!(error, Error::InvalidArgument(InvalidArgument::NotARegularFile))
}

impl ReadAt for RawTarget {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.storage.read_exact_at(buf, offset)
    }
}

impl Storage for RawTarget {
    fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
        self.touch(offset, buf.len() as u64)?;
        self.storage.write_all_at(buf, offset)
    }

    /// Accepts only the current length.
    fn set_len(&self, len: u64) -> io::Result<()> {
        match len == self.len {
            true => Ok(()),
            false => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.storage.sync()
    }

    fn begin_sync(&self) -> io::Result<()> {
        self.storage.begin_sync()
    }

    fn zero_range(&self, offset: FileOffset, len: u64) -> io::Result<()> {
        self.touch(offset, len)?;
        if !self.is_device {
            return self.storage.zero_range(offset, len);
        }
        let (start, end) = (offset.get(), offset.plus(len)?.get());
        let (first, last) = (start.next_multiple_of(PAGE).min(end), end / PAGE * PAGE);
        let last = last.max(first);
        for (start, end) in [(start, first), (last, end)] {
            super::write_zeros(&self.storage, FileOffset::new(start), end - start)?;
        }
        self.storage.zero_range(FileOffset::new(first), last - first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_file_keeps_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        std::fs::write(&path, [9; 100]).unwrap();
        let target = RawTarget::open(&path).unwrap();
        assert!(!target.is_device());
        assert_eq!(target.identities(), [target.storage.identity().unwrap()]);
        target.set_len(100).unwrap();
        target.set_len(99).unwrap_err();
        for offset in [91, 101, u64::MAX] {
            target.write_all_at(&[1; 10], FileOffset::new(offset)).unwrap_err();
            target.zero_range(FileOffset::new(offset), 10).unwrap_err();
        }
        assert!(!target.is_touched());
        target.write_all_at(&[1; 10], FileOffset::new(90)).unwrap();
        assert!(target.is_touched());
        target.zero_range(FileOffset::new(80), 15).unwrap();
        assert_eq!(target.size().unwrap(), 100);
        drop(target);
        let expected: Vec<u8> = [[9; 80].as_slice(), &[0; 15], &[1; 5]].concat();
        assert_eq!(std::fs::read(&path).unwrap(), expected);
    }

    #[test]
    fn a_target_is_exclusive_and_a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        assert_eq!(RawTarget::open(&path).unwrap_err().kind(), ErrorKind::Io);
        std::fs::write(&path, [0; 100]).unwrap();
        let _target = RawTarget::open(&path).unwrap();
        let error = RawTarget::open(&path).unwrap_err();
        assert_eq!((error.kind(), error.path()), (ErrorKind::Conflict, Some(path.as_path())));
        let error = RawTarget::open(folder.path()).unwrap_err();
        assert_eq!((error.kind(), error.path()), (ErrorKind::InvalidArgument, Some(folder.path())));
    }
}
