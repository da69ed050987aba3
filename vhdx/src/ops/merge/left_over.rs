//! Detects that a disk, or a layer, is left over from a completed merge.

use std::path::{Path, PathBuf};

use crate::chain::mark::Linkages;
use crate::chain::{Relative, Relatives};
use crate::file::Vhdx;

/// Files that a completed merge no longer needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOver {
    /// The files, in the order in which they can be deleted: each before the one that it is read through.
    pub layers: Vec<PathBuf>,
    /// The disk into which they were merged, if the files still lead to it: it was not changed since.
    pub target: Option<PathBuf>,
}

/// The files from the first of `layers` down to the lowest layer of a completed merge, if none of `relatives` needs them any
/// more. Each layer is read through the one after it; the first one is the merged disk, or a layer between it and the target.
pub fn left_over(layers: &[Vhdx], relatives: &Relatives) -> Option<LeftOver> {
    let path = |vhdx: &Vhdx| vhdx.path().map(Path::to_owned);
    let is_complete = |vhdx: &Vhdx| Linkages::of(vhdx).merge().filter(|lowest| lowest.is_complete);
    let (at, lowest) = (0..).zip(layers).find_map(|(at, vhdx)| Some((at, is_complete(vhdx)?)))?;
    let merged = layers.get(..=at)?;
    let relative = Relative::of(merged.last()?.path()?, merged.last()?);
    if !relatives.is_left_over(&relative) {
        return None;
    }
    let target = layers.get(at + 1).filter(|target| lowest.is_complete_in(target.data_write_guid()));
    Some(LeftOver { layers: merged.iter().filter_map(path).collect(), target: target.and_then(path) })
}
