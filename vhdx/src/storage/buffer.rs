//! A buffer for copying bytes.

use std::ops::{Deref, DerefMut};

/// The length of a cache line, in bytes.
const LINE: usize = 64;

/// Bytes that start at a cache line.
///
/// On some processors, a read into a large buffer takes twice as long if the buffer starts anywhere else. A large `Vec`
/// does, because the allocator puts a few bytes of its own in front of it.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// Never grows, because the bytes must not move.
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// Returns a buffer of `len` zeros.
    pub(crate) fn new(len: usize) -> Self {
        let bytes = vec![0; len + LINE];
        let start = bytes.as_ptr().align_offset(LINE).min(LINE); // it may return `usize::MAX`
        Self { bytes, start, len }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..][..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_starts_at_a_cache_line() {
        for len in [0, 1, 63, 64, 65, 4096, 1 << 20] {
            let mut buffer = Buffer::new(len);
            assert_eq!(*buffer, *vec![0; len]);
            assert_eq!(buffer.as_ptr() as usize % LINE, 0);
            buffer.fill(1);
            assert_eq!(*buffer, *vec![1; len]);
        }
    }
}
