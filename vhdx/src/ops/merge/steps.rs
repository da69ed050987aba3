//! Plans to merge level by level, from the leaf on.
//!
//! The merged file is deleted after each step, so a step needs less space than one merge of all levels.
//!
//! Upper bounds saturate: what no host has room for may take any larger number. So do the numbers of the host.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::files::MergeFiles;
use super::needs::VolumeNeed;
use super::options::{MergeOptions, Passes};
use super::plan::MergePlan;
use super::space;
use super::state::FileState;
use crate::disk::Chain;
use crate::error::Result;
use crate::family::Relatives;

/// One merge of several: a disk is merged into its parent and deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MergeStep {
    /// The file that is merged. From the second step on, it contains all files before it.
    pub child: PathBuf,
    /// Its parent.
    pub into: PathBuf,
    /// The most bytes of space that the step takes.
    ///
    /// For the first step it is the number of its plan, for the others an upper bound.
    pub bytes_needed: u64,
}

/// The changes of the free space of one file system before a step.
#[derive(Clone, Copy, Debug, Default)]
struct Balance {
    /// The space that the deletions of earlier steps have freed.
    freed: u64,
    /// The space that the children of the merged disk have taken.
    ///
    /// Each step writes to them, and none is deleted.
    kept: u64,
    /// The space that the step before has taken. Its target still exists.
    taken: u64,
}

impl Balance {
    /// Returns the space that is free at least before the step: 0 if the steps before may have taken all of it.
    fn available(&self, free: u64) -> u64 {
        free.saturating_add(self.freed).saturating_sub(self.kept).saturating_sub(self.taken)
    }
}

impl MergePlan {
    /// Plans one merge for each level, with the same result as one merge into layer `target`.
    ///
    /// This one merge has [`delete_merged`](MergeOptions::delete_merged) set. The result is empty if the space that is
    /// free now is not enough for every step, if the merge has begun or is complete, or if there is only one level.
    ///
    /// A step fits if the most that it takes is free now, or becomes free by the deletions of earlier steps, less the
    /// most that those take. [`bytes_freed_by_deletion`](MergeFiles::bytes_freed_by_deletion) says what a deletion
    /// frees. A file system that does not report its free space counts as large enough.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare) for a chain that is open, and those of the host.
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
                // An upper bound may be any larger number.
                bytes_needed: needs.iter().fold(0, |sum, need| sum.saturating_add(need.bytes)),
            });
            balances.values_mut().for_each(|balance| balance.taken = 0);
            for VolumeNeed { volume, bytes, .. } in needs {
                balances.entry(volume).or_default().taken = bytes;
            }
            // A host may report any numbers. The largest ones stay the largest.
            for child in &plan.children {
                let balance = balances.entry(volume_of(child)).or_default();
                balance.kept = balance.kept.saturating_add(space::bytes_of_child(child, relatives));
            }
            let balance = balances.entry(volume_of(child)).or_default();
            // A host may report any number here, too.
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
