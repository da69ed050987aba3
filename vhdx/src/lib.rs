//! Reads, checks, writes and merges VHDX and AVHDX virtual disks and their checkpoint chains, on any operating system.
//!
//! A Hyper-V checkpoint freezes a virtual disk: later writes go to a differencing file, which reads through to its
//! parent. This crate opens such files, finds and verifies their parents, locates every byte of a disk, and reads it.
//!
//! # Safety of the data
//! A file that is only read never changes: a dirty log is replayed in memory. A file that is written to opens after a
//! power failure at any instant, in the state before a change or after it. A new file is complete or absent. An
//! interrupted merge is completed by running it again; until then the merged disk and its descendants read as before,
//! but the target on its own may be a mix of old and new data. `docs/crash-safety.md` lists every guarantee and its
//! limits.
//!
//! There is one exception: [`ops::overwrite_raw`] guarantees nothing until it returns success. After an error, a
//! cancellation or a power failure, its target may be partly overwritten and unusable.
//!
//! # Overview
//! - [`Vhdx`] is one file: its properties and its own content.
//! - [`Chain`] is a file with all its parents: the disk as its guest sees it. A [`ParentResolver`] finds the parents;
//!   a path that is stored in a file is opened only if the resolver opens it.
//! - [`Extents`] is the query behind everything that reads a disk: which bytes are stored where.
//! - [`VhdxMut`] is one file that is open for writing and locked.
//! - [`discover`] finds every chain in some folders and their subfolders, whatever the files are called.
//!   [`find_relatives`] finds the children of a disk: no file names its children.
//! - [`ops`] contains the operations on disks: check, compare, convert, create, replay, reparent, merge in place
//!   ([`ops::MergePlan`]) or into a new file ([`ops::FlattenPlan`]), what changed between two points in time
//!   ([`ops::changed_ranges`]) as a list, in a new file ([`ops::IncrementPlan`]) or over a raw target
//!   ([`ops::update_raw`]), prune ([`ops::PrunePlan`]), revert
//!   ([`ops::RevertPlan`]).
//! - [`ops::report`] compares the checkpoints in some folders with limits; [`ops::DiskMap`] shows which file of a chain
//!   owns which part of its disk.
//! - [`ReadAt`] and [`Storage`] give access to bytes: in files, in memory, or in any type that implements them.
//!
//! The format is Microsoft's [MS-VHDX]; [`Rule`] lists all of its rules that are checked.
//!
//! # Examples
//! Print where the data of a disk is stored:
//! ```no_run
//! use vhdx::{Chain, DiskOffset, FolderResolver, Source};
//!
//! # fn main() -> vhdx::Result<()> {
//! let chain = Chain::open("checkpoint.avhdx", &FolderResolver::default())?;
//! for extent in chain.extents(DiskOffset::new(0)..DiskOffset::new(chain.virtual_size())) {
//!     let extent = extent?;
//!     if let Source::Data { layer, offset } = extent.source {
//!         let file = chain.layers()[layer].path();
//!         println!("{} + {}: {file:?} at {offset}", extent.start, extent.len);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Merge a checkpoint into its parent, in place:
//! ```no_run
//! use vhdx::ops::{HostFiles, MergeOptions, MergePlan, MergeTarget, Planned};
//! use vhdx::{FolderResolver, NoProgress};
//!
//! # fn main() -> vhdx::Result<()> {
//! let planned = MergePlan::prepare(
//!     "checkpoint.avhdx".as_ref(),
//!     MergeTarget::Parent,
//!     &FolderResolver::default(),
//!     &[], // more folders to search for children
//!     &MergeOptions::default(),
//!     &NoProgress,
//! )?;
//! match planned {
//!     Planned::Ready(plan) => {
//!         let done = plan.execute(&HostFiles, &NoProgress)?;
//!         println!("{} bytes copied", done.bytes_copied);
//!     }
//!     _ => println!("it was merged before"),
//! }
//! # Ok(())
//! # }
//! ```

mod disk;
mod error;
mod family;
mod file;
#[cfg(feature = "raw-format")]
pub mod format;
#[cfg(not(feature = "raw-format"))]
// Some items are only for callers with the feature, and for tests.
#[allow(dead_code, unreachable_pub)]
mod format;
mod geometry;
mod log;
#[cfg_attr(not(feature = "raw-format"), allow(unreachable_pub))]
mod metadata_id;
pub mod ops;
mod parallel;
mod progress;
mod quoted;
mod rules;
mod storage;
#[cfg(test)]
mod testing;
mod transfer;
mod units;
mod violation;
mod windows_path;

pub use uuid::Uuid as Guid;

pub use disk::{
    Candidate, Candidates, Chain, ChainMut, ChainReader, Disk, DiskMut, FolderIndex, FolderResolver, FoundBy,
    GuidSearch, InspectedLayer, Link, MAX_CHAIN_LENGTH, ParentRequest, ParentResolver, RawDisk,
    inspect_chain, inspect_leaf,
};
pub use error::{ChainError, ChainErrorKind, Undetermined, UnfinishedMerge};
pub use error::{Conflict, Error, ErrorKind, FileChange, InvalidArgument, InvalidState, Result};
pub use family::{
    Checkpoint, DiscoveredDisk, DiscoveredMachine, DiskLink, DrivePlace, Evidence, Fallback, Family,
    FileFacts, Forest, FoundDisks, LeftOverDisks, MAX_SUBSTITUTES, MachineConfiguration, MachineDrive,
    MachineProblem, OtherFile, OtherFormat, OtherKind, Problem, PrunedDrive, PrunedParent, Relatives, Remedy,
    Substitute, TargetContent, TimeSource, UnusedDisk, UsedDisk, discover, discover_opened, find_disks,
    find_relatives, folders_around,
};
pub use file::{
    DiskType, Extent, Extents, NewDisk, NewItem, OpenOptions, Source, Survey, SurveyedBat, SurveyedLog, Vhdx,
    VhdxMut, VhdxWriter, WriteReport,
};
pub use format::{bat_entry::PayloadBlockState, parent_locator::ParentLocator};
pub use geometry::{BatEntryKind, Geometry, MAX_BLOCK_SIZE, MAX_VIRTUAL_SIZE};
pub use log::LogState;
pub use progress::{NoProgress, Progress};
pub use rules::{Rule, Severity};
#[cfg(feature = "mmap")]
pub use storage::Mapped;
pub use storage::{
    FileFormat, FileIdentity, FileStorage, FilesOfHost, IfExists, Memory, NewFile, OnWriter, OpenFiles,
    RawTarget, ReadAt, ReadHint, ReadRange, Storage, VolumeSpace, allocated_bytes, free_space, join_ranges,
    volume_space,
};
pub use transfer::Jobs;
pub use units::{BatIndex, BlockIndex, ChunkIndex, DiskOffset, FileOffset, KIB, MIB};
pub use violation::{Found, Structure, Violation, Violations};
pub use windows_path::StoredPath;
