//! Encodes little-endian numbers and GUIDs, and computes the checksum that the structures share.

use nom::IResult;
use nom::Parser;
use nom::bytes::complete::take;
use nom::combinator::map_opt;
use uuid::Uuid;

/// The result of a parser. It has no reason for a failure, because validation reports what is wrong.
pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, ()>;

/// A builder for the bytes of a structure. Numbers and the first three groups of a GUID are little-endian.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// Creates an encoder without bytes.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends bytes unchanged.
    pub fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends a number of 2 bytes.
    pub fn u16(&mut self, number: u16) -> &mut Self {
        self.put(&number.to_le_bytes())
    }

    /// Appends a number of 4 bytes.
    pub fn u32(&mut self, number: u32) -> &mut Self {
        self.put(&number.to_le_bytes())
    }

    /// Appends a number of 8 bytes.
    pub fn u64(&mut self, number: u64) -> &mut Self {
        self.put(&number.to_le_bytes())
    }

    /// Appends a GUID of 16 bytes.
    pub fn guid(&mut self, guid: Uuid) -> &mut Self {
        self.put(&guid.to_bytes_le())
    }

    /// Appends zeros up to a length of `len` bytes. Does nothing if the length is at least `len` already.
    pub fn pad_to(&mut self, len: usize) -> &mut Self {
        self.0.resize(self.0.len().max(len), 0);
        self
    }

    /// Returns the number of bytes so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no bytes yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the bytes.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

/// Returns the offset in bytes of an entry of a table: after a header, in entries of one size.
// A product and a sum of numbers of 32 bits never exceed 64 bits.
#[allow(clippy::arithmetic_side_effects)]
pub(crate) fn entry_offset(header_size: u32, entry_size: u32, index: u32) -> u64 {
    u64::from(header_size) + u64::from(entry_size) * u64::from(index)
}

/// Writes the checksum of the whole slice into its bytes 4 to 7. A slice of less than 8 bytes is not changed.
///
/// The checksum is the CRC-32C of the slice with zeros in those bytes ([MS-VHDX] 2.2.2).
pub fn seal(bytes: &mut [u8]) {
    let Some(checksum) = unsealed_checksum(bytes) else { return };
    if let Some(field) = bytes.get_mut(4..8) {
        field.copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Returns whether bytes 4 to 7 contain the checksum that [`seal`] would write there.
pub fn checksum_matches(bytes: &[u8]) -> bool {
    let checksum = unsealed_checksum(bytes);
    checksum.is_some() && checksum == stored_checksum(bytes)
}

/// Returns the checksum in bytes 4 to 7.
pub(crate) fn stored_checksum(bytes: &[u8]) -> Option<u32> {
    bytes.get(4..8)?.try_into().ok().map(u32::from_le_bytes)
}

/// Returns the CRC-32C of the whole slice with zeros in bytes 4 to 7.
pub(crate) fn unsealed_checksum(bytes: &[u8]) -> Option<u32> {
    let (signature, rest) = bytes.split_at_checked(4)?;
    let start = crc32c::crc32c_append(crc32c::crc32c(signature), &[0; 4]);
    Some(crc32c::crc32c_append(start, rest.get(4..)?))
}

/// Parses a GUID of 16 bytes, the first three groups little-endian.
pub(crate) fn guid(input: &[u8]) -> Parsed<'_, Uuid> {
    map_opt(take(16usize), |bytes: &[u8]| Uuid::from_slice_le(bytes).ok()).parse(input)
}

/// Parses `N` bytes.
pub(crate) fn array<const N: usize>(input: &[u8]) -> Parsed<'_, [u8; N]> {
    map_opt(take(N), |bytes: &[u8]| bytes.try_into().ok()).parse(input)
}

/// The number of bytes that are combined before they are tested: few enough to stop early, and a multiple of the
/// widest registers.
const STRIDE: usize = 128;

/// Returns whether every byte is zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(STRIDE).all(|stride| stride.iter().fold(0, |sum, byte| sum | byte) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_guids_are_little_endian() {
        let mut encoder = Encoder::new();
        encoder.u16(0x0102).u32(0x0304_0506).u64(0x0708_090a_0b0c_0d0e);
        encoder.guid(uuid::uuid!("00112233-4455-6677-8899-aabbccddeeff")).pad_to(32).pad_to(3);
        let expected = super::super::testing::hex(
            "0201 06050403 0e0d0c0b0a090807 33221100 5544 7766 8899aabbccddeeff 0000",
        );
        assert_eq!(encoder.into_vec(), expected);
    }

    #[test]
    fn the_checksum_is_crc32c_with_zeros_in_its_own_bytes() {
        // The well-known check value of CRC-32C.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        let mut bytes = *b"headCRC!rest";
        seal(&mut bytes);
        assert_eq!(bytes[4..8], crc32c::crc32c(b"head\0\0\0\0rest").to_le_bytes());
        assert!(checksum_matches(&bytes));
    }

    #[test]
    fn a_slice_too_short_for_a_checksum_is_not_changed() {
        for len in 0..8 {
            let mut bytes = vec![7; len];
            seal(&mut bytes);
            assert_eq!(bytes, vec![7; len]);
            assert!(!checksum_matches(&bytes));
        }
    }

    #[test]
    fn a_single_nonzero_byte_is_found_anywhere() {
        for len in [1, 127, 128, 129, 4096] {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes));
            for at in 0..len {
                bytes[at] = 0x80;
                assert!(!is_zero(&bytes), "{at} of {len}");
                bytes[at] = 0;
            }
        }
    }

    #[test]
    fn a_guid_needs_16_bytes() {
        assert!(guid(&[0; 15]).is_err());
        assert_eq!(guid(&[0; 17]), Ok((&[0; 1][..], Uuid::nil())));
    }
}
