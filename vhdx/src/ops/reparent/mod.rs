//! Pointing a child at its parent: the evidence on whether a file is the parent, a plan that decides, and its execution,
//! which decides nothing.

mod execute;
mod judge;
mod plan;

pub use judge::{ParentJudgement, judge_parent};
pub use plan::{RelinkedFile, ReparentOptions, ReparentPlan};
