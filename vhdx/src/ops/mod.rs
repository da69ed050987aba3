//! What can be done with disks: copied, compared, merged, checked.
//!
//! What copies or compares content reports to a [`Progress`](crate::Progress), and stops soon after it says so. Nothing
//! here writes to a file that it reads.

mod check;
mod compare;
mod convert;
mod copy;
mod merge;
mod ranges;
#[cfg(test)]
mod testing;
mod zeros;

pub use check::{CheckReport, FileReport, check_chain, check_file, check_storage};
pub use compare::{Comparison, compare};
pub use convert::{Converted, to_raw, to_stream, to_vhdx};
pub use merge::{Dropped, DroppedPart, MergeOptions, MergePlan, MergedLayer, dropped};
