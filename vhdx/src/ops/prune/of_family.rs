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

/// The plan of a family, or of several.
#[derive(Default)]
pub(super) struct FamilyPlan {
    /// The merges that are possible, each with what it takes and frees.
    pub(super) merges: Vec<(PruneMerge, Uses)>,
    pub(super) kept: Vec<KeptCheckpoint>,
    /// A file on each file system.
    pub(super) places: BTreeMap<Option<u64>, PathBuf>,
}

impl FamilyPlan {
    pub(super) fn extend(&mut self, other: FamilyPlan) {
        self.merges.extend(other.merges);
        self.kept.extend(other.kept);
        self.places.extend(other.places);
    }

    fn add(&mut self, merge: PruneMerge, measure: Measure) {
        self.merges.push((merge, measure.uses));
        self.places.extend(measure.places);
    }
}

impl Planner<'_> {
    pub(super) fn path(&self, disk: usize) -> &Path {
        &self.known.forest.disks[disk].facts.path
    }

    fn kept(&self, disk: usize, reason: KeepReason) -> KeptCheckpoint {
        let names = self.known.checkpoints.get(&disk).map(|checkpoint| checkpoint.names.clone());
        let path = self.path(disk).to_owned();
        KeptCheckpoint { path, names: names.unwrap_or_default(), reason } // Most have no name.
    }

    /// Keeps all checkpoints of a family.
    pub(super) fn keep_all(&self, family: &Family, reason: impl Fn() -> KeepReason) -> FamilyPlan {
        let checkpoints = family.disks.iter().filter(|disk| self.known.checkpoints.contains_key(disk));
        FamilyPlan {
            kept: checkpoints.map(|&disk| self.kept(disk, reason())).collect(),
            ..FamilyPlan::default()
        }
    }

    /// Plans to complete the merges of a family.
    pub(super) fn complete(&self, family: &Family, merges: &[(usize, usize)]) -> FamilyPlan {
        let mut plan = FamilyPlan::default();
        let mut is_possible = true;
        for &(merged, target) in merges {
            match self.prepare(family, merged, target) {
                Ok((merge, measure)) => {
                    plan.add(PruneMerge { stage: PruneStage::Complete, ..merge }, measure)
                }
                Err(reason) => {
                    is_possible = false;
                    plan.kept.push(self.kept(target, reason));
                }
            }
        }
        plan.extend(match is_possible {
            true => self.keep_all(family, || KeepReason::Postponed),
            false => self.keep_all(family, || KeepReason::UnfinishedMerge),
        });
        plan
    }

    /// Plans to delete checkpoints of a family without incomplete merges.
    pub(super) fn delete(&self, family: &Family) -> FamilyPlan {
        if family.disks.iter().any(|&disk| self.has_unclear_merge(disk)) {
            return self.keep_all(family, || KeepReason::UnfinishedMerge);
        }
        if let Some(path) = self.older_copy(family) {
            return self.keep_all(family, || KeepReason::OlderCopy { path: path.to_owned() });
        }
        let mut plan = FamilyPlan::default();
        let times = self.known.times(family);
        let mut deleted = HashSet::new();
        for (disk, reason) in self.known.decide(family, &times) {
            match reason {
                Some(reason) => plan.kept.push(self.kept(disk, reason)),
                None => drop(deleted.insert(disk)),
            }
        }
        for Run { checkpoints, leaf } in runs(self.known.forest, family, &deleted) {
            match self.prepare(family, leaf, checkpoints[0]) {
                Ok((merge, measure)) => {
                    let checkpoints = checkpoints.iter().map(|disk| self.pruned(*disk, &times)).collect();
                    plan.add(PruneMerge { checkpoints, ..merge }, measure);
                }
                Err(reason) => {
                    plan.kept.extend(checkpoints.iter().map(|&disk| self.kept(disk, reason.clone())));
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
