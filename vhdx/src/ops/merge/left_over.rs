//! Detects that a disk, or a layer, is left over from a completed merge.

use std::path::{Path, PathBuf};

use crate::disk::mark::Linkages;
use crate::family::{Relative, Relatives};
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

/// What a completed merge has left, if the disk with these `layers` is read through it and none of `relatives` needs it any
/// more. Each layer is read through the one after it. The files are all of `relatives` that are read through the lowest
/// merged layer; `layers` must be among them.
pub fn left_over(layers: &[Vhdx], relatives: &Relatives) -> Option<LeftOver> {
    let is_complete = |vhdx: &Vhdx| Linkages::of(vhdx).merge().filter(|lowest| lowest.is_complete);
    let (at, lowest) = (0..).zip(layers).find_map(|(at, vhdx)| Some((at, is_complete(vhdx)?)))?;
    let merged = layers.get(..=at)?;
    let relative = Relative::of(merged.last()?.path()?, merged.last()?);
    let found = relatives.left_overs().with_descendants(&relative)?;
    let is_found = |vhdx: &Vhdx| {
        let layer = vhdx.path().map(|path| Relative::of(path, vhdx));
        layer.is_some_and(|layer| found.iter().any(|disk| disk.is_same_file(&layer)))
    };
    if !merged.iter().all(is_found) {
        return None;
    }
    let layers_left = found.iter().map(|disk| disk.path.clone()).collect();
    let target = layers.get(at + 1).filter(|target| lowest.is_complete_in(target.data_write_guid()));
    Some(LeftOver { layers: layers_left, target: target.and_then(Vhdx::path).map(Path::to_owned) })
}
