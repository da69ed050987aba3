//! Trees of extents.

use std::ops::Range;

use super::checksum::crc32c;
use super::inode::Inode;
use super::number::{Checked, joined, le16, le32, part};
use super::segment::Segment;
use super::volume::Volume;
use crate::error::{Error, Result};

const MAGIC: u16 = 0xF30A;
/// The length of a header and of each entry.
const ENTRY: usize = 12;
const MAX_DEPTH: u16 = 5;
/// Longer extents are unwritten. Their lengths are this much smaller.
const MAX_LEN: u16 = 1 << 15;
/// How many blocks a file can have.
const MAX_BLOCKS: u64 = 1 << 32;

/// Returns the leaf, or the gap between leaves, that has a block of a file.
///
/// # Errors
/// [`Error::Damaged`] and [`Error::Disk`].
pub(super) fn segment(volume: &Volume<'_>, inode: &Inode, at: u64) -> Result<Segment> {
    let mut node = Node::new(inode, inode.map()?.to_vec(), 0..MAX_BLOCKS)?;
    if node.depth > MAX_DEPTH {
        return Err(damaged(inode, format!("it has {} levels", node.depth)));
    }
    while node.depth > 0 {
        let Some((block, range)) = node.child(at)? else {
            return Segment::hole(node.range.start..node.first_key()?);
        };
        volume.ensure_blocks(block, 1, &|| what(inode))?;
        let child = Node::new(inode, volume.block(block)?, range)?;
        child.ensure_checksum()?;
        // So the loop ends.
        if child.depth.checked_add(1) != Some(node.depth) {
            return Err(damaged(inode, format!("block {block} has another level than its parent says")));
        }
        node = child;
    }
    node.leaf(volume)
}

fn what(inode: &Inode) -> String {
    format!("the extent tree of {}", inode.name())
}

fn damaged(inode: &Inode, why: impl Into<String>) -> Error {
    Error::damaged(what(inode), why)
}

/// A node whose entries are within its bytes.
struct Node<'i> {
    inode: &'i Inode,
    bytes: Vec<u8>,
    /// The blocks of the file that it may describe.
    range: Range<u64>,
    depth: u16,
    entries: usize,
    /// Where the entries could end.
    end: usize,
}

impl<'i> Node<'i> {
    fn new(inode: &'i Inode, bytes: Vec<u8>, range: Range<u64>) -> Result<Self> {
        let (magic, entries, max) = (le16(&bytes, 0)?, le16(&bytes, 2)?, le16(&bytes, 4)?);
        let end = ENTRY.times(usize::from(max).plus(1)?)?;
        if magic != MAGIC || entries > max || end > bytes.len() {
            return Err(damaged(inode, "a header is invalid"));
        }
        let depth = le16(&bytes, 6)?;
        if depth > 0 && entries == 0 {
            return Err(damaged(inode, "a node has no children"));
        }
        Ok(Self { inode, range, depth, entries: usize::from(entries), end, bytes })
    }

    /// Checks the checksum, which follows the place for entries. The root is a part of the inode and has none.
    fn ensure_checksum(&self) -> Result<()> {
        if let Some(seed) = self.inode.checksum_seed
            && crc32c(seed, part(&self.bytes, 0, self.end)?) != le32(&self.bytes, self.end)?
        {
            return Err(damaged(self.inode, "a checksum is wrong"));
        }
        Ok(())
    }

    fn entry(&self, index: usize) -> Result<&[u8]> {
        part(&self.bytes, ENTRY.times(index.plus(1)?)?, ENTRY)
    }

    fn key(&self, index: usize) -> Result<u64> {
        le32(self.entry(index)?, 0).map(u64::from)
    }

    /// Returns the first block of the first child.
    fn first_key(&self) -> Result<u64> {
        self.key(0)
    }

    /// Returns the child that has a block of the file, and the range of this child; `None` if all children come later.
    fn child(&self, at: u64) -> Result<Option<(u64, Range<u64>)>> {
        let mut found = None;
        let mut earliest = self.range.start;
        for index in 0..self.entries {
            let key = self.key(index)?;
            if key < earliest || key >= self.range.end {
                return Err(damaged(self.inode, format!("block {key} is not in order")));
            }
            earliest = key.plus(1)?;
            if key <= at {
                found = Some((index, key));
            }
        }
        let Some((index, start)) = found else { return Ok(None) };
        let next = index.plus(1)?;
        let end = if next < self.entries { self.key(next)? } else { self.range.end };
        let entry = self.entry(index)?;
        Ok(Some((joined(le16(entry, 8)?, le32(entry, 4)?), start..end)))
    }

    /// Returns the extents of a leaf, with the holes between them.
    fn leaf(&self, volume: &Volume<'_>) -> Result<Segment> {
        let mut segment = Segment::new(self.range.start);
        for index in 0..self.entries {
            let entry = self.entry(index)?;
            let start = self.key(index)?;
            if start < segment.end() {
                return Err(damaged(self.inode, format!("block {start} is not in order")));
            }
            segment.add_hole(start)?;
            let (len, is_written) = match le16(entry, 4)? {
                0 => return Err(damaged(self.inode, format!("the extent of block {start} is empty"))),
                len if len <= MAX_LEN => (len, true),
                len => (len & !MAX_LEN, false),
            };
            let block = joined(le16(entry, 6)?, le32(entry, 8)?);
            volume.ensure_blocks(block, u64::from(len), &|| what(self.inode))?;
            segment.add(u64::from(len), is_written.then_some(block))?;
        }
        if segment.end() > self.range.end {
            return Err(damaged(self.inode, "an extent is longer than its node"));
        }
        segment.add_hole(self.range.end)?;
        Ok(segment)
    }
}

#[cfg(test)]
mod tests {
    use super::super::inode::ContentKind;
    use super::super::segment::Run;
    use super::super::testing::{inode, with_volume};
    use super::*;

    fn header(entries: u16, depth: u16) -> Vec<u8> {
        [MAGIC, entries, 4, depth, 0, 0].iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    fn extent(start: u32, len: u16, block: u32) -> Vec<u8> {
        [&start.to_le_bytes()[..], &len.to_le_bytes(), &[0, 0], &block.to_le_bytes()].concat()
    }

    fn index(start: u32, block: u32) -> Vec<u8> {
        [&start.to_le_bytes()[..], &block.to_le_bytes(), &[0; 4]].concat()
    }

    /// Returns the run that has a block, or the error.
    fn run(nodes: &[Vec<u8>], child: &[Vec<u8>], at: u64) -> std::result::Result<Run, String> {
        with_volume(&[(50, &child.concat())], |volume| {
            let inode = inode(ContentKind::Extents, &nodes.concat());
            let segment = segment(volume, &inode, at).map_err(|error| error.to_string())?;
            Ok(segment.run_at(at).unwrap())
        })
    }

    #[test]
    fn gaps_and_unwritten_extents_are_holes() {
        let nodes = [header(3, 0), extent(2, 2, 20), extent(10, MAX_LEN + 5, 30), extent(15, 1, 40)];
        let hole = |start, len| Ok(Run { start, len, block: None });
        assert_eq!(run(&nodes, &[], 0), hole(0, 2));
        assert_eq!(run(&nodes, &[], 3), Ok(Run { start: 3, len: 1, block: Some(21) }));
        assert_eq!(run(&nodes, &[], 4), hole(4, 11));
        assert_eq!(run(&nodes, &[], 15), Ok(Run { start: 15, len: 1, block: Some(40) }));
        assert_eq!(run(&nodes, &[], 16), hole(16, MAX_BLOCKS - 16));
    }

    #[test]
    fn children_are_found_and_bound_their_entries() {
        let nodes = [header(2, 1), index(5, 50), index(20, 51)];
        let child = [header(1, 0), extent(6, 3, 60)];
        assert_eq!(run(&nodes, &child, 0), Ok(Run { start: 0, len: 5, block: None }));
        assert_eq!(run(&nodes, &child, 7), Ok(Run { start: 7, len: 2, block: Some(61) }));
        assert_eq!(run(&nodes, &child, 9), Ok(Run { start: 9, len: 11, block: None }));
        assert!(run(&nodes, &child, 20).unwrap_err().contains("a header is invalid"));
        let long = [header(1, 0), extent(6, 15, 60)];
        assert!(run(&nodes, &long, 7).unwrap_err().contains("longer than its node"));
        let early = [header(1, 0), extent(4, 1, 60)];
        assert!(run(&nodes, &early, 7).unwrap_err().contains("not in order"));
    }

    #[test]
    fn loops_and_deep_trees_end() {
        let looped = [header(1, 1), index(0, 50)];
        assert!(run(&looped, &looped, 0).unwrap_err().contains("another level"));
        assert!(run(&[header(1, 6), index(0, 50)], &[], 0).unwrap_err().contains("6 levels"));
        assert!(run(&[header(0, 1)], &[], 0).unwrap_err().contains("no children"));
    }

    #[test]
    fn invalid_extents_are_errors() {
        for (nodes, why) in [
            (vec![header(2, 0), extent(0, 2, 20), extent(1, 2, 30)], "not in order"),
            (vec![header(2, 0), extent(5, 2, 20), extent(1, 2, 30)], "not in order"),
            (vec![header(1, 0), extent(0, 0, 20)], "is empty"),
            (vec![header(1, 0), extent(0, 2, 99)], "it refers to block 99 (+2) of 100"),
            (vec![header(1, 0), extent(0, 2, 0)], "it refers to block 0"),
            (vec![header(1, 0), extent(u32::MAX, 2, 20)], "longer than its node"),
            (vec![header(5, 0)], "a header is invalid"),
        ] {
            let error = run(&nodes, &[], 0).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
