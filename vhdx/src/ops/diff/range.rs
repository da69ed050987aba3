//! Defines a range that changed.

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
}
