//! Content that is in the inode: the place of the map, and then an extended attribute.

use super::inode::Inode;
use super::number::{Checked, byte, le16, le32, part, to_usize};
use crate::error::{Error, Result};

const MAGIC: u32 = 0xEA02_0000;
const HEADER: usize = 4;
const ENTRY: usize = 16;
/// The attributes whose names begin with `system.`.
const SYSTEM: u8 = 7;

/// Returns the part of the content in the place of the map, and the rest of it. Both may be longer than the content.
///
/// # Errors
/// [`Error::Damaged`].
pub(super) fn parts(inode: &Inode) -> Result<(&[u8], &[u8])> {
    let rest =
        rest(inode.attributes()?).map_err(|_| damaged(inode, "its extended attributes are invalid"))?;
    Ok((inode.map()?, rest))
}

/// Returns the content of an inode: as many bytes as its size, or fewer if a hole follows.
///
/// # Errors
/// [`Error::Damaged`].
pub(super) fn content(inode: &Inode) -> Result<Vec<u8>> {
    let (first, rest) = parts(inode)?;
    Ok(first.iter().chain(rest).copied().take(to_usize(inode.size)?).collect())
}

fn damaged(inode: &Inode, why: impl Into<String>) -> Error {
    Error::damaged(format!("the content of {}", inode.name()), why)
}

/// Returns the value of the attribute `system.data`; no bytes if there is none.
fn rest(attributes: &[u8]) -> Result<&[u8]> {
    if attributes.len() < HEADER || le32(attributes, 0)? != MAGIC {
        return Ok(&[]);
    }
    let entries = part(attributes, HEADER, attributes.len().minus(HEADER)?)?;
    let mut at = 0;
    // Every step moves on by at least 16 bytes, so the loop ends.
    while at.plus(ENTRY)? <= entries.len() && le32(entries, at)? != 0 {
        let entry = part(entries, at, ENTRY)?;
        let name = part(entries, at.plus(ENTRY)?, usize::from(byte(entry, 0)?))?;
        if byte(entry, 1)? == SYSTEM && name == b"data" {
            if le32(entry, 4)? != 0 {
                return Err(Error::damaged("the attribute", "its value is in another inode"));
            }
            return part(entries, usize::from(le16(entry, 2)?), to_usize(u64::from(le32(entry, 8)?))?);
        }
        at = at.plus(ENTRY)?.plus(name.len().next_multiple_of(4))?;
    }
    Ok(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attributes with one entry, whose value is `abc`.
    fn attributes(index: u8, name: &[u8; 4], value_at: u16) -> Vec<u8> {
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        bytes.extend([4, index]);
        bytes.extend(value_at.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(3u32.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(name);
        bytes.extend([0; 4]);
        bytes.extend(b"abc");
        bytes
    }

    #[test]
    fn the_value_is_found_by_name() {
        assert_eq!(rest(&attributes(SYSTEM, b"data", 24)).unwrap(), b"abc");
        assert_eq!(rest(&attributes(1, b"data", 24)).unwrap(), b"");
        assert_eq!(rest(&attributes(SYSTEM, b"date", 24)).unwrap(), b"");
        assert_eq!(rest(&[]).unwrap(), b"");
    }

    #[test]
    fn a_value_outside_of_the_inode_is_an_error() {
        assert!(rest(&attributes(SYSTEM, b"data", 25)).is_err());
    }
}
