//! The superblock of the journal.

use super::super::checksum::crc32c;
use super::super::number::{Checked, be32, byte, part, to_usize};
use super::super::volume::JOURNAL_MAGIC;
use super::file::damaged;
use crate::error::{Error, Result};

const VERSION_1: u32 = 3;
const VERSION_2: u32 = 4;
const LEN: usize = 1024;
const CHECKSUM_AT: usize = 0xFC;
const CRC32C: u8 = 4;

const CHECKSUM: u32 = 0x1;

const REVOKE: u32 = 0x1;
const IS_64_BIT: u32 = 0x2;
const ASYNC_COMMIT: u32 = 0x4;
const CHECKSUM_V2: u32 = 0x8;
const CHECKSUM_V3: u32 = 0x10;
const FAST_COMMIT: u32 = 0x20;
const SUPPORTED: u32 = REVOKE | IS_64_BIT | ASYNC_COMMIT | CHECKSUM_V2 | CHECKSUM_V3 | FAST_COMMIT;

/// How many blocks fast commits use if the journal does not say it.
const FAST_COMMIT_BLOCKS: u64 = 256;
/// A journal has at least this many blocks without those of fast commits.
const MIN_BLOCKS: u64 = 1024;

/// The checksums in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checksums {
    None,
    /// One CRC-32 for each transaction.
    V1,
    /// CRC-32C of every block, starting from this value. A tag has only the lower half of it.
    V2(u32),
    /// CRC-32C of every block, starting from this value.
    V3(u32),
}

/// A valid superblock of a journal.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// The first block of the log; at least 1.
    pub(super) first: u64,
    /// The end of the log, which goes on at `first` there. The journal has this block or ends there.
    pub(super) end: u64,
    /// The blocks of fast commits. Empty if there cannot be any.
    pub(super) fast_commits: std::ops::Range<u64>,
    /// The first block to replay; `None` if the journal is empty.
    pub(super) start: Option<u64>,
    /// The number of the first transaction.
    pub(super) sequence: u32,
    pub(super) is_64_bit: bool,
    /// Whether a commit block may have been written before the blocks of its transaction.
    pub(super) has_async_commit: bool,
    pub(super) checksums: Checksums,
}

impl Header {
    /// `block_size` and `block_count` are those of the file system and of the file with the journal.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Unsupported`].
    pub(super) fn new(bytes: &[u8], block_size: u64, block_count: u64) -> Result<Self> {
        let version = be32(bytes, 4)?;
        if be32(bytes, 0)? != JOURNAL_MAGIC || !matches!(version, VERSION_1 | VERSION_2) {
            return Err(damaged("its superblock has another signature"));
        }
        if u64::from(be32(bytes, 0xC)?) != block_size {
            return Err(damaged("its blocks differ from those of the file system"));
        }
        // The first version has no features.
        let (compatible, incompatible) = match version {
            VERSION_2 => (be32(bytes, 0x24)?, be32(bytes, 0x28)?),
            _ => (0, 0),
        };
        let unknown = incompatible & !SUPPORTED;
        if unknown != 0 {
            let why = format!("the journal of the ext file system uses unknown features: {unknown:#x}");
            return Err(Error::Unsupported(why));
        }
        let checksums = checksums(bytes, compatible, incompatible)?;
        let len = u64::from(be32(bytes, 0x10)?);
        let (first, start) = (u64::from(be32(bytes, 0x14)?), u64::from(be32(bytes, 0x1C)?));
        if len > block_count || first == 0 || first >= len {
            return Err(damaged(format!(
                "it has the blocks {first} to {len}, but its file has {block_count}"
            )));
        }
        let (end, fast_commits) = areas(bytes, incompatible, len)?;
        if first >= end || (start != 0 && !(first..end).contains(&start)) {
            return Err(damaged(format!("its log begins at block {start}, outside of {first} to {end}")));
        }
        Ok(Self {
            first,
            end,
            fast_commits,
            start: (start != 0).then_some(start),
            sequence: be32(bytes, 0x18)?,
            is_64_bit: incompatible & IS_64_BIT != 0,
            has_async_commit: incompatible & ASYNC_COMMIT != 0,
            checksums,
        })
    }
}

/// Returns the end of the log, and the blocks of fast commits.
fn areas(bytes: &[u8], incompatible: u32, len: u64) -> Result<(u64, std::ops::Range<u64>)> {
    if incompatible & FAST_COMMIT == 0 {
        return Ok((len, len..len));
    }
    let blocks = match be32(bytes, 0x54)? {
        0 => FAST_COMMIT_BLOCKS,
        blocks => u64::from(blocks),
    };
    let end = match len.checked_sub(blocks) {
        Some(end) if end >= MIN_BLOCKS => end,
        _ => len,
    };
    // The kernel leaves one block unused between both.
    Ok((end, end.plus(1)?.min(len)..len))
}

fn checksums(bytes: &[u8], compatible: u32, incompatible: u32) -> Result<Checksums> {
    if incompatible & (CHECKSUM_V2 | CHECKSUM_V3) == 0 {
        return Ok(if compatible & CHECKSUM != 0 { Checksums::V1 } else { Checksums::None });
    }
    if incompatible & CHECKSUM_V2 != 0 && incompatible & CHECKSUM_V3 != 0 {
        return Err(damaged("it has two versions of checksums"));
    }
    let kind = byte(bytes, 0x50)?;
    if kind != CRC32C {
        let why = format!("the journal of the ext file system uses an unknown checksum, number {kind}");
        return Err(Error::Unsupported(why));
    }
    let mut blank = part(bytes, 0, LEN)?.to_vec();
    if let Some(field) = blank.get_mut(CHECKSUM_AT..to_usize(0x100)?) {
        field.fill(0);
    }
    if crc32c(!0, &blank) != be32(bytes, CHECKSUM_AT)? {
        return Err(damaged("the checksum of its superblock is wrong"));
    }
    let seed = crc32c(!0, part(bytes, 0x30, 16)?);
    Ok(if incompatible & CHECKSUM_V3 != 0 { Checksums::V3(seed) } else { Checksums::V2(seed) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A journal of 2000 blocks with some changes of 32 bits.
    fn parse(changes: &[(usize, u32)]) -> std::result::Result<Header, String> {
        let mut bytes = vec![0; LEN];
        let valid = [(0, JOURNAL_MAGIC), (4, VERSION_2), (0xC, 1024), (0x10, 2000), (0x14, 1), (0x1C, 5)];
        for (at, value) in valid.iter().chain(changes) {
            bytes[*at..*at + 4].copy_from_slice(&value.to_be_bytes());
        }
        Header::new(&bytes, 1024, 2000).map_err(|error| error.to_string())
    }

    #[test]
    fn fast_commits_take_the_end_of_the_journal() {
        let plain = parse(&[]).unwrap();
        assert_eq!((plain.end, plain.start, plain.fast_commits), (2000, Some(5), 2000..2000));
        let fast = parse(&[(0x28, FAST_COMMIT)]).unwrap();
        assert_eq!((fast.end, fast.fast_commits), (1744, 1745..2000));
        let fast = parse(&[(0x28, FAST_COMMIT), (0x54, 100)]).unwrap();
        assert_eq!((fast.end, fast.fast_commits), (1900, 1901..2000));
        assert_eq!(parse(&[(0x1C, 0)]).unwrap().start, None);
    }

    #[test]
    fn every_number_is_bounded() {
        for (change, why) in [
            ((0, 1), "another signature"),
            ((4, 5), "another signature"),
            ((0xC, 4096), "its blocks differ"),
            ((0x10, 2001), "the blocks 1 to 2001, but its file has 2000"),
            ((0x14, 0), "the blocks 0 to 2000"),
            ((0x14, 2000), "the blocks 2000 to 2000"),
            ((0x1C, 2000), "begins at block 2000, outside of 1 to 2000"),
            ((0x28, 0x40), "unknown features: 0x40"),
            ((0x28, CHECKSUM_V2 | CHECKSUM_V3), "two versions"),
            ((0x28, CHECKSUM_V3), "unknown checksum, number 0"),
        ] {
            let error = parse(&[change]).unwrap_err();
            assert!(error.contains(why), "{why}: {error}");
        }
    }
}
