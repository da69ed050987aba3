//! Merging level by level from the leaf, which needs less space at a time than one merge over all levels: after each
//! step the merged file is deleted.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::files::MergeFiles;
use super::needs::{self, VolumeNeed};
use super::plan::Passes;
use super::{FileState, MergeOptions, MergePlan};
use crate::disk::Chain;
use crate::error::Result;
use crate::family::Relatives;

/// One merge of several: a disk goes into its parent, and is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MergeStep {
    /// The file that is merged. After the first step it has taken in all files before it.
    pub child: PathBuf,
    /// Its parent.
    pub into: PathBuf,
    /// How many bytes of space the step takes at most. The number is that of a plan for the first step, and an upper
    /// bound for the others.
    pub bytes_needed: u64,
}

/// How the free space of one file system changes before a step.
#[derive(Clone, Copy, Debug, Default)]
struct Balance {
    /// The space of the files that were deleted.
    freed: u64,
    /// What the children of the leaf have taken. They are written to in each step, and none of them is deleted.
    kept: u64,
    /// What the step before has taken. Its target is still there.
    taken: u64,
}

impl Balance {
    fn available(&self, free: u64) -> u64 {
        free.saturating_add(self.freed).saturating_sub(self.kept).saturating_sub(self.taken)
    }
}

impl MergePlan {
    /// The merges that do the same as one merge of the leaf into layer `target` with `delete_merged`, one level at a time,
    /// if the space that is free now suffices for every one of them. Empty if it does not, if that is not known to be so,
    /// and where only one level is merged.
    ///
    /// A step is counted to fit if what it takes at most is free now, or becomes free by the deletions of the steps before
    /// it, less what these have taken at most. What a deletion frees is what
    /// [`bytes_freed_by_deletion`](MergeFiles::bytes_freed_by_deletion) says.
    ///
    /// # Errors
    /// As [`new`](Self::new), and those of the host.
    pub fn steps_that_fit(
        chain: &Chain,
        target: usize,
        relatives: &Relatives,
        options: &MergeOptions,
        files: &dyn MergeFiles,
    ) -> Result<Vec<MergeStep>> {
        if target < 2 {
            return Ok(Vec::new());
        }
        let options = MergeOptions { delete_merged: true, ignore_space: false, ..*options };
        let (mut balances, mut steps) = (BTreeMap::<Option<u64>, Balance>::new(), Vec::new());
        for into in 1..=target {
            let passes = if into == 1 { Passes::One } else { Passes::LevelByLevel };
            let plan = Self::counting(chain, into, relatives, &options, passes)?;
            let ([.., child, target], false) = (&*plan.layers, plan.needs.has_begun() || plan.copied) else {
                return Ok(Vec::new());
            };
            let needs = plan.needs.by_volume(files)?;
            for need in &needs {
                let balance = balances.entry(need.volume).or_default();
                if files.free_space(need.path)?.is_some_and(|free| balance.available(free) < need.bytes) {
                    return Ok(Vec::new());
                }
            }
            steps.push(MergeStep {
                child: child.path.clone(),
                into: target.path.clone(),
                bytes_needed: needs.iter().fold(0, |sum, need| sum.saturating_add(need.bytes)),
            });
            balances.values_mut().for_each(|balance| balance.taken = 0);
            for VolumeNeed { volume, bytes, .. } in needs {
                balances.entry(volume).or_default().taken = bytes;
            }
            for child in &plan.children {
                let balance = balances.entry(volume_of(child)).or_default();
                balance.kept = balance.kept.saturating_add(needs::bytes_of_child(child, relatives));
            }
            let balance = balances.entry(volume_of(child)).or_default();
            balance.freed = balance.freed.saturating_add(files.bytes_freed_by_deletion(&child.path)?);
        }
        Ok(steps)
    }
}

fn volume_of(file: &FileState) -> Option<u64> {
    file.identity.map(|identity| identity.volume())
}

#[cfg(test)]
mod tests;
