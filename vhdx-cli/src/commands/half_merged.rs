//! Disks into which a merge was begun, and may not be complete: nothing in such a disk itself says so.

use std::path::{Path, PathBuf};

use serde_json::Value;
use vhdx::ops::refuse_half_merged;
use vhdx::{Chain, ChainError, Error, Relatives, UnfinishedMerge, find_relatives, folders_around};

use super::source::Opened;
use crate::args::Args;
use crate::exit::innermost;
use crate::output;
use crate::progress::Bar;

/// Refuses a disk if something in its folder, or in one of those that were named, says so.
pub(super) fn refuse(args: &Args, path: &Path, disk: &Chain, folders: &[PathBuf]) -> vhdx::Result<()> {
    let relatives = find_relatives(&folders_around([path], folders), &Bar::new(args.quiet))?;
    refuse_half_merged(disk, &relatives)
}

/// Warns people, if something there says so; and gives what there is to tell scripts.
pub(super) fn warn(
    args: &Args,
    path: &Path,
    disk: &Chain,
    folders: &[PathBuf],
) -> vhdx::Result<Vec<UnfinishedMerge>> {
    match refuse(args, path, disk, folders) {
        Ok(()) => Ok(Vec::new()),
        Err(error) => warn_of(args, error),
    }
}

/// The disks in the folders that were searched last: the files of one folder, one after the other, search it once.
#[derive(Default)]
pub(super) struct Neighbours(Option<(Vec<PathBuf>, Relatives)>);

impl Neighbours {
    /// As [`warn`](warn()).
    pub(super) fn warn(
        &mut self,
        args: &Args,
        path: &Path,
        disk: &Chain,
        folders: &[PathBuf],
    ) -> vhdx::Result<Vec<UnfinishedMerge>> {
        let around = folders_around([path], folders);
        let known = self.0.take().filter(|(searched, _)| *searched == around);
        let relatives = match known {
            Some((_, relatives)) => relatives,
            None => find_relatives(&around, &Bar::new(args.quiet))?,
        };
        let (_, relatives) = self.0.insert((around, relatives));
        match refuse_half_merged(disk, relatives) {
            Ok(()) => Ok(Vec::new()),
            Err(error) => warn_of(args, error),
        }
    }
}

/// As [`warn`], of what was found already; what else failed fails here.
pub(super) fn warn_of(args: &Args, error: Error) -> vhdx::Result<Vec<UnfinishedMerge>> {
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

/// As [`warn`], of a disk in any format.
pub(super) fn warn_of_source(
    args: &Args,
    path: &Path,
    source: &Opened,
    folders: &[PathBuf],
) -> vhdx::Result<Vec<UnfinishedMerge>> {
    match source {
        Opened::Chain(chain) => warn(args, path, chain, folders),
        Opened::Raw(_) => Ok(Vec::new()),
    }
}

/// An answer, and what there is to tell of its source.
pub(super) fn with(mut json: Value, unfinished: &[UnfinishedMerge]) -> Value {
    json["unfinished"] = output::unfinished(unfinished);
    json
}
