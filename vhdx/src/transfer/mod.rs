//! The data path: several threads read batches of a disk, and pass them to a consumer.
//!
//! ```text
//! extents ──► Batches ──► announced ──► Queue ──► workers: read, and other independent work ──► in order, or in any order
//! ```
//! - A batch is taken under a lock, so batches are numbered in the order of the disk.
//! - A worker holds a buffer before it takes a batch. So the batch that all others wait for always has one, and memory is
//!   bounded by the number of buffers.
//! - After a failure no more batches are taken, and those that were taken are completed. So the failure of the lowest
//!   batch is known, and it is the one that is returned.

mod announced;
mod any_order;
mod batch;
mod batches;
mod in_order;
mod jobs;
mod paired;
mod queue;
mod read;

pub(crate) use announced::{Weight, announce_range, announced};
pub(crate) use any_order::in_any_order;
pub(crate) use batch::{Batch, Content};
pub(crate) use batches::{Batches, Zeros};
pub(crate) use in_order::in_order;
pub use jobs::Jobs;
pub(crate) use jobs::Workers;
pub(crate) use paired::paired;
pub(crate) use read::{read_in_any_order, read_in_order};

#[cfg(test)]
mod tests;
