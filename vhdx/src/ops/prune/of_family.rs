//! Plans the merges of one family.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::files::PruneFiles;
use super::keep::{KeepReason, KeptCheckpoint};
use super::measure::Measure;
use super::order::Uses;
use super::plan::{PruneMerge, PruneStage, PrunedCheckpoint};
use super::runs::{Run, runs};
use super::select::Known;
use crate::error::{Conflict, Error, Result};
use crate::family::{Family, FamilyRelatives, Problem, TimeSource};
use crate::ops::merge::{FileState, MergeOptions, MergePlan, MergeTarget, Planned};
use crate::ops::related_parents::RelatedParents;

/// What the plan of a family needs to know. Families are planned in several threads.
pub(super) struct Planner<'a> {
    pub(super) known: Known<'a>,
    pub(super) relatives: FamilyRelatives<'a>,
    pub(super) parents: RelatedParents,
    pub(super) options: MergeOptions,
    pub(super) files: &'a dyn PruneFiles,
    /// The configurations of machines that name each disk.
    pub(super) machines: HashMap<usize, BTreeSet<PathBuf>>,
    pub(super) checkpoint_configurations: HashMap<usize, BTreeSet<PathBuf>>,
}

/// What is decided about a family before any file is opened.
pub(super) enum Decision {
    /// All of its disks stay as they are, for one reason.
    Keep(KeepReason),
    /// These disks are kept. All other checkpoints can be deleted.
    Select(Vec<(usize, KeepReason)>),
}

/// The merges of a family.
#[derive(Default)]
pub(super) struct FamilyPlan {
    /// The merges that are possible, each with what it takes and frees.
    pub(super) merges: Vec<(PruneMerge, Uses)>,
    /// The disks whose merges are not possible.
    pub(super) refused: Vec<(usize, KeepReason)>,
    /// A file on each file system.
    pub(super) places: BTreeMap<Option<u64>, PathBuf>,
}

impl FamilyPlan {
    fn add(&mut self, merge: PruneMerge, measure: Measure) {
        self.merges.push((merge, measure.uses));
        self.places.extend(measure.places);
    }
}

impl Planner<'_> {
    pub(super) fn path(&self, disk: usize) -> &Path {
        &self.known.forest.disks[disk].facts.path
    }

    pub(super) fn kept(&self, disk: usize, reason: KeepReason) -> KeptCheckpoint {
        let names = self.known.checkpoints.get(&disk).map(|checkpoint| checkpoint.names.clone());
        let path = self.path(disk).to_owned();
        KeptCheckpoint { path, names: names.unwrap_or_default(), reason } // Most have no name.
    }

    /// Plans to complete the merges of a family.
    pub(super) fn complete(&self, family: &Family, merges: &[(usize, usize)]) -> FamilyPlan {
        let mut plan = FamilyPlan::default();
        for &(merged, target) in merges {
            match self.prepare(family, merged, target) {
                Ok((merge, measure)) => {
                    plan.add(PruneMerge { stage: PruneStage::Complete, ..merge }, measure)
                }
                Err(reason) => plan.refused.push((target, reason)),
            }
        }
        plan
    }

    /// Decides which disks of a family without incomplete merges are kept. No file is opened.
    pub(super) fn decide(&self, family: &Family) -> Decision {
        if family.disks.iter().any(|&disk| self.has_unclear_merge(disk)) {
            return Decision::Keep(KeepReason::UnfinishedMerge);
        }
        if let Some(path) = self.older_copy(family) {
            return Decision::Keep(KeepReason::OlderCopy { path: path.to_owned() });
        }
        let decided = self.known.decide(family, &self.known.times(family)).into_iter();
        let kept = decided.filter_map(|(disk, reason)| Some((disk, reason?)));
        let leaves = family.leaves.iter().map(|&leaf| (leaf, self.known.leaf_stays(leaf)));
        Decision::Select(kept.chain(leaves).collect())
    }

    /// Plans the merges that delete checkpoints of a family.
    pub(super) fn delete(&self, family: &Family, deleted: &HashSet<usize>) -> FamilyPlan {
        let mut plan = FamilyPlan::default();
        let times = self.known.times(family);
        for Run { checkpoints, leaf } in runs(self.known.forest, family, deleted) {
            match self.prepare(family, leaf, checkpoints[0]) {
                Ok((merge, measure)) => {
                    let checkpoints = checkpoints.iter().map(|disk| self.pruned(*disk, &times)).collect();
                    plan.add(PruneMerge { checkpoints, ..merge }, measure);
                }
                Err(reason) => {
                    plan.refused.extend(checkpoints.iter().map(|&disk| (disk, reason.clone())));
                }
            }
        }
        plan
    }

    /// Returns whether a disk has to do with a merge that may be incomplete and cannot be completed from here.
    fn has_unclear_merge(&self, disk: usize) -> bool {
        let is_unclear = |problem: &Problem| {
            matches!(
                problem,
                Problem::LayerOfMerge { .. } | Problem::MergeBegun { .. } | Problem::HalfMerged { .. }
            )
        };
        self.known.forest.disks[disk].problems.iter().any(is_unclear)
    }

    /// Returns a disk of a family that lacks the data that a prune merged into it.
    fn older_copy(&self, family: &Family) -> Option<&Path> {
        let is_older = |problem: &Problem| matches!(problem, Problem::OlderThanPrune { .. });
        let disk =
            family.disks.iter().find(|&&disk| self.known.forest.disks[disk].problems.iter().any(is_older));
        disk.map(|&disk| self.path(disk))
    }

    fn pruned(&self, disk: usize, times: &HashMap<usize, SystemTime>) -> PrunedCheckpoint {
        let checkpoint = &self.known.checkpoints[&disk];
        PrunedCheckpoint {
            path: self.path(disk).to_owned(),
            names: checkpoint.names.clone(),
            time: times.get(&disk).copied(),
            time_source: match times.get(&disk) == checkpoint.time.as_ref() {
                true => checkpoint.time_source,
                false => TimeSource::Parent,
            },
            size: checkpoint.size,
        }
    }

    /// Plans the merge of a disk, and of all layers between, into an ancestor.
    ///
    /// # Errors
    /// The reason to keep its checkpoints.
    fn prepare(
        &self,
        family: &Family,
        leaf: usize,
        target: usize,
    ) -> Result<(PruneMerge, Measure), KeepReason> {
        let refused = |error: Error| KeepReason::Refused(Arc::new(error));
        let relatives = self.relatives.of_family(family);
        if !self.options.ignore_undetermined {
            // Fails early: planning would return the same error, but only after opening the chain.
            relatives.ensure_all_determined(self.path(leaf)).map_err(refused)?;
        }
        let folders = relatives.folders.clone();
        let into = MergeTarget::Ancestor(self.path(target));
        let search = |_: Vec<&Path>| Ok(relatives.clone());
        let planned = MergePlan::prepare_among(self.path(leaf), into, &self.parents, search, &self.options)
            .map_err(|error| refused(error.into()))?;
        let (merged, written) = self.files_of(&planned).map_err(refused)?;
        for file in written.iter().map(PathBuf::as_path).chain([self.path(target)]) {
            if self.files.has_other_names(file).map_err(refused)? {
                return Err(KeepReason::SeveralNames { file: file.to_path_buf() });
            }
        }
        let measure = match &planned {
            Planned::Ready(plan) | Planned::Complete(plan) => {
                Measure::of(plan, self.files).map_err(refused)?
            }
            Planned::AlreadyMerged(_) => Measure::default(),
        };
        // Most disks are named by no configuration.
        let named =
            |by: &HashMap<usize, BTreeSet<PathBuf>>| by.get(&leaf).into_iter().flatten().cloned().collect();
        let merge = PruneMerge {
            stage: PruneStage::Delete,
            checkpoints: Vec::new(),
            merged,
            target: self.path(target).to_owned(),
            is_newest: self.known.forest.disks[leaf].children.is_empty(),
            machines: named(&self.machines),
            checkpoint_configurations: named(&self.checkpoint_configurations),
            bytes_to_copy: measure.bytes_to_copy,
            bytes_taken: measure.bytes_taken,
            bytes_freed: measure.bytes_freed,
            folders,
        };
        Ok((merge, measure))
    }

    /// Returns the merged files, and all files that are written or deleted. None of them is in use.
    fn files_of(&self, planned: &Planned) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
        let paths = |states: &[FileState]| states.iter().map(|state| state.path.clone()).collect::<Vec<_>>();
        match planned {
            Planned::Ready(plan) | Planned::Complete(plan) => {
                plan.ensure_not_locked(self.files)?; // The execution checks the content again.
                let [merged @ .., _] = plan.layers() else { return Err(Error::from(Conflict::StalePlan)) };
                Ok((paths(merged), [paths(plan.layers()), paths(plan.children())].concat()))
            }
            Planned::AlreadyMerged(found) => {
                found.ensure_not_in_use(self.files)?;
                Ok((paths(found.layers()), paths(found.layers())))
            }
        }
    }
}
