//! Serves virtual disks over NBD, the protocol of network block devices.
//!
//! A [`Server`] offers one or more [`Export`]s: disks with a name. A client chooses one of them and then reads and
//! writes it. QEMU, libnbd and the Linux kernel are clients. The server uses threads and the standard library only.
//!
//! - [`SharedDisk`] is the disk of an export: read-only, or a chain whose leaf takes the writes.
//! - [`Listener`] is a socket that waits for clients: a Unix socket, TCP, or a socket that another program has opened.
//! - [`Limits`] bounds what clients can use. [`Events`] tells the caller what happens.
//! - [`Server::run`] serves until [`Stop::stop`] is called.
//!
//! # Block status
//! A client can ask which parts of a disk hold data. Three contexts answer:
//! - `base:allocation`: 0 for data, 2 for a range that a file defines as zeros, 3 for a range that no file holds.
//! - `qemu:allocation-depth`: 0 for a range that no file holds, 1 for the leaf, n for the n-th file from the leaf.
//! - `vhdx:layer`: 0 for a range that no file holds, otherwise the number of the file that decides the content. The
//!   base is file 1, and its child file 2, so a file has the same number in the exports of all its descendants. Bit 31
//!   is set if the file defines the range as zeros.
//!
//! # Examples
//! ```no_run
//! use std::sync::Arc;
//! use vhdx::{Chain, FolderResolver};
//! use vhdx_serve::{Export, Limits, Listener, NoEvents, Server, SharedDisk, Stop};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let chain = Chain::open("checkpoint.avhdx", &FolderResolver::default())?;
//! let layers = chain.layers().len();
//! let disk = Arc::new(SharedDisk::read_only(Arc::new(chain), layers));
//! let export = Export::new("checkpoint", "", disk)?;
//! let server = Server::new(vec![export], 0, Limits::default(), Arc::new(NoEvents), None)?;
//! let listener = Listener::tcp("127.0.0.1:10809")?;
//! server.run(vec![listener], &Stop::new())?;
//! # Ok(())
//! # }
//! ```

mod error;
mod events;
mod export;
mod limits;
mod nbd;
mod shared_disk;

pub use error::ServeError;
pub use events::{Client, ConnectionEnd, Events, NoEvents, RequestFailure};
pub use export::{Export, MAX_NAME_LENGTH};
pub use limits::Limits;
pub use nbd::{Address, Listener, Server, Stop};
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub use nbd::{answer_options, answer_requests};
pub use shared_disk::SharedDisk;
