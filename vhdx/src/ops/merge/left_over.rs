//! Detects that a disk, or a layer, is left over from a completed merge.

use std::path::{Path, PathBuf};

use crate::disk::mark::Linkages;
use crate::family::{FileFacts, Relatives};
use crate::file::Vhdx;

/// Files that a completed merge no longer needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct LeftOver {
    /// The files, in the order in which they can be deleted: each before its parent.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub layers: Vec<PathBuf>,
    /// The disk into which they were merged, if the files still lead to it.
    ///
    /// It is unchanged since then.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub target: Option<PathBuf>,
}

/// Returns the files that a completed merge has left over, if a disk is one of them.
///
/// `layers` is the chain of the disk: each layer is read through the one after it. They must be among `relatives`.
/// Files are left over if no other disk of `relatives` needs them. The result contains all of `relatives` that are read
/// through the target's child.
pub fn left_over(layers: &[Vhdx], relatives: &Relatives) -> Option<LeftOver> {
    let is_complete =
        |vhdx: &Vhdx| Linkages::of(vhdx).merge().filter(|target_child| target_child.is_complete);
    let (at, target_child) = (0..).zip(layers).find_map(|(at, vhdx)| Some((at, is_complete(vhdx)?)))?;
    let merged = layers.get(..=at)?;
    // The last write of the merge, which tells the target that it is complete, is missing.
    if layers.get(at + 1).is_some_and(|target| target.data_write_guid() == target_child.merge.guid()) {
        return None;
    }
    let relative = FileFacts::of(merged.last()?.path()?, merged.last()?);
    let found = relatives.left_overs().with_descendants(&relative)?;
    let is_found = |vhdx: &Vhdx| {
        let layer = vhdx.path().map(|path| FileFacts::of(path, vhdx));
        layer.is_some_and(|layer| found.iter().any(|disk| disk.is_same_file(&layer)))
    };
    if !merged.iter().all(is_found) {
        return None;
    }
    let layers_left = found.iter().map(|disk| disk.path.clone()).collect();
    let target = layers.get(at + 1).filter(|target| target_child.is_complete_in(target.data_write_guid()));
    Some(LeftOver { layers: layers_left, target: target.and_then(Vhdx::path).map(Path::to_owned) })
}
