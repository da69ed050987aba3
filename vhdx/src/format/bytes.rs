//! Little-endian encoding, GUIDs and the checksum that the structures share.

use nom::IResult;
use nom::Parser;
use nom::bytes::complete::take;
use nom::combinator::map_opt;
use uuid::Uuid;

/// What the parsers of this crate give. Why one failed does not matter: validation says what is wrong.
pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, ()>;

/// Collects the bytes of a structure. Numbers are little-endian; a GUID's first three groups are too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// No bytes yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds bytes as they are.
    pub fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds 2 bytes.
    pub fn u16(&mut self, number: u16) -> &mut Self {
        self.put(&number.to_le_bytes())
    }

    /// Adds 4 bytes.
    pub fn u32(&mut self, number: u32) -> &mut Self {
        self.put(&number.to_le_bytes())
    }

    /// Adds 8 bytes.
    pub fn u64(&mut self, number: u64) -> &mut Self {
        self.put(&number.to_le_bytes())
    }

    /// Adds 16 bytes.
    pub fn guid(&mut self, guid: Uuid) -> &mut Self {
        self.put(&guid.to_bytes_le())
    }

    /// Adds zeros until there are `len` bytes; changes nothing if there are as many already.
    pub fn pad_to(&mut self, len: usize) -> &mut Self {
        self.0.resize(self.0.len().max(len), 0);
        self
    }

    /// The bytes.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

/// Writes the checksum of the whole slice into its bytes 4 to 7. A slice shorter than that stays as it is.
///
/// The checksum is the CRC-32C with those bytes taken as zero ([MS-VHDX] 2.2.2).
pub fn seal(bytes: &mut [u8]) {
    let Some(checksum) = unsealed_checksum(bytes) else { return };
    if let Some(field) = bytes.get_mut(4..8) {
        field.copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Whether bytes 4 to 7 hold the checksum that [`seal`] would write there.
pub fn checksum_matches(bytes: &[u8]) -> bool {
    let checksum = unsealed_checksum(bytes);
    checksum.is_some() && checksum == stored_checksum(bytes)
}

/// The checksum in bytes 4 to 7.
pub(crate) fn stored_checksum(bytes: &[u8]) -> Option<u32> {
    bytes.get(4..8)?.try_into().ok().map(u32::from_le_bytes)
}

/// The CRC-32C of the whole slice with bytes 4 to 7 taken as zero.
pub(crate) fn unsealed_checksum(bytes: &[u8]) -> Option<u32> {
    let (signature, rest) = bytes.split_at_checked(4)?;
    let start = crc32c::crc32c_append(crc32c::crc32c(signature), &[0; 4]);
    Some(crc32c::crc32c_append(start, rest.get(4..)?))
}

/// Takes a GUID of 16 bytes, the first three groups little-endian.
pub(crate) fn guid(input: &[u8]) -> Parsed<'_, Uuid> {
    map_opt(take(16usize), |bytes: &[u8]| Uuid::from_slice_le(bytes).ok()).parse(input)
}

/// Takes `N` bytes.
pub(crate) fn array<const N: usize>(input: &[u8]) -> Parsed<'_, [u8; N]> {
    map_opt(take(N), |bytes: &[u8]| bytes.try_into().ok()).parse(input)
}

/// How many bytes are looked at before the first of them decides: few enough to stop early, and a whole number of the
/// widest registers.
const STRIDE: usize = 128;

/// Whether every byte is zero.
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
    fn the_checksum_is_the_castagnoli_one_with_its_own_bytes_as_zero() {
        // The well-known check value, of nine bytes.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        let mut bytes = *b"headCRC!rest";
        seal(&mut bytes);
        assert_eq!(bytes[4..8], crc32c::crc32c(b"head\0\0\0\0rest").to_le_bytes());
        assert!(checksum_matches(&bytes));
    }

    #[test]
    fn what_has_no_room_for_a_checksum_has_none() {
        for len in 0..8 {
            let mut bytes = vec![7; len];
            seal(&mut bytes);
            assert_eq!(bytes, vec![7; len]);
            assert!(!checksum_matches(&bytes));
        }
    }

    #[test]
    fn a_single_byte_anywhere_is_seen() {
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
