//! The HyperV Storage container of `.vmcx`, `.vmrs` and `data.vmcx`.
//!
//! The log is replayed first, in memory. Then the object tables lead to the key tables, whose keys are read in two
//! passes: a key can come before its parent.

mod bytes;
mod file_objects;
mod header;
mod key;
mod key_table;
mod object_table;
mod parents;
mod replay_log;
mod replayed;

pub(crate) use bytes::read_up_to;
pub(crate) use header::{OFFSETS as HEADER_OFFSETS, SIGNATURE as HEADER_SIGNATURE};
pub(crate) use object_table::{FIRST as OBJECT_TABLE_OFFSET, SIGNATURE as OBJECT_TABLE_SIGNATURE};
pub(crate) use replayed::Replayed;

use crate::error::Result;
use crate::tree::Tree;
use crate::warning::Warnings;

/// Reads all keys. Returns them with the number of log entries that were replayed in `file`.
pub(crate) fn read(file: &mut Replayed, warnings: &mut Warnings) -> Result<(Tree, u32)> {
    let header = header::current(file, warnings)?;
    let replayed = replay_log::replay(file, &header)?;
    let objects = object_table::read(file, warnings)?;
    let mut keys = key_table::read(file, &objects.key_tables, warnings)?;
    file_objects::validate(&mut keys, file, &objects, warnings);
    Ok((Tree::new(parents::attach(keys, warnings))?, replayed))
}
