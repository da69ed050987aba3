//! Relinks a child to a parent.
//!
//! [`check_parent`] collects the evidence on whether a file is the parent. [`ReparentPlan`] decides; its execution
//! decides nothing.

mod execute;
mod parent_check;
mod plan;

pub use parent_check::{ParentCheck, check_parent};
pub use plan::{RelinkedFile, ReparentOptions, ReparentPlan};
