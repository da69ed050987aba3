//! Commands for what is wrong in a forest: they complete merges, and open chains whose files do not find each other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use vhdx::{DiscoveredDisk, DiskLink, Forest, MAX_CHAIN_LENGTH, Problem};

use crate::output::{merge_command, word};

/// For each merge that is incomplete, or may be: the command that completes it.
pub(super) fn incomplete_merges(forest: &Forest) -> impl Iterator<Item = String> {
    forest.all_problems().into_iter().filter_map(|problem| match problem {
        Problem::MergeBegun { path, target, .. } => Some(merge_command(path, Some(target))),
        _ => None,
    })
}

/// For each leaf of a whole chain whose stored paths do not lead to all parents: the command that merges it.
pub(super) fn merges(forest: &Forest) -> impl Iterator<Item = String> {
    forest.disks.iter().filter(|disk| disk.children.is_empty()).filter_map(|leaf| {
        let chain = chain(forest, leaf)?;
        let is_stale =
            |disk: &&DiscoveredDisk| disk.problems.iter().any(|p| matches!(p, Problem::StalePath { .. }));
        chain.iter().any(is_stale).then(|| merge(&chain))
    })
}

/// For each of these disks whose stored paths do not lead to its parent, and whose chain is whole: the command that
/// changes them.
pub(super) fn reparents<'a>(
    forest: &'a Forest,
    disks: impl Iterator<Item = &'a DiscoveredDisk>,
) -> impl Iterator<Item = String> {
    disks.filter(|disk| chain(forest, disk).is_some()).flat_map(|disk| {
        disk.problems.iter().filter_map(|problem| match problem {
            Problem::StalePath { path, parent, .. } => {
                let command = format!("vhdx reparent {} --parent {}", word(path), word(parent));
                Some(command + &folders_above(forest, disk))
            }
            _ => None,
        })
    })
}

/// Below a disk that a merge of several levels has left, what stands on it must be found, too: it has the mark.
fn folders_above(forest: &Forest, disk: &DiscoveredDisk) -> String {
    let requires_mark = |disk: &&DiscoveredDisk| disk.requires_mark();
    if !chain(forest, disk).is_some_and(|chain| chain.iter().skip(1).any(requires_mark)) {
        return String::new();
    }
    let mut above: Vec<&DiscoveredDisk> = vec![disk];
    let mut next = 0;
    while let Some(disk) = above.get(next).copied() {
        above.extend(disk.children.iter().filter_map(|&child| forest.disks.get(child)));
        next += 1;
    }
    let folder = |disk: &&DiscoveredDisk| disk.path.parent().map(Path::to_owned);
    let folders: BTreeSet<PathBuf> = above.iter().filter_map(folder).collect();
    let options = folders.into_iter().filter(|folder| Some(folder.as_path()) != disk.path.parent());
    options.map(|folder| format!(" --parent-dir {}", word(&folder))).collect()
}

/// A leaf and all its parents, if all are there.
fn chain<'a>(forest: &'a Forest, leaf: &'a DiscoveredDisk) -> Option<Vec<&'a DiscoveredDisk>> {
    let parent = |disk: &&DiscoveredDisk| disk.parent.and_then(|index| forest.disks.get(index));
    let chain: Vec<_> = std::iter::successors(Some(leaf), parent).take(MAX_CHAIN_LENGTH + 1).collect();
    let is_whole = chain.len() <= MAX_CHAIN_LENGTH && chain.last()?.link == DiskLink::Base;
    is_whole.then_some(chain)
}

fn merge(chain: &[&DiscoveredDisk]) -> String {
    let mut command = "vhdx merge".to_owned();
    for (level, disk) in chain.iter().enumerate() {
        command += if level == 0 { " " } else { " --parent " };
        command += &word(&disk.path);
    }
    command + " --output NEW.vhdx"
}
