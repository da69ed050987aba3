//! Shows what disks contain: partitions and file systems. `info`, `tree` and `report` use it.

mod forest;
mod json;
mod recording;
mod rows;
mod text;

use vhdx::Disk;
use vhdx_contents::{Contents, Error};

use crate::exit::Failure;

pub(super) use forest::{ContentsOfDisks, of_forest};
pub(super) use json::json;
pub(super) use rows::{HEADS, RIGHT, findings, row, table};
pub(super) use text::{summary, write};

/// Returns what a disk contains.
pub(super) fn of_disk(disk: &dyn Disk) -> Result<Contents, Failure> {
    vhdx_contents::contents(disk).map_err(|error| match error {
        Error::Disk(error) => error.into(),
        error => Failure::corrupt(error.to_string()),
    })
}
