//! Groups neighbouring checkpoints, so that one merge deletes them.

use std::collections::HashSet;

use crate::family::{Family, Forest};

/// Neighbouring checkpoints to delete, and the disk that is merged into the oldest of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The checkpoints, oldest first. The first one is the merge target.
    pub(super) checkpoints: Vec<usize>,
    /// The child of the newest of them.
    pub(super) leaf: usize,
}

/// Returns the runs of a family. Each of the checkpoints has one child.
pub(super) fn runs(forest: &Forest, family: &Family, deleted: &HashSet<usize>) -> Vec<Run> {
    let is_first = |disk: &&usize| {
        let parent = forest.disks[**disk].parent;
        deleted.contains(disk) && !parent.is_some_and(|parent| deleted.contains(&parent))
    };
    let run = |&first: &usize| {
        let mut checkpoints = vec![first];
        let mut leaf = *forest.disks[first].children.first()?;
        while deleted.contains(&leaf) {
            checkpoints.push(leaf);
            leaf = *forest.disks[leaf].children.first()?;
        }
        Some(Run { checkpoints, leaf })
    };
    family.disks.iter().filter(is_first).filter_map(run).collect()
}
