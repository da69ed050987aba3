//! Defines a range that changed.

use crate::file::{Extent, Source};
use crate::units::DiskOffset;

/// A range of the disk that changed, or may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ChangedRange {
    /// The first byte.
    pub start: DiskOffset,
    /// The length in bytes; never 0.
    pub len: u64,
    /// Whether the newer disk reads as zeros there. No data needs to be read to know this.
    pub is_zero: bool,
}

impl ChangedRange {
    /// Returns the end of the range: one past its last byte.
    pub fn end(&self) -> DiskOffset {
        // In range for every range of a disk. A caller can make others.
        self.start.saturating_add(self.len)
    }

    /// Appends `next` if it continues this range in the same way, and returns whether it does.
    pub(super) fn try_join(&mut self, next: &Self) -> bool {
        let joins = self.end() == next.start && self.is_zero == next.is_zero;
        let joined = self.len.checked_add(next.len).filter(|_| joins);
        if let Some(len) = joined {
            self.len = len;
        }
        joined.is_some()
    }
}

impl From<Extent> for ChangedRange {
    /// Returns the range of a changed extent of the newer disk.
    fn from(Extent { start, len, source }: Extent) -> Self {
        Self { start, len, is_zero: !matches!(source, Source::Data { .. }) }
    }
}
