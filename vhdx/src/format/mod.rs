//! Converts between bytes and values: one file per on-disk structure, no I/O.
//!
//! Each structure has three operations:
//! - `parse` reads the fields and checks only the shape: signature, lengths and counts.
//! - `encode` writes the bytes, with zeros in reserved bytes and the checksum last.
//! - Validation reports every broken [`Rule`](crate::Rule), and returns a value only if it can be used.
//!
//! Input may be longer than the structure: only the bytes of the structure are read.
//!
//! Encoding never fails. A number that does not fit its field is written as the maximum of the field. No reader accepts
//! this value, so the number cannot be mistaken for another one.
#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]
#![cfg_attr(
    test,
    allow(
        clippy::as_conversions,
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::unwrap_used
    )
)]

pub mod bat_entry;
pub mod bytes;
pub mod file_identifier;
pub mod header;
pub mod log_entry;
pub mod merge_guid;
pub mod metadata_item;
pub mod metadata_table;
mod overlap;
pub mod parent_locator;
pub mod region_table;
#[cfg(test)]
mod testing;
mod validator;
