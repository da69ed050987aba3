//! Finds what is inside a virtual disk: partitions, file systems and files.
//!
//! Everything is read through [`vhdx::Disk`], so a disk is examined as it was at any checkpoint, and nothing is mounted.
//! All bytes of the disk are untrusted.

mod error;
#[cfg(feature = "files")]
pub mod files;
mod partitions;
pub mod probe;
mod window;

pub use error::{Error, Result};
pub use window::Window;
