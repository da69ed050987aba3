//! What the structures of the container share: parsing results, checksums, and bounded reads.

use std::io;

use nom::IResult;

use super::replayed::Replayed;
use crate::error::{Error, Result};

/// The result of a parser. It has no reason for a failure: the caller knows which structure is damaged.
pub(super) type Parsed<'a, T> = IResult<&'a [u8], T, ()>;

/// Returns whether the 4 bytes at `at` contain the CRC-32 of the slice with zeros in these bytes.
///
/// The CRC-32 is that of IEEE 802.3, not CRC-32C.
pub(super) fn checksum_matches(bytes: &[u8], at: usize) -> bool {
    let Some((before, rest)) = bytes.split_at_checked(at) else { return false };
    let Some((stored, after)) = rest.split_first_chunk::<4>() else { return false };
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(before);
    hasher.update(&[0; 4]);
    hasher.update(after);
    hasher.finalize() == u32::from_le_bytes(*stored)
}

/// Reads `len` bytes, or fewer if the file ends before. The caller bounds `len`.
pub(crate) fn read_up_to(file: &Replayed, offset: u64, len: u64) -> Result<Vec<u8>> {
    let left = file.size().checked_sub(offset);
    let len = left.map_or(0, |left| left.min(len)); // nothing is left past the end
    let len = usize::try_from(len).map_err(|error| Error::read(io::Error::other(error)))?;
    let mut bytes = vec![0; len];
    if bytes.is_empty() {
        return Ok(bytes); // perhaps past the end
    }
    file.read_exact_at(&mut bytes, offset).map_err(Error::read)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc32_with_zeros_in_its_own_bytes() {
        // The well-known check value of CRC-32.
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
        let sum = crc32fast::hash(b"ab\0\0\0\0cd");
        let mut bytes = *b"ab....cd";
        bytes[2..6].copy_from_slice(&sum.to_le_bytes());
        assert!(checksum_matches(&bytes, 2));
        for len in 0..8 {
            assert!(!checksum_matches(&bytes[..len], 2));
        }
        bytes[7] ^= 1;
        assert!(!checksum_matches(&bytes, 2));
        assert!(!checksum_matches(&bytes, 9));
    }
}
