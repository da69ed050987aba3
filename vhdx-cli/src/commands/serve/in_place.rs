//! Opens FILE itself for the writes of clients, if no other disk depends on it.

use std::path::Path;

use vhdx::{Chain, ChainMut, Guid, Vhdx, find_relatives, folders_around};

use crate::args::Serve;
use crate::exit::Failure;
use crate::output::shown;
use crate::progress::Bar;

/// Returns an error if a disk depends on FILE, or may depend on it.
pub(super) fn ensure_possible(serve: &Serve, file: &Path) -> Result<(), Failure> {
    ensure_no_children(serve, file, Vhdx::open(file)?.data_write_guid())
}

/// Opens FILE for writing, and locks it. Also returns the chain of its parent, if it has one.
pub(super) fn open(serve: &Serve, file: &Path) -> Result<(ChainMut, Option<Chain>), Failure> {
    let disk = ChainMut::open(file, &serve.parents.resolver())?;
    // Again: until it was locked, others could make children of it.
    ensure_no_children(serve, file, disk.leaf().data_write_guid())?;
    // The parents are locked by `disk`, with which this chain shares the open files.
    let parents = match disk.parents() {
        [] => None,
        parents => Some(Chain::from_layers(parents.to_vec())?),
    };
    Ok((disk, parents))
}

fn ensure_no_children(serve: &Serve, file: &Path, data_write_guid: Guid) -> Result<(), Failure> {
    let folders = folders_around([file], &serve.parents.parent_dir);
    let relatives = find_relatives(&folders, &Bar::new(true))?;
    let children: Vec<String> =
        relatives.children_of(data_write_guid).map(|child| shown(&child.path)).collect();
    if !children.is_empty() {
        let message =
            format!("cannot write to {}: these disks depend on it: {}", shown(file), children.join(", "));
        return Err(Failure::has_dependents(message).in_file(file).with_hint(
            "write to a new child instead: `--overlay NEW.avhdx` keeps it, `--snapshot` deletes it at the end",
        ));
    }
    relatives.ensure_all_determined(file).map_err(|error| {
        Failure::from(error).with_hint(
            "make these files readable, or write to a new child instead: `--overlay NEW.avhdx` keeps it, `--snapshot` \
             deletes it at the end",
        )
    })
}
