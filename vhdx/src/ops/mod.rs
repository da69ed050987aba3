//! Operations on disks: check, compare, convert, create, diff, flatten, hash, merge, overwrite, prune, relink, replay,
//! report, revert, and incremental backups and updates.
//!
//! Operations that copy, compare or hash content report to a [`Progress`](crate::Progress), and stop soon after it asks
//! them to. Only a merge in place, relinking and a replay change existing VHDX files.

mod by_sector;
mod check;
mod compare;
mod convert;
mod copy;
mod create;
mod diff;
mod flatten;
mod hash;
mod increment;
mod merge;
mod overwrite;
mod parent_lock;
mod prune;
mod ranges;
mod related_parents;
mod reparent;
mod report;
mod revert;
mod sync_pacer;
#[cfg(test)]
mod testing;
mod update;
mod zeros;

pub use crate::file::{LogContent, replay, replay_file};
pub use check::{
    CheckReport, FileReport, check_chain, check_chain_in, check_file, check_file_in, check_storage,
};
pub use compare::{Comparison, compare};
pub use convert::{ConvertReport, to_raw, to_stream, to_vhdx};
pub use create::{ChildOptions, NewChild, create, new_child};
pub use diff::{ChangedRange, ChangedRanges, changed_ranges, differing_ranges};
pub use flatten::{Dropped, DroppedPart, FlattenOptions, FlattenPlan, dropped};
pub use hash::{
    Digest, DigestRun, HashAlgorithm, Hasher, MAX_HASH_BLOCK_SIZE, MIN_HASH_BLOCK_SIZE, hash, hash_blocks,
};
pub use increment::{IncrementPlan, IncrementReport};
#[cfg(feature = "raw-format")]
pub use merge::earlier_target;
pub use merge::{
    AlreadyMerged, BlockAction, Deletion, FileState, HostFiles, LeftOver, MergeFiles, MergeOptions,
    MergePlan, MergeReport, MergeStep, MergeTarget, OpenFile, Planned, PrepareError, Undeleted,
    ensure_not_half_merged, left_over,
};
pub use overwrite::{OverwriteReport, TargetContent, overwrite_raw};
pub use prune::{
    KeepReason, KeptCheckpoint, MergeOutcome, NamePattern, PendingDeletion, PruneFiles, PruneMerge,
    PruneOptions, PrunePlan, PruneReport, PruneSpace, PruneStage, PrunedCheckpoint, has_prune_journal,
};
pub use reparent::{ParentCheck, RelinkedFile, ReparentOptions, ReparentPlan, check_parent};
pub use report::{
    CellOwner, DiskMap, Finding, FindingFact, FindingKind, FindingSeverity, LayerShare, MAX_CELLS, MapCell,
    MinFree, Report, ReportLimits, ReportedDisk, ReportedFamily, Volume, report,
};
pub use revert::{OldIsNeeded, RevertFiles, RevertPlan, RevertReport};
pub use update::{BaseProof, UpdateReport, ensure_holds_base, update_raw};
