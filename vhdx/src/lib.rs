//! Read, check, write and merge VHDX and AVHDX virtual disks and their checkpoint chains, on any operating system.
//!
//! A Hyper-V checkpoint freezes a virtual disk: later writes go to a differencing file, which reads through to its
//! parent. This crate opens such files, finds and checks their parents, says where every byte of a disk is, and reads
//! it. What is only read never changes, not even to replay a dirty log. What is written is safe at every instant: a
//! power failure leaves the state before a change or the one after it.
//!
//! - [`Vhdx`] is one file: its facts, and what it holds itself.
//! - [`Chain`] is a file with all its parents: the disk as its guest sees it. Parents are found by a
//!   [`ParentResolver`]; nothing that a file names is opened unless the resolver opens it.
//! - [`Extents`] is the one query behind everything: which bytes of the disk are where.
//! - [`VhdxMut`] is one file that is open for writing, by nobody else.
//! - [`discover`] finds every chain below some folders, whatever the files are called; [`find_relatives`] finds the
//!   children that nothing in a parent tells of.
//! - [`ops`] holds what one does with disks: check, compare, convert, create, replay, reparent, merge in place
//!   ([`ops::MergePlan`]) or into a new file ([`ops::FlattenPlan`]).
//! - [`ReadAt`] and [`Storage`] are the bytes below: files, memory, or whatever implements them.
//!
//! The format is Microsoft's [MS-VHDX]; [`Rule`] lists all of its rules that are checked.
//!
//! # Examples
//! The runs of a disk that hold data, and where:
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
//! A checkpoint goes into its parent, in place:
//! ```no_run
//! use vhdx::ops::{HostFiles, MergeOptions, MergePlan};
//! use vhdx::{Chain, FolderResolver, NoProgress, find_relatives, folders_around};
//!
//! # fn main() -> vhdx::Result<()> {
//! let chain = Chain::open("checkpoint.avhdx", &FolderResolver::default())?;
//! let files = chain.layers().iter().filter_map(|layer| layer.path());
//! let relatives = find_relatives(&folders_around(files, &[]), &NoProgress)?;
//! let plan = MergePlan::new(&chain, 1, &relatives, &MergeOptions::default())?;
//! drop(chain); // on Windows an open file cannot be locked
//! let done = plan.execute(&HostFiles, &NoProgress)?;
//! println!("{} bytes copied", done.bytes_copied);
//! # Ok(())
//! # }
//! ```

mod disk;
mod error;
mod family;
mod file;
pub mod format;
mod geometry;
mod log;
mod metadata_id;
pub mod ops;
mod progress;
mod quoted;
mod rules;
mod storage;
mod units;
mod violation;
mod windows_path;

pub use uuid::Uuid as Guid;

pub use disk::{
    Candidate, Candidates, Chain, ChainMut, ChainReader, Disk, DiskMut, FolderIndex, FolderResolver, FoundBy,
    GuidSearch, InspectedLayer, Link, MAX_CHAIN_LENGTH, ParentRequest, ParentResolver, RawDisk,
    inspect_chain,
};
pub use error::{ChainError, Undetermined, UnfinishedMerge};
pub use error::{Error, ErrorKind, FileChange, InvalidArgument, Result};
pub use family::{
    DiscoveredDisk, DiskLink, Evidence, Forest, FoundDisks, LeftOverDisks, MAX_SUBSTITUTES, OtherFile,
    OtherFormat, OtherKind, Problem, Relative, Relatives, Substitute, discover, find_disks, find_relatives,
    folders_around,
};
pub use file::{
    DiskType, Extent, Extents, NewDisk, NewItem, Source, Survey, SurveyedBat, SurveyedLog, Vhdx, VhdxMut,
    VhdxWriter, Written,
};
pub use geometry::{BatEntryKind, Geometry, MAX_BLOCK_SIZE, MAX_VIRTUAL_SIZE};
pub use log::LogState;
pub use progress::{NoProgress, Progress};
pub use rules::{Rule, Severity};
#[cfg(feature = "mmap")]
pub use storage::Mapped;
pub use storage::{
    FileFormat, FileIdentity, FileStorage, Memory, NewFile, RawTarget, ReadAt, Sharing, Storage,
    allocated_bytes, free_space,
};
pub use units::{BatIndex, BlockIndex, ChunkIndex, DiskOffset, FileOffset, KIB, MIB};
pub use violation::{Found, Structure, Violation, Violations};
pub use windows_path::StoredPath;
