//! Catalogs the disks in folders: which files are disks, how they depend on each other, and what is wrong with them.

mod copies;
mod discover;
mod facts;
mod forest;
mod left_overs;
mod link;
mod merges;
mod others;
mod paths;
mod problem;
mod relatives;
mod scan;
mod substitutes;

pub use discover::{FoundDisks, discover, find_disks};
pub use facts::FileFacts;
pub use forest::{DiscoveredDisk, DiskLink, Forest};
pub use others::{OtherFile, OtherKind};
pub use problem::{Evidence, Fallback, Problem, Remedy, Substitute};
pub use relatives::{LeftOverDisks, OtherFormat, Relatives, find_relatives, folders_around};
pub use substitutes::MAX_SUBSTITUTES;
