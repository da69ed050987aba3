//! Keeps checkpoints whole: a checkpoint of several disks is deleted on all of these disks, or on none.
//!
//! Hyper-V deletes a checkpoint on all of its disks. If the state of one disk stays, the states of the others cannot be
//! applied together with it any more.

use std::collections::{BTreeMap, HashMap, HashSet};

/// Which disks each checkpoint froze.
pub(super) struct WholeCheckpoints {
    /// The disks of each checkpoint with several disks.
    groups: Vec<Vec<usize>>,
    /// The positions of the groups of each disk.
    of_disk: HashMap<usize, Vec<usize>>,
}

impl WholeCheckpoints {
    /// `groups` are the disks of each checkpoint.
    pub(super) fn new(groups: Vec<Vec<usize>>) -> Self {
        let groups: Vec<Vec<usize>> = groups.into_iter().filter(|group| group.len() > 1).collect();
        let mut of_disk: HashMap<usize, Vec<usize>> = HashMap::new();
        for (number, group) in groups.iter().enumerate() {
            for &disk in group {
                of_disk.entry(disk).or_default().push(number);
            }
        }
        Self { groups, of_disk }
    }

    /// Returns the disks that must be kept because of others, each with the disk of `kept` that causes this.
    ///
    /// A disk can belong to several checkpoints, so one kept disk can keep the disks of a chain of checkpoints. If
    /// several of `kept` keep a disk, the first one of them is its reason. The work is linear in the number of disks of
    /// all checkpoints.
    pub(super) fn kept_with(&self, kept: &[usize]) -> BTreeMap<usize, usize> {
        let have_own_reason: HashSet<usize> = kept.iter().copied().collect();
        let mut is_done = vec![false; self.groups.len()];
        let mut others = BTreeMap::new();
        for &first in kept {
            let mut waiting = vec![first];
            while let Some(disk) = waiting.pop() {
                // Most disks belong to no checkpoint with several disks.
                for &number in self.of_disk.get(&disk).into_iter().flatten() {
                    if std::mem::replace(&mut is_done[number], true) {
                        continue;
                    }
                    for &other in &self.groups[number] {
                        if !have_own_reason.contains(&other) && !others.contains_key(&other) {
                            others.insert(other, first);
                            waiting.push(other);
                        }
                    }
                }
            }
        }
        others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept_with(groups: &[&[usize]], kept: &[usize]) -> Vec<(usize, usize)> {
        let groups = groups.iter().map(|group| group.to_vec()).collect();
        WholeCheckpoints::new(groups).kept_with(kept).into_iter().collect()
    }

    #[test]
    fn one_kept_disk_keeps_the_others_of_its_checkpoint() {
        let groups: [&[usize]; 3] = [&[0, 10, 20], &[1, 11], &[2]];
        assert_eq!(kept_with(&groups, &[]), []);
        assert_eq!(kept_with(&groups, &[10]), [(0, 10), (20, 10)]);
        assert_eq!(kept_with(&groups, &[1, 2]), [(11, 1)]);
        assert_eq!(kept_with(&groups, &[0, 10, 20]), []);
        assert_eq!(kept_with(&groups, &[99]), [], "a disk of no checkpoint");
    }

    #[test]
    fn a_kept_disk_also_keeps_checkpoints_that_share_a_disk() {
        let groups: [&[usize]; 3] = [&[0, 1], &[1, 2], &[2, 3]];
        assert_eq!(kept_with(&groups, &[0]), [(1, 0), (2, 0), (3, 0)]);
        // The first one is the reason, also far away.
        assert_eq!(kept_with(&groups, &[3, 0]), [(1, 3), (2, 3)]);
        assert_eq!(kept_with(&groups, &[0, 3]), [(1, 0), (2, 0)]);
    }

    #[test]
    fn many_checkpoints_of_one_disk_take_linear_time() {
        let groups: Vec<Vec<usize>> = (1..100_000).map(|disk| vec![0, disk]).collect();
        let kept: Vec<usize> = (50_000..100_000).collect();
        let others = WholeCheckpoints::new(groups).kept_with(&kept);
        assert_eq!(others.len(), 50_000);
        assert!(others.values().all(|&of| of == 50_000));
    }
}
