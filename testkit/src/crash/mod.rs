//! Simulates power failures and failed calls at any moment.
//!
//! A [`CrashWorld`] holds files and records everything that is written to them. Its [`Recording`] forges the sets of
//! files that a power failure could have left, and checks each. A [`Fault`] makes a call fail instead.
//!
//! A power failure has these effects:
//! - Each operation on a file since its last sync is kept or dropped, independently of the others.
//! - A write may be kept in part, in sectors of 512 bytes. A file may have grown without its bytes.
//! - Kept operations on a file take effect in their order. Files are independent of each other.
//! - A removed file may come back until [`CrashWorld::sync_names`].

mod fault;
mod file_operation;
mod sweep;
#[cfg(test)]
mod tests;
mod world;

pub use fault::{Calls, Fault, for_each_failure};
pub use sweep::{CrashImage, Recording, Sweep, Swept};
pub use world::{CrashWorld, Images};
