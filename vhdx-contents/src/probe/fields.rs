//! Reads fields of raw structures. A field outside of the structure is `None`.

/// The bytes of a structure.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    /// Returns `len` bytes from `at` on.
    pub(super) fn bytes(self, at: usize, len: usize) -> Option<&'a [u8]> {
        self.0.get(at..at.checked_add(len)?)
    }

    /// Returns all bytes from `at` on.
    pub(super) fn rest(self, at: usize) -> Option<Fields<'a>> {
        self.0.get(at..).map(Fields)
    }

    /// Returns a field of a fixed length.
    pub(super) fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.bytes(at, N)?.try_into().ok()
    }

    /// Whether the bytes from `at` on are `expected`.
    pub(super) fn has(self, at: usize, expected: &[u8]) -> bool {
        self.bytes(at, expected.len()) == Some(expected)
    }

    pub(super) fn u8(self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    pub(super) fn le16(self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub(super) fn le32(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub(super) fn le64(self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }

    pub(super) fn be16(self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_be_bytes)
    }

    pub(super) fn be32(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_be_bytes)
    }

    pub(super) fn be64(self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_be_bytes)
    }
}

/// Returns `2^exponent` if the exponent is within `allowed`.
pub(super) fn power_of_two(exponent: u32, allowed: std::ops::RangeInclusive<u32>) -> Option<u32> {
    allowed.contains(&exponent).then(|| 1u32.checked_shl(exponent)).flatten()
}
