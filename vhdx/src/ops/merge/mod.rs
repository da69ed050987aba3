//! Merges a disk into one of its ancestors, in place.
//!
//! [`MergePlan::prepare`] is the way into a merge: it finds all files, decides everything and only reads. The plan is
//! plain data. [`MergePlan::execute`] writes. `docs/merge.md` defines the protocol and shows why each step loses no data.

mod already;
mod batch;
mod batches;
mod block;
mod chain_facts;
mod copier;
mod copy_units;
mod deletion;
mod execute;
mod files;
mod in_use;
mod items;
mod left_over;
mod locked;
mod needs;
mod options;
mod past_end;
mod pieces;
mod plan;
mod planning;
mod prepare;
mod prepare_error;
mod relations;
mod space;
mod space_count;
mod state;
mod steps;
mod target;
mod touched;
mod unfinished;

pub use already::AlreadyMerged;
pub use block::BlockAction;
pub use deletion::{Deletion, Undeleted};
pub use execute::MergeReport;
pub(super) use files::has_other_names;
pub use files::{HostFiles, MergeFiles, OpenFile};
pub use left_over::{LeftOver, left_over};
pub(super) use locked::{locked_while_deleting, open_as_planned};
pub use options::MergeOptions;
pub use plan::MergePlan;
pub use prepare::{MergeTarget, Planned};
pub use prepare_error::PrepareError;
#[cfg(feature = "raw-format")]
pub use relations::earlier_target;
pub use state::FileState;
pub use steps::MergeStep;
pub use unfinished::ensure_not_half_merged;

#[cfg(test)]
mod testing;
