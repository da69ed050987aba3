//! Disks into which a merge was begun, and may not be complete: nothing in such a disk itself says so.

use std::path::{Path, PathBuf};

use vhdx::ops::refuse_half_merged;
use vhdx::{ChainError, Error, UnfinishedMerge, Vhdx, find_relatives, folders_around};

use crate::args::Args;
use crate::exit::innermost;
use crate::output;
use crate::progress::Bar;

/// Refuses a disk if something in its folder, or in one of those that were named, says so.
pub(super) fn refuse(args: &Args, path: &Path, disk: &Vhdx, folders: &[PathBuf]) -> vhdx::Result<()> {
    let relatives = find_relatives(&folders_around([path], folders), &Bar::new(args.quiet))?;
    refuse_half_merged(disk, &relatives)
}

/// Tells people, if something in its folder says so; and gives what there is to tell.
pub(super) fn warn(args: &Args, path: &Path, disk: &Vhdx) -> vhdx::Result<Vec<UnfinishedMerge>> {
    let Err(error) = refuse(args, path, disk, &[]) else { return Ok(Vec::new()) };
    let unfinished = match innermost(&error) {
        Error::Chain(found) => match &**found {
            ChainError::HalfMerged { unfinished, .. } => unfinished.clone(),
            _ => return Err(error),
        },
        _ => return Err(error),
    };
    output::warning(args, &error.to_string());
    Ok(unfinished)
}
