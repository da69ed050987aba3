//! Catalogs the disks in folders: which files are disks, how they depend on each other, and what is wrong with them.

mod checkpoints;
mod copy_groups;
mod discover;
mod facts;
mod families;
mod forest;
mod found_record;
mod host_path;
mod left_overs;
mod link;
mod listing;
mod machine;
mod merges;
mod others;
mod paths;
mod problem;
mod prune_record;
mod prune_records;
mod pruned_parents;
mod relatives;
mod restored_targets;
mod scan;
mod stale_paths;
mod substitutes;

pub use checkpoints::{Checkpoint, TimeSource};
pub use discover::{FoundDisks, discover, discover_opened, find_disks};
pub use facts::FileFacts;
pub use families::Family;
pub use forest::{DiscoveredDisk, DiskLink, Forest};
pub(crate) use found_record::FoundRecord;
pub use machine::facts::{DiscoveredMachine, DrivePlace, MachineConfiguration, MachineDrive, PrunedDrive};
pub(crate) use machine::names::stem;
pub use machine::problem::{MachineProblem, UnusedDisk, UsedDisk};
pub(crate) use merges::merges_to_complete;
pub(crate) use others::JOURNAL_EXTENSION;
pub use others::{OtherFile, OtherKind};
pub(crate) use paths::{machine_folder_on_host, parent_folders};
pub use problem::{Evidence, Fallback, Problem, PrunedParent, Remedy, Substitute, TargetContent};
pub(crate) use prune_record::{
    MovedState, PruneRecord, decode_record_file, escape, record_of, relative_to_target, unescape,
};
pub(crate) use relatives::FamilyRelatives;
pub use relatives::{LeftOverDisks, OtherFormat, Relatives, find_relatives, folders_around};
pub use substitutes::MAX_SUBSTITUTES;
