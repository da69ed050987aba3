//! One plan of a prune, with what became of it.

use vhdx::ops::{PrunePlan, PruneReport};

/// A plan with what became of it.
pub(super) struct Round {
    pub(super) plan: PrunePlan,
    /// `None` in a dry run.
    pub(super) report: Option<PruneReport>,
}
