//! Reads the areas of a partition where superblocks lie.

use std::borrow::Cow;
use std::cell::Cell;

use super::fields::Fields;
use crate::error::Result;
use crate::window::Window;

const KIB: usize = 1024;

/// The length of the first area. It holds the first label of ZFS (256 KiB), and both tables and the root folder of most
/// FAT16 volumes.
const HEAD: usize = 288 * KIB;

/// Where VMFS has its header.
const MIDDLE: u64 = 1024 * 1024;

const MIDDLE_LEN: usize = 4 * KIB;

/// The length of the last area. It holds the superblock of Linux RAID 0.90, which begins at a multiple of 64 KiB.
const TAIL: usize = 128 * KIB;
const TAIL_FROM_END: u64 = 128 * 1024;

/// How many more areas can be read, for labels. It bounds the reads of a disk that seems to hold many file systems.
const MORE_READS: u8 = 3;

/// The longest read of another area: the longest header of LUKS2.
const MAX_LEN: usize = 4 * KIB * KIB;

/// Areas of a partition.
pub(super) struct Areas<'a> {
    window: Window<'a>,
    /// Each with its position.
    read: Vec<(u64, Vec<u8>)>,
    reads_left: Cell<u8>,
}

impl<'a> Areas<'a> {
    /// Reads the areas that every partition is examined at: one to three reads.
    pub(super) fn read(window: Window<'a>) -> Result<Self> {
        let head = window.read(0, HEAD)?;
        let is_whole = head.len() < HEAD;
        let mut read = vec![(0, head)];
        if !is_whole {
            if window.len() > MIDDLE {
                read.push((MIDDLE, window.read(MIDDLE, MIDDLE_LEN)?));
            }
            let tail = window.len().saturating_sub(TAIL_FROM_END);
            read.push((tail, window.read(tail, TAIL)?));
        }
        Ok(Self { window, read, reads_left: Cell::new(MORE_READS) })
    }

    /// Returns the length of the partition in bytes.
    pub(super) fn partition_len(&self) -> u64 {
        self.window.len()
    }

    /// Returns the logical sector size in bytes.
    pub(super) fn sector_size(&self) -> u32 {
        self.window.sector_size()
    }

    /// Returns `len` bytes that have been read already.
    pub(super) fn at(&self, offset: u64, len: usize) -> Option<Fields<'_>> {
        self.read.iter().find_map(|(start, bytes)| {
            let from = usize::try_from(offset.checked_sub(*start)?).ok()?;
            Fields(bytes).bytes(from, len).map(Fields)
        })
    }

    /// Returns `len` bytes, and reads them if necessary. Returns `None` if they are not within the partition, or if too
    /// much has been read already.
    pub(super) fn get(&self, offset: u64, len: usize) -> Result<Option<Cow<'_, [u8]>>> {
        if let Some(fields) = self.at(offset, len) {
            return Ok(Some(Cow::Borrowed(fields.0)));
        }
        let Some(left) = self.reads_left.get().checked_sub(1) else { return Ok(None) };
        if len > MAX_LEN || offset >= self.window.len() {
            return Ok(None);
        }
        self.reads_left.set(left);
        let bytes = self.window.read(offset, len)?;
        Ok((bytes.len() == len).then_some(Cow::Owned(bytes)))
    }
}
