//! Deletes checkpoints by age, size, name or number: retention over whole families of disks.
//!
//! Deleting a checkpoint removes the state that its file keeps: the file's only child is merged into it. Neighbouring
//! checkpoints are deleted by one merge, so that each sector is copied once. Every merge is the one of
//! [`MergePlan`](super::MergePlan), with all of its checks.

mod execute;
mod files;
mod journal;
mod keep;
mod keep_text;
mod measure;
mod missing_links;
mod of_family;
mod options;
mod order;
mod plan;
mod planning;
mod record;
mod rounds;
mod runs;
mod select;
mod unfinished_checkpoints;
mod unread_machines;
mod unseen;
mod whole_checkpoints;

pub use execute::{MergeOutcome, PruneReport};
pub use files::PruneFiles;
pub use journal::has_prune_journal;
pub use keep::{KeepReason, KeptCheckpoint};
pub use options::{NamePattern, PruneOptions};
pub use plan::{PendingDeletion, PruneMerge, PrunePlan, PruneSpace, PruneStage, PrunedCheckpoint};
