//! Numbers and texts as they are in messages: big-endian, and with their length before them.

/// The rest of a message that is parsed. Every method returns `None` if the message is too short.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Takes a fixed number of bytes.
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Takes bytes that have their length before them in 32 bits.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.u32()?).ok()?;
        let (field, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(field)
    }

    /// Returns whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_cut_off_is_none() {
        let mut fields = Fields::new(&[0, 1, 0, 0, 0, 2, b'a', b'b', 0xff, 0xff, 0xff, 0xff, 1]);
        assert_eq!(fields.u16(), Some(1));
        assert_eq!(fields.string(), Some(&b"ab"[..]));
        assert_eq!(fields.string(), None, "the length is greater than the rest");
        assert_eq!(Fields::new(&[0; 7]).u64(), None);
        assert!(Fields::new(&[]).is_empty());
    }
}
