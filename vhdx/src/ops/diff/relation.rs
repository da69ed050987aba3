//! Finds the files that two disks share, and refuses disks that are not points in time of one disk.

use std::path::{Path, PathBuf};

use crate::disk::{Chain, mark};
use crate::error::{Bounded, ChainFault, Conflict, Error, Result};
use crate::file::Vhdx;

/// Returns how many files at the end of both chains are the same: their common ancestors.
///
/// # Errors
/// - [`Unrelated`](crate::ChainErrorKind::Unrelated) if there is none
/// - [`Reversed`](crate::ChainErrorKind::Reversed) if `new` is an ancestor of `old`
/// - [`HalfMerged`](crate::ChainErrorKind::HalfMerged) if a merge into one of the disks is incomplete
/// - [`Conflict::StalePlan`] if a file has changed between the times at which the chains were opened
pub(super) fn shared_layers(old: &Chain, new: &Chain) -> Result<usize> {
    for chain in [old, new] {
        if mark::is_half_merged(chain.leaf()) {
            return Err(ChainFault::half_merged(&name(chain, 0)).into());
        }
    }
    let pairs = || old.layers().iter().rev().zip(new.layers().iter().rev());
    let shared = pairs().take_while(|(a, b)| a.is_same_file(b)).count();
    for (a, b) in pairs().take(shared) {
        if a.data_write_guid() != b.data_write_guid() || a.file_write_guid() != b.file_write_guid() {
            return Err(a.in_file(Error::from(Conflict::StalePlan)));
        }
    }
    let (paths, depth) = ((name(old, 0), name(new, 0)), old.layers().len());
    if shared == 0 {
        return Err(unrelated(old, new).into());
    }
    if shared == new.layers().len() && shared < depth {
        let (old, new) = paths;
        return Err(ChainFault::Reversed { old, new, levels: depth.minus(shared)? }.into());
    }
    Ok(shared)
}

/// Returns an error unless `old` is an ancestor of `new`, or the same disk.
///
/// # Errors
/// Those of [`shared_layers`], and [`Siblings`](crate::ChainErrorKind::Siblings).
pub(in crate::ops) fn ensure_ancestor(old: &Chain, new: &Chain) -> Result<()> {
    let own = old.layers().len().minus(shared_layers(old, new)?)?;
    if own == 0 {
        return Ok(());
    }
    // The shared files are the last ones.
    Err(ChainFault::Siblings { old: name(old, 0), new: name(new, 0), ancestor: name(old, own) }.into())
}

fn unrelated(old: &Chain, new: &Chain) -> ChainFault {
    let base = |chain: &Chain| (name(chain, chain.layers().len() - 1), chain.base().data_write_guid());
    let mut copies = None;
    for (at, a) in old.layers().iter().enumerate() {
        let copy = new.layers().iter().position(|b| b.data_write_guid() == a.data_write_guid());
        if let Some(copy) = copy {
            copies = Some((name(old, at), name(new, copy)));
            break;
        }
    }
    ChainFault::Unrelated { old: name(old, 0), new: name(new, 0), bases: [base(old), base(new)], copies }
}

/// Returns the path of a layer for a message. A file that was not opened by a path has a number.
fn name(chain: &Chain, layer: usize) -> PathBuf {
    let path = chain.layers().get(layer).and_then(Vhdx::path);
    path.map_or_else(|| format!("layer {layer}").into(), Path::to_owned)
}
