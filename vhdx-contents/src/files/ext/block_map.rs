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

#[cfg(test)]
mod tests {
    use super::super::inode::ContentKind;
    use super::super::segment::Run;
    use super::super::testing::{inode, pointers, with_volume};
    use super::*;

    /// Returns the run that has a block, or the error.
    fn run(map: &[u32], blocks: &[(usize, &[u8])], at: u64) -> std::result::Result<Run, String> {
        with_volume(blocks, |volume| {
            let inode = inode(ContentKind::BlockMap, &pointers(map));
            let segment = segment(volume, &inode, at).map_err(|error| error.to_string())?;
            Ok(segment.run_at(at).unwrap())
        })
    }

    #[test]
    fn all_levels_are_followed() {
        let map = [20, 21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 30, 0, 31];
        let (single, triple, double) = (pointers(&[40, 41, 43]), pointers(&[0, 32]), pointers(&[0, 0, 30]));
        let blocks: [(usize, &[u8]); 3] = [(30, &single), (31, &triple), (32, &double)];
        assert_eq!(run(&map, &blocks, 0), Ok(Run { start: 0, len: 2, block: Some(20) }));
        assert_eq!(run(&map, &blocks, 2), Ok(Run { start: 2, len: 10, block: None }));
        assert_eq!(run(&map, &blocks, 13), Ok(Run { start: 13, len: 1, block: Some(41) }));
        assert_eq!(run(&map, &blocks, 300), Ok(Run { start: 300, len: 65_504, block: None }));
        let start = 12 + 256 + 65_536;
        assert_eq!(run(&map, &blocks, start + 1), Ok(Run { start: start + 1, len: 65_535, block: None }));
        let leaf = start + 65_536 + 512;
        assert_eq!(run(&map, &blocks, leaf + 2), Ok(Run { start: leaf + 2, len: 1, block: Some(43) }));
        assert!(run(&map, &blocks, start + (1 << 24)).unwrap_err().contains("cannot address"));
    }

    #[test]
    fn blocks_outside_of_the_file_system_are_errors_and_loops_end() {
        assert!(run(&[100], &[], 0).unwrap_err().contains("it refers to block 100"));
        let map = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 30];
        let looped = pointers(&[30; 256]);
        assert_eq!(run(&map, &[(30, &looped)], 70_000).unwrap().block, Some(30));
    }
}
