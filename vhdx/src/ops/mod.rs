//! Operations on disks: check, compare, convert, create, flatten, merge, overwrite, relink and replay.
//!
//! Operations that copy or compare content report to a [`Progress`](crate::Progress), and stop soon after it asks for
//! it. Only a merge in place, relinking and a replay change existing VHDX files.

mod check;
mod compare;
mod convert;
mod copy;
mod create;
mod flatten;
mod merge;
mod overwrite;
mod parent_lock;
mod ranges;
mod reparent;
mod sync_pacer;
#[cfg(test)]
mod testing;
mod zeros;

pub use crate::file::{LogContent, replay, replay_file};
pub use check::{CheckReport, FileReport, check_chain, check_file, check_storage};
pub use compare::{Comparison, compare};
pub use convert::{ConvertReport, to_raw, to_stream, to_vhdx};
pub use create::{ChildOptions, NewChild, create, new_child};
pub use flatten::{Dropped, DroppedPart, FlattenOptions, FlattenPlan, dropped};
pub use merge::{
    AlreadyMerged, BlockAction, Deletion, FileState, HostFiles, LeftOver, MergeFiles, MergeOptions,
    MergePlan, MergeReport, MergeStep, MergeTarget, OpenFile, Planned, Undeleted, already_merged,
    earlier_target, ensure_not_half_merged, left_over,
};
pub use overwrite::{OverwriteReport, TargetContent, overwrite_raw};
pub use reparent::{ParentCheck, RelinkedFile, ReparentOptions, ReparentPlan, check_parent};
