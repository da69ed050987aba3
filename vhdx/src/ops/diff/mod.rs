//! Finds what changed between two points in time of one disk.

mod changed;
mod copy;
mod exact;
mod joined;
mod range;
mod relation;

pub use changed::{ChangedRanges, changed_ranges};
pub(super) use copy::{Piece, copy_changed, within};
pub use exact::{DifferingRanges, differing_ranges};
pub use range::ChangedRange;
pub(super) use relation::ensure_ancestor;
