//! Finds the traces of merges in a forest: incomplete merges, and files that completed merges no longer need.

use std::path::PathBuf;

use uuid::Uuid;

use super::forest::{DiscoveredDisk, DiskLink};
use super::problem::Problem;
use crate::disk::MAX_CHAIN_LENGTH;
use crate::disk::mark::{Linkages, TargetChild};
use crate::family::left_overs::{Disks, LeftOvers};
use crate::format::merge_guid::MergeId;

/// Returns the problem of a disk that took part in a merge, if any.
pub(super) fn problem(disks: &[DiscoveredDisk], i: usize) -> Option<Problem> {
    let disk = &disks[i];
    let target_child = disk.facts.linkages().merge();
    let as_layer = target_child.and_then(|target_child| of_target_child(disks, i, target_child));
    let is_half_merged = MergeId::from_guid(disk.facts.data_write_guid).is_some();
    // A disk that was merged and is used again can be the target of another merge.
    match (as_layer, target_child) {
        (Some(problem), _) => Some(problem),
        (None, _) if is_half_merged => half_merged(disks, i),
        (None, Some(_)) => None,
        (None, None) => of_earlier_version(disks, i),
    }
}

fn path(disk: &DiscoveredDisk) -> PathBuf {
    disk.facts.path.clone()
}

/// The disks by their positions.
struct Forest<'a>(&'a [DiscoveredDisk]);

impl Disks for Forest<'_> {
    type Id = usize;

    fn facts(&self, at: usize) -> (Uuid, Linkages) {
        (self.0[at].facts.data_write_guid, self.0[at].facts.linkages())
    }

    fn children(&self, at: usize) -> Vec<usize> {
        self.0[at].children.clone()
    }

    /// Returns `false`, because relinked children need no special case here.
    ///
    /// If the target is in the forest, a relinked child is already linked to the target. So it is not among the
    /// [`children`](Disks::children) of the layer.
    fn has(&self, _: Uuid) -> bool {
        false
    }
}

/// Returns the problem of the target's child of a merge.
fn of_target_child(disks: &[DiscoveredDisk], i: usize, target_child: TargetChild) -> Option<Problem> {
    let target = disks[i].parent.map(|parent| &disks[parent]);
    let is_flagged = target.is_some_and(|target| target.facts.data_write_guid == target_child.merge.guid());
    if is_flagged || !target_child.is_complete {
        return Some(match (merged_disk(disks, i), target?) {
            (Some(merged), target) => {
                Problem::MergeBegun { path: path(merged), target: path(target), is_certain: true }
            }
            // The layer itself cannot be merged.
            (None, target) => {
                Problem::LayerOfMerge { path: path(&disks[i]), merged: None, target: Some(path(target)) }
            }
        });
    }
    // The order of deletion: each file before its parent.
    let layers =
        LeftOvers::new(Forest(disks)).with_descendants(i)?.into_iter().map(|at| path(&disks[at])).collect();
    Some(Problem::LeftOver { path: path(&disks[i]), layers, target: target.map(path) })
}

/// Returns the problem of a target, unless the merged disk is in the forest: that disk has a problem that says more.
fn half_merged(disks: &[DiscoveredDisk], i: usize) -> Option<Problem> {
    let is_of_merge = |&child: &usize| {
        let target_child = disks[child].facts.linkages().merge();
        target_child.is_some_and(|target_child| target_child.merge.guid() == disks[i].facts.data_write_guid)
    };
    let mut layers = disks[i].children.iter().filter(|child| is_of_merge(child));
    let has_merged = layers.any(|&layer| merged_disk(disks, layer).is_some());
    (!has_merged).then(|| Problem::HalfMerged { path: path(&disks[i]) })
}

/// Returns the merges that have to be completed, as the merged disk and the target.
///
/// A complete merge counts, too, as long as its merged disk exists and is unchanged: children may have to be relinked, and
/// files to be deleted. A merge of an earlier version does not count: its files do not say whether it is complete.
pub(crate) fn merges_to_complete(disks: &[DiscoveredDisk]) -> Vec<(usize, usize)> {
    let merge = |(i, disk): (usize, &DiscoveredDisk)| {
        let target_child = disk.facts.linkages().merge()?;
        let (merged, target) = (index_of_merged(disks, i)?, disk.parent?);
        let guid = disks[target].facts.data_write_guid;
        let is_incomplete = !target_child.is_complete || guid == target_child.merge.guid();
        let is_unchanged = target_child.merge.is_of(disks[merged].facts.data_write_guid);
        (is_incomplete || target_child.is_complete_in(guid) && is_unchanged).then_some((merged, target))
    };
    disks.iter().enumerate().filter_map(merge).collect()
}

/// Returns the merged disk of a merge with the target's child `i`, which is that layer if only one level is merged.
fn merged_disk(disks: &[DiscoveredDisk], i: usize) -> Option<&DiscoveredDisk> {
    index_of_merged(disks, i).map(|at| &disks[at])
}

fn index_of_merged(disks: &[DiscoveredDisk], i: usize) -> Option<usize> {
    let Some(required) = disks[i].facts.linkages().required_mark() else { return Some(i) };
    let carries =
        |at: &usize| disks[*at].facts.linkages().carried_mark().is_some_and(|mark| required.is(mark));
    descendants(disks, i).find(carries)
}

/// Returns the descendants of a disk, parents before their children.
fn descendants(disks: &[DiscoveredDisk], i: usize) -> impl Iterator<Item = usize> {
    let mut found = disks[i].children.clone();
    let mut next = 0;
    while let Some(&at) = found.get(next) {
        found.extend(&disks[at].children);
        next += 1;
    }
    found.into_iter()
}

/// Returns the problem of the target's child of a merge that an earlier version began.
///
/// Its files do not say whether the merge is complete. With several levels, the layer requires a mark. With one level,
/// it names its parent by the second linkage. So does a child that was relinked to a target which is not in the forest,
/// and which still reads through its former parent. If this version relinked the child, its linkages show that. If an
/// earlier version did, its former parent usually no longer opens.
fn of_earlier_version(disks: &[DiscoveredDisk], i: usize) -> Option<Problem> {
    let disk = &disks[i];
    let parent = disk.parent.map(|parent| &disks[parent]);
    let is_descendant = |other: &&DiscoveredDisk| {
        let parent_of = |&at: &usize| disks[at].parent;
        std::iter::successors(other.parent, parent_of).take(MAX_CHAIN_LENGTH).any(|at| at == i)
    };
    if let Some(required) = disk.facts.linkages().required_mark() {
        let carries = |other: &&DiscoveredDisk| {
            other.facts.linkages().carried_mark().is_some_and(|mark| required.is(mark))
        };
        let carriers = || disks.iter().filter(carries);
        let merged = carriers().find(is_descendant).or_else(|| carriers().next());
        let [merged, target] = [merged, parent].map(|disk| disk.map(path));
        return Some(Problem::LayerOfMerge { path: path(disk), merged, target });
    }
    if disk.facts.linkages().is_relinked() {
        return None;
    }
    let [_, second] = disk.facts.guids_of_parent()[..] else { return None };
    let target = parent.filter(|parent| parent.facts.data_write_guid == second && opens(disks, parent))?;
    // The merged disk already carries a mark, so the merge has several levels and was about to write the mark here.
    let has_mark = |other: &&DiscoveredDisk| other.facts.linkages().carried_mark().is_some();
    let merged = disks.iter().filter(has_mark).find(is_descendant).unwrap_or(disk);
    Some(Problem::MergeBegun { path: path(merged), target: path(target), is_certain: false })
}

/// Returns whether all ancestors of a disk are in the forest.
pub(super) fn opens(disks: &[DiscoveredDisk], disk: &DiscoveredDisk) -> bool {
    let parent = |disk: &&DiscoveredDisk| disk.parent.map(|parent| &disks[parent]);
    std::iter::successors(Some(disk), parent)
        .take(MAX_CHAIN_LENGTH)
        .all(|disk| matches!(disk.link, DiskLink::Base | DiskLink::Ok))
}
