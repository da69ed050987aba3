//! Finds what is inside a virtual disk: partitions, file systems and files.
//!
//! Everything is read through [`vhdx::Disk`], so a disk is examined as it was at any checkpoint, and nothing is mounted.
//! All bytes of the disk are untrusted.

mod contents;
mod error;
#[cfg(feature = "files")]
pub mod files;
mod partitions;
pub mod probe;
mod window;

pub use contents::{Contents, contents};
pub use error::{Error, Result};
pub use partitions::{DiskId, Partition, PartitionTable, TableFinding, TableKind, TypeId};
pub use window::Window;
