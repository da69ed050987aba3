//! Reads Hyper-V's configuration files on any operating system: `.vmcx`, `.vmrs`, `data.vmcx` and the legacy `.xml`.
//!
//! A configuration is a tree of keys. [`Configuration::open`] recognizes the format of a file by its content and reads
//! all keys. [`Machine`] and [`Register`] are typed views of the keys whose meaning is known; all other keys stay
//! reachable through [`Tree`].
//!
//! Nothing is written. A file that was copied from a running host may have a dirty replay log: it is replayed in memory.
//!
//! # Damaged files
//! An [`Error`] means that the keys cannot be decided, for example because both headers are damaged. A [`Warning`] means
//! that something was skipped, such as one damaged key; everything else was read.
//!
//! Numbers in a file are untrusted. Everything that is allocated is bounded by the length of the file and by fixed
//! limits, and the work is linear in the file. Values that are stored outside of the key tables (file objects) are read
//! only on request: [`Configuration::read_object`].
//!
//! # Format
//! No specification of the container is published. `docs/hyperv-config.md` in the repository lists the facts that this
//! crate relies on, with their certainty.
//!
//! # Examples
//! ```no_run
//! use hyperv_config::{Configuration, Machine};
//!
//! # fn main() -> hyperv_config::Result<()> {
//! let configuration = Configuration::open("282874FC-59D6-4F30-BC04-5FDD909C82E0.vmcx")?;
//! let machine = Machine::of(&configuration);
//! println!("{:?}", machine.name);
//! for drive in &machine.drives {
//!     println!("{:?} {:?} {:?}", drive.controller, drive.location, drive.path);
//! }
//! for key in configuration.tree().keys() {
//!     println!("{} = {:?}", key.path(), key.value());
//! }
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]
#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]
#![cfg_attr(
    test,
    allow(
        clippy::as_conversions,
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod checkpoint;
mod configuration;
mod container;
mod error;
mod fields;
mod limits;
mod machine;
mod register;
mod source;
mod time;
mod tree;
mod value;
mod warning;
mod xml;

pub use uuid::Uuid as Guid;

pub use checkpoint::{AS_STORED, is_in_snapshots};
pub use configuration::{Configuration, Format};
pub use error::{Damage, Error, ErrorKind, Limit, Result};
pub use limits::{MAX_DEPTH, MAX_KEYS, MAX_TEXT, MAX_WARNINGS};
pub use machine::{ConfigurationVersion, ControllerKind, Drive, DriveKind, Machine};
pub use register::{Register, RegisteredMachine};
pub use source::{Seekable, Source};
pub use time::unix_seconds;
pub use tree::{Key, Tree};
pub use value::{FileObject, Malformed, Value, ValueType};
pub use warning::{Problem, Warning, Warnings};
