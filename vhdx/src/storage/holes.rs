//! Locates holes: ranges of a file that have no space allocated on the host yet.

use std::ops::Range;

use super::ReadAt;
use crate::error::{Bounded, Error, Result};
use crate::units::FileOffset;

/// Counts the bytes in holes, which take new space when they are written.
///
/// The last answer of the host is cached, so a file without holes is queried once.
pub(crate) struct Holes<'a> {
    storage: &'a dyn ReadAt,
    end: FileOffset,
    /// `next` is the first hole for every offset from here to its end.
    from: FileOffset,
    /// The cached hole.
    next: Range<FileOffset>,
}

impl<'a> Holes<'a> {
    /// Covers the storage up to `end`.
    pub(crate) fn new(storage: &'a dyn ReadAt, end: FileOffset) -> Self {
        let (from, next) = (FileOffset::default(), FileOffset::default()..FileOffset::default());
        Self { storage, end, from, next }
    }

    /// Returns how many bytes of `range`, up to `end`, may take new space when they are written.
    ///
    /// Bytes count unless the host reports them as allocated.
    ///
    /// # Errors
    /// [`Error::Io`] if the host cannot be queried.
    pub(crate) fn bytes_in(&mut self, range: Range<FileOffset>) -> Result<u64> {
        let (mut bytes, mut at, last) = (0_u64, range.start, range.end.min(self.end));
        while at < last {
            let hole = self.hole_after(at)?;
            let end = hole.end.min(last);
            bytes = bytes.plus(end.minus(hole.start.clamp(at, end))?)?;
            at = end;
        }
        Ok(bytes)
    }

    /// Returns the first hole that ends after `at`.
    ///
    /// All bytes between `at` and the hole are allocated. If the host does not report holes, everything from `at` on is
    /// one.
    fn hole_after(&mut self, at: FileOffset) -> Result<Range<FileOffset>> {
        if !(self.from..self.next.end).contains(&at) {
            let found = self.storage.hole_after(at).map_err(|e| Error::io("find its holes", at, e))?;
            let unknown = at..FileOffset::new(u64::MAX);
            // An unknown hole counts as the largest one, as said above.
            (self.from, self.next) = (at, found.filter(|hole| hole.end > at).unwrap_or(unknown));
        }
        Ok(self.next.clone())
    }
}

#[cfg(test)]
mod tests;
