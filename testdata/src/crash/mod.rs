//! Files that can lose power, or break, at any moment.
//!
//! A [`CrashWorld`] holds files and notes everything that is written to them. Its [`Recording`] forges every set of files
//! that a power failure could have left on the way, and hands each to a check. A [`Fault`] makes a call fail instead.
//!
//! What a power failure can do: whatever was written to a file since that file was last synced may be on the medium or
//! not, each operation for itself; a write may be there in part, sector by sector of 512 bytes; a file may have grown
//! without getting its bytes. Operations that are there are there in their order. Files know nothing of each other. That
//! a file was removed may be forgotten until [`CrashWorld::sync_names`].

mod fault;
mod operation;
mod sweep;
#[cfg(test)]
mod tests;
mod world;

pub use fault::{Calls, Fault, for_each_failure};
pub use sweep::{CrashImage, Recording, Sweep, Swept};
pub use world::{CrashWorld, Images};
