//! Pointing a child at its parent: the evidence on whether a file is the parent, a plan that decides, and its execution,
//! which decides nothing.

mod execute;
mod parent_check;
mod plan;

pub use parent_check::{ParentCheck, check_parent};
pub use plan::{RelinkedFile, ReparentOptions, ReparentPlan};
