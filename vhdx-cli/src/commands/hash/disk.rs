//! Opens the disk to hash.

use crate::args::Hash;
use crate::commands::reading::Reading;
use crate::commands::source::{self, Opened};
use crate::exit::Failure;

pub(super) fn open(reading: &mut Reading<'_>, ask: &Hash) -> Result<Opened, Failure> {
    let disk = reading.open_disk(&ask.disk, ("--from", ask.from), &ask.parents.resolver_of(&ask.disk))?;
    source::ensure_no_parents_of_raw(&disk, &ask.parents)?;
    Ok(disk)
}
