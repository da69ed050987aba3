//! Buffers for payloads that are used again, because new memory costs as much time as a copy of its content.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The length of the smallest buffer.
const SMALLEST: usize = 64 << 10;
/// The most bytes that are kept for later.
const KEPT: usize = 32 << 20;

/// The buffers that nobody uses at the moment.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// A buffer with any content. It goes back when it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    home: Arc<Buffers>,
    /// Not shorter than `len`; empty if that is 0.
    bytes: Vec<u8>,
    len: usize,
}

impl Buffers {
    /// Returns the bytes that a buffer of `len` bytes takes.
    pub(super) fn size(len: usize) -> usize {
        // A payload has at most 2^32 bytes. Without rounding, no buffer would fit a second time.
        len.checked_next_power_of_two().unwrap_or(len).max(SMALLEST)
    }

    /// Returns a buffer of `len` bytes. It has the content of an earlier use: the caller overwrites all of it.
    pub(super) fn take(self: &Arc<Self>, len: usize) -> Buffer {
        if len == 0 {
            return Buffer { home: Arc::clone(self), bytes: Vec::new(), len };
        }
        let size = Self::size(len);
        let mut kept = self.lock();
        let found = kept.buffers.iter().rposition(|buffer| buffer.len() == size);
        let found = found.map(|place| kept.buffers.swap_remove(place));
        if found.is_some() {
            kept.bytes -= size;
        }
        drop(kept);
        Buffer { home: Arc::clone(self), bytes: found.unwrap_or_else(|| vec![0; size]), len }
    }

    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.is_empty() {
            return;
        }
        let mut kept = self.home.lock();
        if kept.bytes + bytes.len() <= KEPT {
            kept.bytes += bytes.len();
            kept.buffers.push(bytes);
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_and_has_the_length_that_was_asked_for() {
        let buffers = Arc::new(Buffers::default());
        let mut first = buffers.take(100_000);
        first.fill(7);
        drop(first);
        let second = buffers.take(120_000);
        assert_eq!((second.len(), second[0], second[119_999]), (120_000, 7, 0));
        assert_eq!(buffers.lock().bytes, 0);
        drop(second);
        assert_eq!(buffers.lock().bytes, 131_072);
        drop(buffers.take(0));
        assert_eq!(buffers.lock().buffers.len(), 1);
    }

    #[test]
    fn not_more_than_the_limit_is_kept() {
        let buffers = Arc::new(Buffers::default());
        let taken: Vec<Buffer> = (0..3).map(|_| buffers.take(16 << 20)).collect();
        drop(taken);
        assert_eq!(buffers.lock().bytes, 32 << 20);
    }
}
