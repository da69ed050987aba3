//! Merging a chain: a plan that decides everything and is plain data, and its execution, which decides nothing.
//!
//! Merging into a new file leaves all files of the chain as they are.

mod dropped;
mod execute;
mod plan;

pub use dropped::{Dropped, DroppedPart, dropped};
pub use plan::{MergeOptions, MergePlan, MergedLayer};

#[cfg(test)]
mod tests;
