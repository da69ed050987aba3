//! Bytes and values: one file per on-disk structure, without any I/O.
//!
//! Each structure has `parse` (its shape only), `encode` (reserved bytes zero, checksum last) and validation, which
//! reports every broken [`Rule`](crate::Rule) and yields a value only where none of them stops the reader. What is
//! longer than its structure is accepted everywhere: only the structure's own bytes are looked at.
//!
//! Encoding never fails. A number that does not fit its field is written as the field's maximum, which no reader
//! accepts, so that it cannot become another number.
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
