//! Numbers at fixed places of a structure, little-endian.

use crate::error::{Error, Result};

/// The bytes of a structure, with its name for errors.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    what: &'a str,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8], what: &'a str) -> Self {
        Self { bytes, what }
    }

    pub(super) fn bytes(&self, at: usize, len: usize) -> Result<&'a [u8]> {
        let end = at.checked_add(len);
        let found = end.and_then(|end| self.bytes.get(at..end));
        found.ok_or_else(|| self.damaged(format!("it ends before its byte {}", at.saturating_add(len))))
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N]> {
        let found = self.bytes(at, N)?.first_chunk::<N>().copied();
        found.ok_or_else(|| self.damaged("it is too short"))
    }

    pub(super) fn u8(&self, at: usize) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array(at)?))
    }

    pub(super) fn u16(&self, at: usize) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array(at)?))
    }

    pub(super) fn u32(&self, at: usize) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(at)?))
    }

    pub(super) fn u64(&self, at: usize) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(at)?))
    }

    /// Returns `len` UTF-16 units.
    pub(super) fn units(&self, at: usize, len: usize) -> Result<Vec<u16>> {
        Ok(units(self.bytes(at, len.saturating_mul(2))?))
    }

    pub(super) fn damaged(&self, why: impl Into<String>) -> Error {
        Error::damaged(self.what, why)
    }
}

/// Returns the 16-bit numbers in `bytes`. A last single byte is not one.
pub(super) fn units(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().copied().map(u16::from_le_bytes).collect()
}
