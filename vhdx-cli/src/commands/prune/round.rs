//! One plan of a prune, with what became of it.

use std::path::PathBuf;

use vhdx::ops::{PrunePlan, PruneReport};
use vhdx::{Forest, MachineProblem, Problem};

/// A plan with what became of it.
pub(super) struct Round {
    pub(super) plan: PrunePlan,
    /// `None` in a dry run.
    pub(super) report: Option<PruneReport>,
    /// The machines that have not been changed after an earlier prune or revert.
    pub(super) moved: Vec<Moved>,
}

/// A machine that names a disk which an earlier prune merged into another one, or which a revert deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) configuration: PathBuf,
    /// The path that the configuration contains.
    pub(super) instead_of: String,
    pub(super) target: PathBuf,
}

/// Returns the machines that still name such a disk, without those that the earlier rounds have already named.
pub(super) fn moved(forest: &Forest, earlier: &[Round]) -> Vec<Moved> {
    let merges = || earlier.iter().flat_map(|round| &round.plan.merges);
    let is_named = |moved: &Moved| {
        merges().any(|merge| merge.target == moved.target && merge.machines.contains(&moved.configuration))
            || earlier.iter().any(|round| round.moved.contains(moved))
    };
    let moved = forest.problems.iter().filter_map(|problem| match problem {
        Problem::Machine(
            MachineProblem::MergedDisk { path, stored, target, is_checkpoint: false }
            | MachineProblem::ReplacedDisk { path, stored, target },
        ) => Some(Moved { configuration: path.clone(), instead_of: stored.clone(), target: target.clone() }),
        _ => None,
    });
    moved.filter(|moved| !is_named(moved)).collect()
}
