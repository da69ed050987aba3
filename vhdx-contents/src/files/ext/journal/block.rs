//! The journal's own blocks: descriptors, commits and revocations.

use super::super::checksum::crc32c;
use super::super::number::{Checked, be16, be32, be64, byte, joined, part, to_usize};
use super::super::volume::JOURNAL_MAGIC;
use super::file::damaged;
use super::header::{Checksums, Header};
use crate::error::Result;

const HEADER: usize = 12;
const TAIL: usize = 4;
const UUID: usize = 16;
const COMMIT_CHECKSUM_AT: usize = 0x10;
const CRC32: u8 = 1;

const ESCAPED: u32 = 0x1;
const SAME_UUID: u32 = 0x2;
const LAST: u32 = 0x8;

/// What a block of the journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockKind {
    Descriptor,
    Commit,
    Revocation,
}

/// A place in the file system for the block of the journal that follows the descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) block: u64,
    pub(super) is_escaped: bool,
    /// The checksum of the block in the journal, or its lower half.
    pub(super) checksum: u32,
}

/// Returns the kind of a block; `None` if it does not belong to the transaction, so that the log ends before it.
pub(super) fn kind(bytes: &[u8], sequence: u32) -> Result<Option<BlockKind>> {
    if be32(bytes, 0)? != JOURNAL_MAGIC || be32(bytes, 8)? != sequence {
        return Ok(None);
    }
    Ok(match be32(bytes, 4)? {
        1 => Some(BlockKind::Descriptor),
        2 => Some(BlockKind::Commit),
        5 => Some(BlockKind::Revocation),
        _ => None,
    })
}

/// Returns the tags of a descriptor.
pub(super) fn tags(bytes: &[u8], header: &Header) -> Result<Vec<Tag>> {
    let tag_len = match (header.checksums, header.is_64_bit) {
        (Checksums::V3(_), _) => 16,
        (Checksums::V2(_), true) => 14,
        (Checksums::V2(_), false) => 10,
        (_, true) => 12,
        (_, false) => 8,
    };
    let end = bytes.len().minus(tail_len(header))?;
    let mut tags = Vec::new();
    let mut at = HEADER;
    while at.plus(tag_len)? <= end {
        let tag = part(bytes, at, tag_len)?;
        let low = be32(tag, 0)?;
        let (flags, high, checksum) = match header.checksums {
            Checksums::V3(_) => (be32(tag, 4)?, be32(tag, 8)?, be32(tag, 12)?),
            _ => {
                let high = if header.is_64_bit { be32(tag, 8)? } else { 0 };
                (u32::from(be16(tag, 6)?), high, u32::from(be16(tag, 4)?))
            }
        };
        let high = if header.is_64_bit { high } else { 0 };
        tags.push(Tag { block: joined(high, low), is_escaped: flags & ESCAPED != 0, checksum });
        if flags & LAST != 0 {
            break;
        }
        at = at.plus(tag_len)?.plus(if flags & SAME_UUID == 0 { UUID } else { 0 })?;
    }
    Ok(tags)
}

/// Returns the blocks that a revocation names.
pub(super) fn revoked(bytes: &[u8], header: &Header) -> Result<Vec<u64>> {
    let len = to_usize(u64::from(be32(bytes, HEADER)?))?;
    let end = bytes.len().minus(tail_len(header))?;
    let start = HEADER.plus(4)?;
    if len < start || len > end {
        return Err(damaged(format!("a list of revoked blocks has {len} bytes")));
    }
    let list = part(bytes, start, len.minus(start)?)?;
    match header.is_64_bit {
        true => list.chunks_exact(8).map(|block| be64(block, 0)).collect(),
        false => list.chunks_exact(4).map(|block| be32(block, 0).map(u64::from)).collect(),
    }
}

/// The length of the checksum at the end of a descriptor or revocation.
fn tail_len(header: &Header) -> usize {
    match header.checksums {
        Checksums::V2(_) | Checksums::V3(_) => TAIL,
        Checksums::None | Checksums::V1 => 0,
    }
}

/// Whether the checksum of a descriptor or a revocation is right, or it has none.
pub(super) fn is_tail_right(bytes: &[u8], header: &Header) -> Result<bool> {
    let (Checksums::V2(seed) | Checksums::V3(seed)) = header.checksums else { return Ok(true) };
    let at = bytes.len().minus(TAIL)?;
    Ok(crc32c(crc32c(seed, part(bytes, 0, at)?), &[0; TAIL]) == be32(bytes, at)?)
}

/// Whether the checksum of a commit block is right. `transaction` is the CRC-32 of the other blocks of the transaction.
pub(super) fn is_commit_right(bytes: &[u8], header: &Header, transaction: u32) -> Result<bool> {
    let stored = be32(bytes, COMMIT_CHECKSUM_AT)?;
    let (kind, size) = (byte(bytes, 0xC)?, byte(bytes, 0xD)?);
    match header.checksums {
        Checksums::None => Ok(true),
        // A writer may leave the checksum out.
        Checksums::V1 => Ok(match (kind, size, stored) {
            (0, 0, 0) => true,
            (CRC32, 4, stored) => stored == transaction,
            _ => false,
        }),
        Checksums::V2(seed) | Checksums::V3(seed) => {
            let after = COMMIT_CHECKSUM_AT.plus(4)?;
            let sum = crc32c(seed, part(bytes, 0, COMMIT_CHECKSUM_AT)?);
            let sum = crc32c(sum, &[0; 4]);
            Ok(crc32c(sum, part(bytes, after, bytes.len().minus(after)?)?) == stored)
        }
    }
}

/// Returns the time of a commit, in seconds since 1970.
pub(super) fn commit_time(bytes: &[u8]) -> Result<u64> {
    be64(bytes, 0x30)
}

/// Whether a block in the journal has the checksum of its tag, or has none.
pub(super) fn is_content_right(bytes: &[u8], header: &Header, tag: &Tag, sequence: u32) -> bool {
    let sum = |seed| crc32c(crc32c(seed, &sequence.to_be_bytes()), bytes);
    match header.checksums {
        Checksums::None | Checksums::V1 => true,
        Checksums::V2(seed) => sum(seed) & 0xFFFF == tag.checksum,
        Checksums::V3(seed) => sum(seed) == tag.checksum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(checksums: Checksums, is_64_bit: bool) -> Header {
        Header {
            first: 1,
            end: 100,
            fast_commits: 100..100,
            start: Some(1),
            sequence: 1,
            is_64_bit,
            has_async_commit: false,
            checksums,
        }
    }

    #[test]
    fn tags_of_every_length_are_parsed() {
        for (checksums, is_64_bit, len) in [
            (Checksums::None, false, 8),
            (Checksums::V1, true, 12),
            (Checksums::V2(0), false, 10),
            (Checksums::V2(0), true, 14),
            (Checksums::V3(0), false, 16),
            (Checksums::V3(0), true, 16),
        ] {
            let mut bytes = vec![0; 256];
            // The first tag has the UUID of the file system after it.
            bytes[HEADER + 3] = 5;
            let second = HEADER + len + UUID;
            bytes[second + 3] = 6;
            bytes[second + 7] = (ESCAPED | SAME_UUID | LAST) as u8;
            let tags = tags(&bytes, &header(checksums, is_64_bit)).unwrap();
            let found: Vec<_> = tags.iter().map(|tag| (tag.block, tag.is_escaped)).collect();
            assert_eq!(found, [(5, false), (6, true)], "{checksums:?} {is_64_bit}");
        }
    }

    #[test]
    fn a_descriptor_without_a_last_tag_ends_with_its_block() {
        let tags = tags(&[0; 256], &header(Checksums::None, false)).unwrap();
        // The last of them begins at byte 228, and the next one would begin at 252.
        assert_eq!(tags.len(), 10);
    }

    #[test]
    fn a_list_of_revoked_blocks_is_within_its_block() {
        let mut bytes = vec![0; 256];
        bytes[15] = 16 + 8;
        bytes[23] = 9;
        assert_eq!(revoked(&bytes, &header(Checksums::None, false)).unwrap(), [0, 9]);
        assert_eq!(revoked(&bytes, &header(Checksums::None, true)).unwrap(), [9]);
        for len in [15, 257] {
            bytes[14..16].copy_from_slice(&u16::to_be_bytes(len));
            assert!(revoked(&bytes, &header(Checksums::None, false)).is_err());
        }
    }
}
