//! Flattens a chain into one new file. The files of the chain do not change.
//!
//! The plan decides everything and is plain data; its execution decides nothing.

mod dropped;
mod execute;
mod plan;

pub use dropped::{Dropped, DroppedPart, dropped};
pub use plan::{FlattenOptions, FlattenPlan};

#[cfg(test)]
mod tests;
