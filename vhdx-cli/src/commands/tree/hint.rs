//! Returns commands that solve the problems in a forest: they complete merges, and repair chains with stale paths.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use vhdx::ops::has_prune_journal;
use vhdx::{DiscoveredDisk, DiskLink, Forest, MAX_CHAIN_LENGTH, Problem};

use crate::output::{merge_command, word};

/// Returns the command that completes each merge that is or may be incomplete.
pub(super) fn incomplete_merges(forest: &Forest) -> impl Iterator<Item = String> {
    forest.all_problems().into_iter().filter_map(|problem| match problem {
        // The same prune completes its merges.
        Problem::MergeBegun { target, .. } if has_prune_journal(target) => None,
        Problem::MergeBegun { path, target, .. } => Some(merge_command(path, Some(target))),
        _ => None,
    })
}

/// Returns the command that merges each leaf whose chain is whole, but has stored paths that do not lead to a parent.
pub(super) fn merges(forest: &Forest) -> impl Iterator<Item = String> {
    let left_over = left_over(forest);
    let is_leaf = move |disk: &&DiscoveredDisk| {
        disk.children.is_empty() && !left_over.contains(disk.facts.path.as_path())
    };
    forest.disks.iter().filter(is_leaf).filter_map(|leaf| {
        let chain = chain(forest, leaf)?;
        let is_stale =
            |disk: &&DiscoveredDisk| disk.problems.iter().any(|p| matches!(p, Problem::StalePath { .. }));
        chain.iter().any(is_stale).then(|| merge(&chain))
    })
}

/// Returns the files that completed merges no longer need: they are to be deleted.
fn left_over(forest: &Forest) -> BTreeSet<&Path> {
    let layers = forest.all_problems().into_iter().filter_map(|problem| match problem {
        Problem::LeftOver { layers, .. } => Some(layers),
        _ => None,
    });
    layers.flatten().map(PathBuf::as_path).collect()
}

/// Returns the command that relinks each of these disks whose chain is whole, but whose stored paths do not lead to its
/// parent.
pub(super) fn reparents<'a>(
    forest: &'a Forest,
    disks: impl Iterator<Item = &'a DiscoveredDisk>,
) -> impl Iterator<Item = String> {
    disks.filter(|disk| chain(forest, disk).is_some()).flat_map(|disk| {
        disk.problems.iter().filter_map(|problem| match problem {
            Problem::StalePath { path, parent, configuration: None, .. } => {
                let command = format!("vhdx reparent {} --parent {}", word(path), word(parent));
                Some(command + &folders_of_descendants(forest, disk))
            }
            _ => None,
        })
    })
}

/// Returns the `--parent-dir` options that `reparent` needs to find the descendants of a disk.
///
/// They are needed if an ancestor requires the mark of a merge of several levels: a descendant carries the mark.
fn folders_of_descendants(forest: &Forest, disk: &DiscoveredDisk) -> String {
    let requires_mark = |disk: &&DiscoveredDisk| disk.facts.requires_mark();
    if !chain(forest, disk).is_some_and(|chain| chain.iter().skip(1).any(requires_mark)) {
        return String::new();
    }
    let mut found: Vec<&DiscoveredDisk> = vec![disk];
    let mut next = 0;
    while let Some(disk) = found.get(next).copied() {
        found.extend(disk.children.iter().filter_map(|&child| forest.disks.get(child)));
        next += 1;
    }
    let folder = |disk: &&DiscoveredDisk| disk.facts.path.parent().map(Path::to_owned);
    let folders: BTreeSet<PathBuf> = found.iter().filter_map(folder).collect();
    let options = folders.into_iter().filter(|folder| Some(folder.as_path()) != disk.facts.path.parent());
    options.map(|folder| format!(" --parent-dir {}", word(&folder))).collect()
}

/// Returns a leaf and all its parents, if all were found.
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
        command += &word(&disk.facts.path);
    }
    command + " --output NEW.vhdx"
}
