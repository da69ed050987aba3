//! Copies the content of a disk into one new file, or writes it to a stream.

use std::io;

use super::copy::{copy_nonzero, nonzero};
use super::ranges::{data, total, whole};
use super::sync_pacer::SyncPacer;
use crate::disk::Disk;
use crate::error::{Bounded, Error, Guaranteed, InvalidArgument, Result};
use crate::file::{NewDisk, VhdxWriter};
use crate::progress::Progress;
use crate::storage::{Buffer, Storage, ensure_empty};
use crate::transfer::{Batch, Content, Jobs, Zeros, read_in_order};
use crate::units::{DiskOffset, FileOffset, MIB, at_most};

/// The most zeros that a stream gets with one write, in bytes.
const ZEROS_AT_ONCE: usize = MIB as usize;

/// The result of a conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ConvertReport {
    /// The bytes of the disk that were written. All others are zeros that needed no writing.
    pub bytes_copied: u64,
    /// The payload blocks of the new VHDX that are present; 0 for raw outputs.
    pub blocks: u64,
    /// The length of the output in bytes.
    pub file_size: u64,
}

/// Copies the content of a disk into an empty storage, byte for byte. The caller syncs it.
///
/// Zeros are left out, so the file is as sparse as its file system allows.
///
/// # Errors
/// [`Conflict::DestinationExists`](crate::Conflict::DestinationExists) if the storage is not empty, as
/// [`Disk::validate_placement`] before anything is written, those of reading the disk, as [`Disk::ensure_unchanged`] at
/// the end, [`Error::Io`] from the storage, [`Error::Cancelled`].
pub fn to_raw(
    disk: &dyn Disk,
    storage: &dyn Storage,
    jobs: Jobs,
    progress: &dyn Progress,
) -> Result<ConvertReport> {
    let failed = |operation, at: u64| move |error| Error::io(operation, FileOffset::new(at), error);
    ensure_empty(storage)?;
    disk.validate_placement()?;
    let file_size = disk.virtual_size();
    progress.start(total(data(disk, whole(disk)), progress)?);
    storage.set_len(file_size).map_err(failed("extend", file_size))?;
    let bytes_copied = copy_nonzero(disk, storage, jobs, progress)?;
    disk.ensure_unchanged()?;
    Ok(ConvertReport { bytes_copied, blocks: 0, file_size })
}

/// Writes every byte of a disk in order, zeros too. `progress` counts all of them.
///
/// # Errors
/// As [`Disk::validate_placement`] before anything is written, those of reading the disk, [`Error::Io`] from the
/// stream, [`Error::Cancelled`]. As [`Disk::ensure_unchanged`] at the end: the stream has the whole disk then, and must
/// be discarded.
pub fn to_stream(
    disk: &dyn Disk,
    out: &mut dyn io::Write,
    jobs: Jobs,
    progress: &dyn Progress,
) -> Result<ConvertReport> {
    disk.validate_placement()?;
    progress.start(disk.virtual_size());
    let mut stream = Stream { out, at: DiskOffset::new(0), zeros: Buffer::new(ZEROS_AT_ONCE), progress };
    let mut bytes_copied = 0u64;
    read_in_order(disk, disk.extents(whole(disk)), Zeros::Kept, jobs, progress, |batch, bytes| {
        bytes_copied = bytes_copied.plus(batch.data())?;
        stream.put_batch(batch, bytes)
    })?;
    stream.ensure_complete(disk)?;
    stream.flush()?;
    disk.ensure_unchanged()?;
    Ok(ConvertReport { bytes_copied, blocks: 0, file_size: disk.virtual_size() })
}

struct Stream<'a> {
    out: &'a mut dyn io::Write,
    at: DiskOffset,
    zeros: Buffer,
    progress: &'a dyn Progress,
}

impl Stream<'_> {
    fn put_batch(&mut self, batch: &Batch<1>, bytes: &[u8]) -> Result<()> {
        for content in batch.contents(bytes) {
            let (start, content) = content?;
            (start == self.at).then_some(()).guaranteed("the batches of a stream have no gaps")?;
            match content {
                Content::Bytes(bytes) => self.put(bytes)?,
                Content::Zeros(len) => self.put_zeros(len)?,
            }
        }
        Ok(())
    }

    fn put_zeros(&mut self, len: u64) -> Result<()> {
        let mut left = len;
        while left > 0 {
            if self.progress.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let now = at_most(left, self.zeros.len());
            self.out.write_all(&self.zeros[..now]).map_err(|error| self.failed(error))?;
            self.advance(now)?;
            left -= now as u64; // not more than what is left
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(|error| self.failed(error))?;
        self.advance(bytes.len())
    }

    fn advance(&mut self, len: usize) -> Result<()> {
        self.at = self.at.plus(len as u64)?;
        self.progress.advance(len as u64);
        Ok(())
    }

    fn ensure_complete(&self, disk: &dyn Disk) -> Result<()> {
        (self.at == whole(disk).end).then_some(()).guaranteed("the extents of a disk cover it")
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::io("write", FileOffset::new(self.at.get()), error)
    }
}

/// Copies the content of a disk into a new VHDX in an empty storage.
///
/// All-zero blocks are left out, and unused space is not written. If the `new` disk is larger than `disk`, the rest is
/// zeros. When this returns, the file is complete and durable; before, it is not a VHDX.
///
/// # Errors
/// [`InvalidArgument`] as for [`VhdxWriter::new`], and for a `new` disk that is too small; as
/// [`Disk::validate_placement`] before anything is written, those of reading the disk, as [`Disk::ensure_unchanged`]
/// before the file becomes a VHDX, [`Error::Io`] from the storage, [`Error::Cancelled`].
///
/// # Examples
/// Write a chain into one new file, which is complete or absent:
/// ```no_run
/// use vhdx::{Chain, FolderResolver, IfExists, Jobs, NewDisk, NewFile, NoProgress, OnWriter, ops::to_vhdx};
///
/// # fn main() -> vhdx::Result<()> {
/// let chain = Chain::open("checkpoint.avhdx", &FolderResolver::default())?;
/// chain.lock_shared(OnWriter::Fail)?;
/// let file = NewFile::create("copy.vhdx".as_ref(), IfExists::Fail)?;
/// let report = to_vhdx(&chain, &NewDisk::new(chain.virtual_size()), &file, Jobs::default(), &NoProgress)?;
/// file.commit()?;
/// println!("{} bytes copied", report.bytes_copied);
/// # Ok(())
/// # }
/// ```
pub fn to_vhdx(
    disk: &dyn Disk,
    new: &NewDisk,
    storage: &dyn Storage,
    jobs: Jobs,
    progress: &dyn Progress,
) -> Result<ConvertReport> {
    disk.validate_placement()?;
    progress.start(total(data(disk, whole(disk)), progress)?);
    write_vhdx(disk, new, storage, jobs, progress)
}

/// Writes a new VHDX that reads as `disk`.
///
/// Several threads read, and one writes: blocks get their places in the order of the disk.
pub(super) fn write_vhdx(
    disk: &dyn Disk,
    new: &NewDisk,
    storage: &dyn Storage,
    jobs: Jobs,
    progress: &dyn Progress,
) -> Result<ConvertReport> {
    if disk.virtual_size() > new.virtual_size {
        return Err(InvalidArgument::VirtualSizeTooSmall(new.virtual_size).into());
    }
    let mut writer = VhdxWriter::new(storage, new)?;
    let pace = SyncPacer::default();
    let mut bytes_copied = 0u64;
    read_in_order(disk, disk.extents(whole(disk)), Zeros::LeftOut, jobs, progress, |batch, bytes| {
        for (at, bytes) in nonzero(batch, bytes)? {
            writer.write(at, bytes)?;
            bytes_copied = bytes_copied.plus(bytes.len() as u64)?;
            pace.begin_sync(storage, bytes.len() as u64)?;
        }
        progress.advance(batch.data());
        Ok(())
    })?;
    disk.ensure_unchanged()?;
    let written = writer.finish()?;
    Ok(ConvertReport { bytes_copied, blocks: written.blocks, file_size: written.file_size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Meter, Plain};
    use crate::storage::{Memory, ReadAt};

    const MIB: usize = 1 << 20;

    /// Data in short runs, at block boundaries, and up to the end of a disk that ends inside a block.
    fn scattered() -> Plain {
        let end = 9 * MIB + 512;
        Plain::new(end, &[(512, 1024), (MIB - 512, MIB + 512), (3 * MIB, 5 * MIB), (end - 1024, end)])
    }

    #[test]
    fn raw_outputs_hold_the_same_bytes() {
        let disk = scattered();
        let (file, mut stream) = (Memory::default(), Vec::new());
        let (to_file, to_pipe) = (Meter::new(), Meter::new());
        let converted = to_raw(&disk, &file, Jobs::default(), &to_file).unwrap();
        assert_eq!(converted.file_size, disk.virtual_size());
        to_stream(&disk, &mut stream, Jobs::default(), &to_pipe).unwrap();
        assert_eq!(to_file.total(), disk.data.iter().map(|(start, end)| (end - start) as u64).sum::<u64>());
        assert_eq!(to_pipe.total(), disk.virtual_size());
        assert!(file.into_inner() == disk.bytes);
        assert!(stream == disk.bytes);
    }

    #[test]
    fn zeros_are_not_written() {
        let mut disk = Plain::new(4 * MIB, &[(MIB, MIB + 4096)]);
        disk.data = vec![(0, 4 * MIB)];
        let converted = to_raw(&disk, &Memory::default(), Jobs::default(), &Meter::new()).unwrap();
        assert_eq!(converted.bytes_copied, 4096);
        let new = NewDisk { block_size: 1 << 20, ..NewDisk::new(4 << 20) };
        let converted = to_vhdx(&disk, &new, &Memory::default(), Jobs::default(), &Meter::new()).unwrap();
        assert_eq!((converted.bytes_copied, converted.blocks), (4096, 1));
    }

    #[test]
    fn an_output_that_holds_something_is_refused() {
        let file = Memory::new(vec![1]);
        let new = NewDisk::new(MIB as u64);
        let disk = Plain::new(MIB, &[]);
        assert!(to_raw(&disk, &file, Jobs::default(), &Meter::new()).is_err());
        assert!(to_vhdx(&disk, &new, &file, Jobs::default(), &Meter::new()).is_err());
        assert_eq!(file.into_inner(), [1]);
    }

    #[test]
    fn a_disk_that_is_too_small_is_refused() {
        let disk = scattered();
        let new = NewDisk::new(disk.virtual_size() - 512);
        let error = to_vhdx(&disk, &new, &Memory::default(), Jobs::default(), &Meter::new()).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument(InvalidArgument::VirtualSizeTooSmall(_))), "{error}");
    }

    #[test]
    fn a_cancelled_conversion_leaves_no_vhdx() {
        let disk = scattered();
        let file = Memory::default();
        let new = NewDisk { block_size: 1 << 20, ..NewDisk::new(disk.virtual_size()) };
        let cancelled = to_vhdx(&disk, &new, &file, Jobs::default(), &Meter::cancelling_at(2 << 20));
        assert!(matches!(cancelled, Err(Error::Cancelled)));
        assert!(ReadAt::size(&file).unwrap() > 3 << 20, "it was cancelled too early");
        assert!(crate::file::Vhdx::open_with(file, &crate::file::OpenOptions::default()).is_err());
        let cancelled = to_stream(&disk, &mut Vec::new(), Jobs::default(), &Meter::cancelling_at(1));
        assert!(matches!(cancelled, Err(Error::Cancelled)));
    }
}
