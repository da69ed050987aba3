//! What can be done with disks: copied, compared, merged, checked.
//!
//! What copies or compares content reports to a [`Progress`](crate::Progress), and stops soon after it says so. Nothing
//! here writes to a file that it reads.

mod check;
mod compare;
mod convert;
mod copy;
mod create;
mod flatten;
mod held_parent;
mod merge;
mod overwrite;
mod pace;
mod ranges;
mod reparent;
#[cfg(test)]
mod testing;
mod zeros;

pub use crate::file::{LogContent, replay, replay_file};
pub use check::{CheckReport, FileReport, check_chain, check_file, check_storage};
pub use compare::{Comparison, compare};
pub use convert::{Converted, to_raw, to_stream, to_vhdx};
pub use create::{ChildOptions, NewChild, create, new_child};
pub use flatten::{Dropped, DroppedPart, FlattenOptions, FlattenPlan, FlattenedLayer, dropped};
pub use merge::{
    AlreadyMerged, Batch, BitChange, BlockAction, BlockPlan, Content, Deletion, FileState, HostFiles,
    ItemChanges, LeftOver, MergeFiles, MergeOptions, MergePlan, MergeStep, Merged, MetadataItemId, NewBitmap,
    OpenFile, Piece, Undeleted, already_merged, earlier_target, left_over, refuse_half_merged,
};
pub use overwrite::{Overwritten, into_raw};
pub use reparent::{ParentJudgement, RelinkedFile, ReparentOptions, ReparentPlan, judge_parent};
