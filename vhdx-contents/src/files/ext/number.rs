//! Arithmetic that reports an overflow, and numbers in untrusted bytes.

use crate::error::{Error, Result};

/// Arithmetic on numbers that come from a disk. An overflow is an error, because no valid file system causes one.
pub(super) trait Checked: Copy + Sized {
    fn plus(self, other: Self) -> Result<Self>;
    fn minus(self, other: Self) -> Result<Self>;
    fn times(self, other: Self) -> Result<Self>;
    fn per(self, other: Self) -> Result<Self>;
    fn rest(self, other: Self) -> Result<Self>;
}

macro_rules! checked {
    ($($number:ty),*) => {$(
        impl Checked for $number {
            fn plus(self, other: Self) -> Result<Self> {
                self.checked_add(other).ok_or_else(out_of_range)
            }
            fn minus(self, other: Self) -> Result<Self> {
                self.checked_sub(other).ok_or_else(out_of_range)
            }
            fn times(self, other: Self) -> Result<Self> {
                self.checked_mul(other).ok_or_else(out_of_range)
            }
            fn per(self, other: Self) -> Result<Self> {
                self.checked_div(other).ok_or_else(out_of_range)
            }
            fn rest(self, other: Self) -> Result<Self> {
                self.checked_rem(other).ok_or_else(out_of_range)
            }
        }
    )*};
}

checked!(u32, u64, usize);

fn out_of_range() -> Error {
    Error::damaged("the ext file system", "a number in it is out of range")
}

pub(super) fn to_usize(number: u64) -> Result<usize> {
    usize::try_from(number).map_err(|_| out_of_range())
}

/// Returns `len` bytes from `at` on.
pub(super) fn part(bytes: &[u8], at: usize, len: usize) -> Result<&[u8]> {
    let end = at.checked_add(len).ok_or_else(out_of_range)?;
    bytes
        .get(at..end)
        .ok_or_else(|| Error::damaged("the ext file system", "a structure in it ends too early"))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let mut array = [0; N];
    array.copy_from_slice(part(bytes, at, N)?);
    Ok(array)
}

pub(super) fn byte(bytes: &[u8], at: usize) -> Result<u8> {
    array::<1>(bytes, at).map(|[byte]| byte)
}

pub(super) fn le16(bytes: &[u8], at: usize) -> Result<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

pub(super) fn le32(bytes: &[u8], at: usize) -> Result<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

pub(super) fn be16(bytes: &[u8], at: usize) -> Result<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

pub(super) fn be32(bytes: &[u8], at: usize) -> Result<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

pub(super) fn be64(bytes: &[u8], at: usize) -> Result<u64> {
    array(bytes, at).map(u64::from_be_bytes)
}

/// Joins the two halves of a number that are stored apart.
pub(super) fn joined(high: impl Into<u64>, low: u32) -> u64 {
    high.into() << 32 | u64::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_past_the_end_are_errors() {
        let bytes = [1, 2, 3, 4];
        assert_eq!(le16(&bytes, 1).unwrap(), 0x0302);
        assert_eq!(be32(&bytes, 0).unwrap(), 0x0102_0304);
        assert!(le16(&bytes, 3).is_err());
        assert!(le16(&bytes, usize::MAX).is_err());
        assert!(be64(&bytes, 0).is_err());
    }

    #[test]
    fn overflows_are_errors() {
        assert!(u64::MAX.plus(1).is_err());
        assert!(0u32.minus(1).is_err());
        assert!(u64::MAX.times(2).is_err());
        assert!(1u64.per(0).is_err());
        assert!(1u64.rest(0).is_err());
        assert_eq!(joined(1u16, 2), 0x1_0000_0002);
    }
}
