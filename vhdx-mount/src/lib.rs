//! Shows virtual disks as read-only files, with FUSE. Linux only: the crate is empty on other systems.
//!
//! A [`Tree`] has the disk as it was at each checkpoint, and [`Session::mount`] shows it in an empty folder:
//! ```text
//! DIR/<checkpoint>/disk.raw     the bytes of the disk; ranges without data are holes
//! DIR/<checkpoint>/p1, p2, …    the partitions that the caller has found
//! DIR/<checkpoint>/info.json    a text of the caller
//! DIR/latest                    a link to one of the folders
//! ```
//! The disks must not change while they are mounted, because the kernel caches what it has read: lock them
//! ([`Chain::lock_shared`](vhdx::Chain::lock_shared)) before.
//!
//! A range that cannot be read is an error (`EIO`) for the reads of that range only, and is reported to
//! [`Options::report`].
#![cfg(target_os = "linux")]

mod answers;
mod error;
mod file_system;
mod mountpoint;
mod nodes;
mod read_ahead;
mod report;
mod runs;
mod session;
mod tree;
mod view;

pub use error::{Error, Result};
pub use mountpoint::validate_mountpoint;
pub use report::Report;
pub use session::{End, Options, Session};
pub use tree::{DISK, INFO, LATEST, MountedDisk, Tree};
