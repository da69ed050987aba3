//! Flattening a chain into one new file: a plan that decides everything and is plain data, and its execution, which
//! decides nothing. All files of the chain stay as they are.

mod dropped;
mod execute;
mod plan;

pub use dropped::{Dropped, DroppedPart, dropped};
pub use plan::{FlattenOptions, FlattenPlan, FlattenedLayer};

#[cfg(test)]
mod tests;
