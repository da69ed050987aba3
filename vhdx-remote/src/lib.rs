//! Reads virtual disks from object stores and web servers, through the blocking traits of the library `avhdx`.
//!
//! A [`Remote`] is a session. It opens URLs as [`RemoteFile`]s, lists prefixes, and uploads. [`RemoteResolver`] finds
//! the parents of a disk beside it. All requests run in one small asynchronous runtime of this crate, which callers do
//! not see: every function blocks.
//!
//! - An object is pinned when it is opened: by its ETag, else its version, else its modification time and size. If the
//!   object is replaced later, reads fail. With time and size alone, a change within the same second that keeps the size
//!   is missed.
//! - Nothing is allocated by a size from a server that is not bounded first. Requests, bodies, lists, redirects, retries
//!   and times are bounded.
//! - Credentials come from the environment, by the conventions of `object_store`. They are in no message and in no
//!   `Debug` output, and neither is the query of a URL, which may be a signature.
//!
//! # Examples
//! ```no_run
//! use vhdx::{Chain, OpenOptions, Vhdx};
//! use vhdx_remote::{Remote, RemoteResolver};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let remote = Remote::from_env();
//! let name = remote.add("s3://backup/vm/disk.avhdx")?;
//! let resolver = RemoteResolver::new(&remote);
//! resolver.prepare(&name); // fetches what opening the chain needs, in parallel
//! let leaf = Vhdx::open_with(remote.open(&name)?, &OpenOptions::default().name(&name))?;
//! let chain = Chain::from_leaf(leaf, &resolver)?;
//! println!("{} bytes", chain.virtual_size());
//! # Ok(())
//! # }
//! ```

mod address;
mod cache;
mod clients;
mod disks;
mod failure;
mod fetch;
mod file;
mod guard;
mod list_answers;
mod listing;
mod options;
mod permits;
mod pin;
mod redirects;
mod remote;
mod requests;
mod resolver;
mod runtime;
mod scheme;
mod settings;
mod store;
mod upload;

pub use address::is_url;
pub use file::RemoteFile;
pub use listing::{MAX_LISTED, RemoteEntry};
pub use options::RemoteOptions;
pub use remote::Remote;
pub use resolver::RemoteResolver;
pub use upload::Upload;
