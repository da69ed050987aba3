//! Entries of folders. A folder with an index (htree) is read like any other: its index looks like unused entries.

use super::checksum::crc32c;
use super::inode::Inode;
use super::number::{Checked, byte, le16, le32, part, to_usize};
use crate::error::{Error, Result};
use crate::files::Kind;

/// The length of an entry without its name.
const HEADER: usize = 8;
/// The length of the shortest entry, and of the one that has the checksum of the block.
const SHORTEST: usize = 12;
/// The type of file of the entry that has the checksum.
const CHECKSUM: u8 = 0xDE;
const LARGEST_BLOCK: usize = 64 << 10;

/// An entry of a folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RawEntry {
    pub(super) inode: u32,
    /// At least one byte, and neither `.` nor `..`.
    pub(super) name: Vec<u8>,
    /// `None` if only the inode has the kind.
    pub(super) kind: Option<Kind>,
}

/// Parses entries of one folder.
pub(super) struct Parser<'i> {
    pub(super) folder: &'i Inode,
    pub(super) has_file_type: bool,
}

impl Parser<'_> {
    /// Returns the entries of a block. `index` is the number of the block in the folder.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub(super) fn block(&self, index: u64, bytes: &[u8]) -> Result<Vec<RawEntry>> {
        self.ensure_checksum(index, bytes)?;
        self.entries(bytes)
    }

    /// Returns the entries that fill `bytes`.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub(super) fn entries(&self, bytes: &[u8]) -> Result<Vec<RawEntry>> {
        let mut entries = Vec::new();
        let mut at = 0;
        // An entry has at least 12 bytes, so the loop ends.
        while at < bytes.len() {
            let len = self.entry_len(bytes, at)?;
            let entry =
                part(bytes, at, len).map_err(|_| self.damaged("an entry is longer than its block"))?;
            entries.extend(self.entry(entry)?);
            at = at.plus(len)?;
        }
        Ok(entries)
    }

    pub(super) fn damaged(&self, why: &str) -> Error {
        Error::damaged(format!("the folder with {}", self.folder.name()), why)
    }

    fn entry_len(&self, bytes: &[u8], at: usize) -> Result<usize> {
        let stored = part(bytes, at, HEADER).and_then(|entry| le16(entry, 4));
        let stored = usize::from(stored.map_err(|_| self.damaged("a block ends within an entry"))?);
        let len = match stored {
            // In blocks of 64 KiB, two bits of the length are where smaller blocks have zeros.
            0 | 0xFFFF if bytes.len() >= LARGEST_BLOCK => LARGEST_BLOCK,
            _ if bytes.len() >= LARGEST_BLOCK => stored & !3 | (stored & 3) << 16,
            _ => stored,
        };
        if len < SHORTEST || len % 4 != 0 {
            return Err(self.damaged("an entry has an invalid length"));
        }
        Ok(len)
    }

    fn entry(&self, bytes: &[u8]) -> Result<Option<RawEntry>> {
        let inode = le32(bytes, 0)?;
        if inode == 0 {
            return Ok(None);
        }
        // Without types of files, this byte is the high half of the length, which is 0.
        let kind = if self.has_file_type { kind(byte(bytes, 7)?) } else { None };
        let name = part(bytes, HEADER, usize::from(byte(bytes, 6)?));
        let name = name.map_err(|_| self.damaged("a name is longer than its entry"))?;
        match name {
            b"" => Err(self.damaged("an entry has no name")),
            b"." | b".." => Ok(None),
            _ => Ok(Some(RawEntry { inode, name: name.to_vec(), kind })),
        }
    }

    /// Checks the checksum at the end of a block with entries. Blocks of the index have another, and nothing is read
    /// from them.
    fn ensure_checksum(&self, index: u64, bytes: &[u8]) -> Result<()> {
        let Some(seed) = self.folder.checksum_seed else { return Ok(()) };
        let content = bytes.len().minus(SHORTEST)?;
        let tail = part(bytes, content, SHORTEST)?;
        let is_tail = le32(tail, 0)? == 0
            && usize::from(le16(tail, 4)?) == SHORTEST
            && byte(tail, 6)? == 0
            && byte(tail, 7)? == CHECKSUM;
        if is_tail {
            return match crc32c(seed, part(bytes, 0, content)?) == le32(tail, HEADER)? {
                true => Ok(()),
                false => Err(self.damaged("the checksum of a block is wrong")),
            };
        }
        let is_index = self.folder.is_indexed
            && (index == 0 || le32(bytes, 0)? == 0 && self.entry_len(bytes, 0)? == bytes.len());
        if is_index { Ok(()) } else { Err(self.damaged("a block has no checksum")) }
    }
}

/// The range of an inline folder's content that has entries: the first bytes name the parent.
pub(super) fn inline_entries(first: &[u8]) -> Result<&[u8]> {
    part(first, 4, first.len().minus(4)?)
}

/// Checks that a folder has whole blocks, and not more than the file system.
///
/// # Errors
/// [`Error::Damaged`].
pub(super) fn ensure_size(folder: &Inode, block_size: u64, blocks_of_volume: u64) -> Result<()> {
    if folder.size.rest(block_size)? != 0 || folder.size.per(block_size)? > blocks_of_volume {
        let why = format!("invalid size {}", folder.size);
        return Err(Error::damaged(format!("the folder with {}", folder.name()), why));
    }
    Ok(())
}

fn kind(number: u8) -> Option<Kind> {
    Some(match number {
        1 => Kind::File,
        2 => Kind::Folder,
        3 => Kind::Other("character device"),
        4 => Kind::Other("block device"),
        5 => Kind::Other("pipe"),
        6 => Kind::Other("socket"),
        7 => Kind::Link,
        _ => return None,
    })
}

/// Splits bytes into blocks.
pub(super) fn blocks(bytes: &[u8], block_size: u64) -> Result<impl Iterator<Item = &[u8]>> {
    let size = to_usize(block_size)?;
    Ok(bytes.chunks_exact(size.max(1))) // a block is never empty
}

#[cfg(test)]
mod tests {
    use super::super::inode::ContentKind;
    use super::*;

    fn entry(inode: u32, len: u16, name: &[u8], kind: u8) -> Vec<u8> {
        let name_len = u8::try_from(name.len()).unwrap();
        let mut bytes = [&inode.to_le_bytes()[..], &len.to_le_bytes(), &[name_len, kind], name].concat();
        bytes.resize(bytes.len().max(usize::from(len)), 0);
        bytes
    }

    fn parse(bytes: &[u8], has_file_type: bool) -> std::result::Result<Vec<RawEntry>, String> {
        let folder = Inode::empty(2, Kind::Folder, ContentKind::BlockMap);
        Parser { folder: &folder, has_file_type }.block(0, bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn unused_entries_and_dots_are_left_out() {
        let bytes = [
            entry(2, 12, b".", 2),
            entry(2, 12, b"..", 2),
            entry(0, 16, b"gone", 1),
            entry(9, 24, b"a/b", 7),
        ];
        let found = RawEntry { inode: 9, name: b"a/b".to_vec(), kind: Some(Kind::Link) };
        assert_eq!(parse(&bytes.concat(), true).unwrap(), [found]);
        assert_eq!(parse(&bytes.concat(), false).unwrap()[0].kind, None);
    }

    #[test]
    fn invalid_entries_are_errors() {
        for (bytes, why) in [
            (entry(9, 0, b"abcd", 1), "an invalid length"),
            (entry(9, 8, b"abcd", 1), "an invalid length"),
            (entry(9, 14, b"abcd", 1), "an invalid length"),
            (entry(9, 12, b"abcdefgh", 1), "a name is longer"),
            (entry(9, 12, b"", 1), "no name"),
            ([entry(9, 12, b"a", 1), vec![0; 4]].concat(), "ends within an entry"),
            (entry(9, 16, b"a", 1)[..12].to_vec(), "longer than its block"),
        ] {
            let error = parse(&bytes, true).unwrap_err();
            assert!(error.contains(why), "{why}: {error}");
        }
    }

    #[test]
    fn an_entry_fills_a_block_of_64_kib() {
        let mut bytes = entry(9, 0xFFFF, b"a", 1);
        bytes.resize(LARGEST_BLOCK, 0);
        assert_eq!(parse(&bytes, true).unwrap().len(), 1);
    }

    #[test]
    fn a_wrong_checksum_is_an_error() {
        let mut folder = Inode::empty(2, Kind::Folder, ContentKind::BlockMap);
        folder.checksum_seed = Some(1);
        let parser = Parser { folder: &folder, has_file_type: true };
        let mut bytes = [entry(9, 116, b"a", 1), entry(0, 12, b"", CHECKSUM)].concat();
        assert!(parser.block(0, &bytes).unwrap_err().to_string().contains("checksum of a block is wrong"));
        let sum = crc32c(1, &bytes[..116]);
        bytes[124..].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(parser.block(0, &bytes).unwrap().len(), 1);
        bytes[123] = 0;
        assert!(parser.block(0, &bytes).unwrap_err().to_string().contains("has no checksum"));
    }
}
