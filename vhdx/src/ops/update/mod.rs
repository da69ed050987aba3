//! Brings a raw file or device that holds a disk to a newer point in time of the disk, by writing only what changed.
//!
//! Before anything is written, the target is proven to hold the older disk. In ranges that change, each 512 bytes may
//! be those of the older or of the newer disk. So an update that was interrupted at any moment can be run again.

mod proof;
mod samples;
mod write;

pub use proof::{BaseProof, ensure_holds_base};
pub use write::{UpdateReport, update_raw};
