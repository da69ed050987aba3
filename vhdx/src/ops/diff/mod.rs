//! Finds what changed between two points in time of one disk.

mod changed;
mod exact;
mod joined;
mod range;
mod relation;

pub(super) use changed::{ChangedExtents, within};
pub use changed::{ChangedRanges, changed_ranges};
pub use exact::differing_ranges;
pub use range::ChangedRange;
pub(super) use relation::ensure_ancestor;
