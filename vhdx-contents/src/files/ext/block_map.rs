//! Maps of block numbers: direct, and through up to three levels of indirect blocks.

use super::inode::Inode;
use super::number::{Checked, le32, to_usize};
use super::segment::Segment;
use super::volume::Volume;
use crate::error::{Error, Result};

const DIRECT: u64 = 12;
const POINTER: usize = 4;

/// Returns the segment that has a block of a file: one block of pointers, or a hole.
///
/// # Errors
/// [`Error::Damaged`] and [`Error::Disk`].
pub(super) fn segment(volume: &Volume<'_>, inode: &Inode, at: u64) -> Result<Segment> {
    let root = inode.map()?;
    let (direct, indirect) = root.split_at_checked(48).ok_or_else(|| damaged(inode, "it is too short"))?;
    if at < DIRECT {
        return pointers(volume, inode, 0, direct);
    }
    let per_block = volume.block_size() / 4;
    let (mut start, mut len) = (DIRECT, per_block);
    for pointer in indirect.chunks_exact(POINTER) {
        let end = start.plus(len)?;
        if at < end {
            return descend(volume, inode, le32(pointer, 0)?, start, len, at);
        }
        start = end;
        len = len.times(per_block)?;
    }
    Err(damaged(inode, format!("it cannot address block {at}")))
}

fn what(inode: &Inode) -> String {
    format!("the block map of {}", inode.name())
}

fn damaged(inode: &Inode, why: impl Into<String>) -> Error {
    Error::damaged(what(inode), why)
}

/// Follows a pointer to an indirect block that describes `len` blocks of the file from `start` on. `at` is one of them.
fn descend(
    volume: &Volume<'_>,
    inode: &Inode,
    mut pointer: u32,
    mut start: u64,
    mut len: u64,
    at: u64,
) -> Result<Segment> {
    let per_block = volume.block_size() / 4;
    loop {
        if pointer == 0 {
            return Segment::hole(start..start.plus(len)?);
        }
        volume.ensure_blocks(u64::from(pointer), 1, &|| what(inode))?;
        let bytes = volume.block(u64::from(pointer))?;
        // Every step divides the length, so the loop ends.
        len = len.per(per_block)?;
        if len <= 1 {
            return pointers(volume, inode, start, &bytes);
        }
        let index = at.minus(start)?.per(len)?;
        start = start.plus(index.times(len)?)?;
        pointer = le32(&bytes, to_usize(index)?.times(POINTER)?)?;
    }
}

/// Returns the blocks that pointers lead to. A pointer of 0 is a hole.
fn pointers(volume: &Volume<'_>, inode: &Inode, start: u64, bytes: &[u8]) -> Result<Segment> {
    let mut segment = Segment::new(start);
    for pointer in bytes.chunks_exact(POINTER) {
        let block = u64::from(le32(pointer, 0)?);
        if block == 0 {
            segment.add(1, None)?;
        } else {
            volume.ensure_blocks(block, 1, &|| what(inode))?;
            segment.add(1, Some(block))?;
        }
    }
    Ok(segment)
}
