//! What bytes are copied through.

use std::ops::{Deref, DerefMut};

/// The length of a cache line, in bytes.
const LINE: usize = 64;

/// Bytes from the start of a cache line on. There are processors on which a read into a large buffer takes twice as long
/// if the buffer begins anywhere else, and a large vector does: memory that the system gives has the allocator's own few
/// bytes in front.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// Never grows: it must stay where it is.
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// `len` zeros.
    pub(crate) fn new(len: usize) -> Self {
        let bytes = vec![0; len.saturating_add(LINE)];
        let start = bytes.as_ptr().align_offset(LINE).min(LINE); // it may not be known where memory is
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
    fn a_buffer_begins_with_a_cache_line() {
        for len in [0, 1, 63, 64, 65, 4096, 1 << 20] {
            let mut buffer = Buffer::new(len);
            assert_eq!(*buffer, *vec![0; len]);
            assert_eq!(buffer.as_ptr() as usize % LINE, 0);
            buffer.fill(1);
            assert_eq!(*buffer, *vec![1; len]);
        }
    }
}
