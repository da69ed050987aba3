//! Writes the content of a disk over an existing file or device.

use std::sync::atomic::{AtomicU64, Ordering};

use super::copy::{copy_nonzero, write};
use super::ranges::{data, total, whole};
use super::sync_pacer::SyncPacer;
use super::zeros::is_zero;
use crate::disk::Disk;
use crate::error::{Error, InvalidArgument, Result, in_memory};
use crate::file::Extent;
use crate::progress::Progress;
use crate::storage::Storage;
use crate::transfer::{Content, Jobs, Zeros, read_in_any_order};
use crate::units::{DiskOffset, FileOffset, MIB};

/// Fewer zeros than this, in bytes, are written like data, because a call to zero a range waits for a device.
const ZEROED_BY_CALL: u64 = MIB;

/// What a target contains before it is overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetContent {
    /// Any bytes: every byte of the disk is written.
    Unknown,
    /// Zeros, as the caller promises: only other bytes are written.
    Zeros,
}

/// The result of overwriting a file or device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct OverwriteReport {
    /// The bytes of the disk that were written as data.
    pub bytes_copied: u64,
    /// The bytes that were made zeros; 0 if the target was zero before.
    pub bytes_zeroed: u64,
    /// The length of the target in bytes. Its content past the end of the disk is unchanged.
    pub target_size: u64,
}

/// Writes the content of a disk over the beginning of an existing target, byte for byte.
///
/// With [`TargetContent::Zeros`], the caller promises that the target reads as zeros up to the disk's size, and only what is
/// not zero is written. Otherwise every byte is set: large ranges of zeros by [`Storage::zero_range`], everything else
/// by writing. The target keeps its length, and its content past the end of the disk.
///
/// The places of all blocks of all layers, and all sector bitmaps that are used, are validated before the first byte is
/// overwritten. When this returns, the content is durable. After an error or a cancellation, the target may be partly
/// overwritten and unusable; it must be written again. `progress` counts every byte of the disk, or with
/// [`TargetContent::Zeros`] its data.
///
/// # Errors
/// [`InvalidArgument::TargetTooSmall`] if the disk does not fit, as [`Disk::validate_placement`], those of reading the
/// disk, as [`Disk::ensure_unchanged`] after everything is written, [`Error::Io`] from the target,
/// [`Error::Cancelled`].
pub fn overwrite_raw(
    disk: &dyn Disk,
    target: &dyn Storage,
    content: TargetContent,
    jobs: Jobs,
    progress: &dyn Progress,
) -> Result<OverwriteReport> {
    let target_size = target.size().map_err(|error| Error::io("get its size", None, error))?;
    let virtual_size = disk.virtual_size();
    if target_size < virtual_size {
        return Err(InvalidArgument::TargetTooSmall { len: target_size, virtual_size }.into());
    }
    disk.validate_placement()?;
    // This also validates all sector bitmaps that are used, before anything is overwritten.
    let data_len = total(data(disk, whole(disk)), progress)?;
    let (bytes_copied, bytes_zeroed) = match content {
        TargetContent::Zeros => {
            progress.start(data_len);
            (copy_nonzero(disk, target, jobs, progress)?, 0)
        }
        TargetContent::Unknown => {
            progress.start(virtual_size);
            write_extents(disk, disk.extents(whole(disk)), target, jobs, progress)?
        }
    };
    disk.ensure_unchanged()?;
    target.sync().map_err(|error| Error::io("sync", None, error))?;
    Ok(OverwriteReport { bytes_copied, bytes_zeroed, target_size })
}

/// Sets every byte of these extents of the disk at the same offsets of `target`.
///
/// Returns how many were written as data, and how many were made zeros. `progress` counts both.
pub(super) fn write_extents(
    disk: &dyn Disk,
    extents: impl Iterator<Item = Result<Extent>> + Send,
    target: &dyn Storage,
    jobs: Jobs,
    progress: &dyn Progress,
) -> Result<(u64, u64)> {
    let (copied, zeroed, pace) = (AtomicU64::new(0), AtomicU64::new(0), SyncPacer::default());
    read_in_any_order(disk, extents, Zeros::Kept, jobs, progress, |batch, bytes| {
        for content in batch.contents(bytes) {
            let (start, content) = content?;
            if progress.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let (len, zeros) = match content {
                Content::Zeros(len) => (len, true),
                Content::Bytes(bytes) => (bytes.len() as u64, is_zero(bytes)),
            };
            match content {
                _ if zeros => write_zeros(target, &pace, start, len)?,
                Content::Bytes(bytes) => write(target, &pace, start, bytes)?,
                Content::Zeros(_) => {}
            }
            // No disk has more bytes than fit.
            let sum = if zeros { &zeroed } else { &copied };
            sum.fetch_add(len, Ordering::Relaxed);
            progress.advance(len);
        }
        Ok(())
    })?;
    Ok((copied.into_inner(), zeroed.into_inner()))
}

fn write_zeros(target: &dyn Storage, pace: &SyncPacer, start: DiskOffset, len: u64) -> Result<()> {
    if len < ZEROED_BY_CALL {
        return write(target, pace, start, &vec![0; in_memory(len)?]);
    }
    let offset = FileOffset::new(start.get());
    target.zero_range(offset, len).map_err(|error| Error::io("write zeros", offset, error))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::error::ErrorKind;
    use crate::ops::testing::{Meter, Plain};
    use crate::storage::{Memory, ReadAt};

    const MIB: usize = 1 << 20;
    /// The most zeros of one batch.
    const ZEROED_AT_ONCE: u64 = 64 << 20;

    /// The calls are in the order of the disk then, and none follows a failed one.
    fn one() -> Jobs {
        Jobs::new(std::num::NonZero::<usize>::MIN)
    }

    /// Data in short runs with small and large gaps, a block of data that is zero, and an end inside a page.
    fn scattered() -> Plain {
        let end = 9 * MIB + 512;
        let mut disk = Plain::new(
            end,
            &[(512, 1024), (8192, 8704), (MIB - 512, MIB + 512), (3 * MIB, 5 * MIB), (end - 1024, end)],
        );
        disk.bytes[4 * MIB..4 * MIB + 12345].fill(0);
        disk.bytes[3 * MIB + 4096..3 * MIB + 8192].fill(0);
        disk
    }

    #[test]
    fn every_byte_of_the_target_is_overwritten() {
        let disk = scattered();
        for tail in [0, 1, 3 * MIB] {
            let target = Memory::new(vec![0xff; disk.bytes.len() + tail]);
            let meter = Meter::new();
            let done =
                overwrite_raw(&disk, &target, TargetContent::Unknown, Jobs::default(), &meter).unwrap();
            assert_eq!(meter.total(), disk.virtual_size());
            assert_eq!(done.bytes_copied + done.bytes_zeroed, disk.virtual_size());
            assert_eq!(done.target_size, (disk.bytes.len() + tail) as u64);
            let target = target.into_inner();
            assert!(target[..disk.bytes.len()] == disk.bytes);
            assert_eq!(target.len(), disk.bytes.len() + tail);
            assert!(target[disk.bytes.len()..].iter().all(|&byte| byte == 0xff));
        }
    }

    #[test]
    fn a_disk_without_data_is_zeros_everywhere() {
        let disk = Plain::new(2 * ZEROED_AT_ONCE as usize + 512, &[]);
        let target = Memory::new(vec![0xff; disk.bytes.len()]);
        let done =
            overwrite_raw(&disk, &target, TargetContent::Unknown, Jobs::default(), &Meter::new()).unwrap();
        assert_eq!((done.bytes_copied, done.bytes_zeroed), (0, disk.virtual_size()));
        assert!(target.into_inner() == disk.bytes);
    }

    #[test]
    fn only_nonzero_bytes_are_written_to_a_target_of_zeros() {
        let disk = scattered();
        let target = Memory::new(vec![0; disk.bytes.len() + 512]);
        let meter = Meter::new();
        let done = overwrite_raw(&disk, &target, TargetContent::Zeros, Jobs::default(), &meter).unwrap();
        assert!(done.bytes_copied < meter.total(), "zeros in data were written");
        assert_eq!(done.bytes_zeroed, 0);
        let target = target.into_inner();
        assert!(target[..disk.bytes.len()] == disk.bytes);
        assert_eq!(target.len(), disk.bytes.len() + 512);
        // The promise of the caller is not checked.
        let target = Memory::new(vec![0xff; disk.bytes.len()]);
        overwrite_raw(&disk, &target, TargetContent::Zeros, Jobs::default(), &Meter::new()).unwrap();
        assert_eq!(target.into_inner()[2 * MIB], 0xff);
    }

    #[test]
    fn a_target_that_is_too_small_is_not_touched() {
        let disk = scattered();
        let target = Memory::new(vec![0xff; disk.bytes.len() - 1]);
        let error = overwrite_raw(&disk, &target, TargetContent::Unknown, Jobs::default(), &Meter::new())
            .unwrap_err();
        assert!(matches!(error, Error::InvalidArgument(InvalidArgument::TargetTooSmall { .. })), "{error}");
        assert!(target.into_inner().iter().all(|&byte| byte == 0xff));
    }

    #[test]
    fn zeroing_can_be_cancelled() {
        let disk = Plain::new(3 * ZEROED_AT_ONCE as usize, &[]);
        let target = Memory::new(vec![0xff; disk.bytes.len()]);
        let cancelled = overwrite_raw(
            &disk,
            &target,
            TargetContent::Unknown,
            one(),
            &Meter::cancelling_at(ZEROED_AT_ONCE),
        );
        assert!(matches!(cancelled, Err(Error::Cancelled)));
        let target = target.into_inner();
        assert_eq!((target[0], target[ZEROED_AT_ONCE as usize]), (0, 0xff));
    }

    /// Fails one call, counted from 0, and records the calls.
    struct Failing {
        memory: Memory,
        calls: AtomicUsize,
        fails: usize,
        names: Mutex<Vec<&'static str>>,
    }

    impl Failing {
        fn call(&self, name: &'static str) -> io::Result<()> {
            self.names.lock().unwrap().push(name);
            match self.calls.fetch_add(1, Ordering::SeqCst) == self.fails {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => Ok(()),
            }
        }
    }

    impl ReadAt for Failing {
        fn size(&self) -> io::Result<u64> {
            self.call("len")?;
            self.memory.size()
        }

        fn read_exact_at(&self, _: &mut [u8], _: FileOffset) -> io::Result<()> {
            panic!("a target is not read")
        }
    }

    impl Storage for Failing {
        fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
            self.call("write")?;
            self.memory.write_all_at(buf, offset)
        }

        fn set_len(&self, _: u64) -> io::Result<()> {
            panic!("a target keeps its length")
        }

        fn sync(&self) -> io::Result<()> {
            self.call("sync")
        }

        fn zero_range(&self, offset: FileOffset, len: u64) -> io::Result<()> {
            self.call("zero")?;
            self.memory.zero_range(offset, len)
        }
    }

    #[test]
    fn every_failed_call_is_reported_and_the_last_call_syncs() {
        let disk = scattered();
        for content in [TargetContent::Unknown, TargetContent::Zeros] {
            let mut fails = 0;
            loop {
                let memory = Memory::new(vec![0; disk.bytes.len()]);
                let (calls, names) = (AtomicUsize::new(0), Mutex::default());
                let target = Failing { memory, calls, fails, names };
                let result = overwrite_raw(&disk, &target, content, one(), &Meter::new());
                let names = target.names.into_inner().unwrap();
                if names.len() <= fails {
                    result.unwrap();
                    assert_eq!(names.last(), Some(&"sync"));
                    assert_eq!(names.contains(&"zero"), content == TargetContent::Unknown);
                    break;
                }
                assert_eq!(result.unwrap_err().kind(), ErrorKind::Io, "call {fails}");
                assert_eq!(names.len(), fails + 1, "something was called after call {fails} had failed");
                fails += 1;
            }
            assert!(fails >= 7, "{fails}");
        }
    }
}
