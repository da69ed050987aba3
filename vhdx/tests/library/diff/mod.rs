//! What changed between two points in time of one disk.

mod cases;
mod members;
mod random;
mod refusals;

pub(crate) use members::{Members, Point};
