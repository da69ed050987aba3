//! Writes everything that changed since an ancestor into one new differencing disk. The existing files do not change.

mod cover;
mod execute;
mod plan;

pub use execute::IncrementReport;
pub use plan::IncrementPlan;
