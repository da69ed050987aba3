//! What of a storage takes space only when it is written to.

use std::ops::Range;

use super::ReadAt;
use crate::error::{Error, Result};
use crate::units::FileOffset;

/// Counts the bytes that take space when they are written. What was asked last is remembered: a file without holes is
/// asked once.
pub(crate) struct Holes<'a> {
    storage: &'a dyn ReadAt,
    end: FileOffset,
    /// From where on it is known which hole is the next one.
    from: FileOffset,
    next: Range<FileOffset>,
}

impl<'a> Holes<'a> {
    /// Of the storage as far as `end`.
    pub(crate) fn new(storage: &'a dyn ReadAt, end: FileOffset) -> Self {
        let (from, next) = (FileOffset::default(), FileOffset::default()..FileOffset::default());
        Self { storage, end, from, next }
    }

    /// How many bytes of the range, as far as it lies before the end, may take space: all that are not known to have some.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn bytes_in(&mut self, range: Range<FileOffset>) -> Result<u64> {
        let (mut bytes, mut at, last) = (0_u64, range.start, range.end.min(self.end));
        while at < last {
            let hole = self.hole_after(at)?;
            let end = hole.end.min(last);
            bytes = bytes.saturating_add(end.since(hole.start.max(at)));
            at = end;
        }
        Ok(bytes)
    }

    /// A hole that ends after `at`, and before which every byte from there on has space.
    fn hole_after(&mut self, at: FileOffset) -> Result<Range<FileOffset>> {
        if !(self.from..self.next.end).contains(&at) {
            let found = self.storage.hole_after(at).map_err(|e| Error::io("look for holes", at, e))?;
            let unknown = at..FileOffset::new(u64::MAX);
            (self.from, self.next) = (at, found.filter(|hole| hole.end > at).unwrap_or(unknown));
        }
        Ok(self.next.clone())
    }
}

#[cfg(test)]
mod tests;
