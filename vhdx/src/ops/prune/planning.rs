//! Makes the plan of a prune.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::files::PruneFiles;
use super::journal::{self, Journal, Meaning, Places};
use super::keep::{KeepReason, KeptCheckpoint};
use super::measure::Measure;
use super::options::PruneOptions;
use super::order::{self, Uses};
use super::plan::{PendingDeletion, PruneMerge, PrunePlan, PruneSpace, PruneStage, PrunedCheckpoint};
use super::runs::{Run, runs};
use super::select::Known;
use crate::error::{Conflict, Error, Guaranteed, Result};
use crate::family::{
    Checkpoint, Family, FamilyRelatives, Forest, MachineConfiguration, OtherKind, Problem, TimeSource,
    merges_to_complete,
};
use crate::ops::merge::{FileState, MergeOptions, MergePlan, MergeTarget, Planned};
use crate::ops::related_parents::RelatedParents;
use crate::progress::Progress;

impl PrunePlan {
    /// Plans to delete the selected checkpoints of a forest. Nothing is written, and no file stays open.
    ///
    /// Families with an incomplete merge are only completed. Then [`needs_another`](Self::needs_another) says that
    /// checkpoints must be selected again, in the forest as it is after the execution.
    ///
    /// A checkpoint that cannot be deleted is kept with the reason. That is no error.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if `progress` asks for it, and [`Error::Io`] if a journal or the free space cannot be read.
    ///
    /// # Examples
    /// Keep the three newest checkpoints of each disk:
    /// ```no_run
    /// use std::time::SystemTime;
    /// use vhdx::ops::{HostFiles, PruneOptions, PrunePlan};
    /// use vhdx::{NoProgress, discover};
    ///
    /// # fn main() -> vhdx::Result<()> {
    /// let mut options = PruneOptions::all();
    /// options.keep_last = Some(3);
    /// loop {
    ///     let forest = discover(&["/backup/vms".into()], &NoProgress)?;
    ///     let plan = PrunePlan::new(&forest, &options, SystemTime::now(), &HostFiles, &NoProgress)?;
    ///     for merge in plan.merges.iter().filter(|merge| merge.is_newest) {
    ///         println!("use {:?} instead of {:?}", merge.target, merge.merged[0]);
    ///     }
    ///     let report = plan.execute(&forest, &HostFiles, &NoProgress);
    ///     if !plan.needs_another() || !report.is_complete() {
    ///         break;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(
        forest: &Forest,
        options: &PruneOptions,
        now: SystemTime,
        files: &dyn PruneFiles,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let checkpoints: HashMap<usize, Checkpoint> =
            forest.checkpoints().into_iter().map(|checkpoint| (checkpoint.disk, checkpoint)).collect();
        let families = forest.families();
        let mut planning = Planning {
            known: Known::new(forest, options, &checkpoints, now),
            relatives: FamilyRelatives::of(forest),
            parents: RelatedParents::of(forest),
            options: MergeOptions {
                ignore_undetermined: options.ignore_undetermined,
                delete_merged: true,
                ignore_space: options.ignore_space,
                ..MergeOptions::default()
            },
            files,
            machines: named(forest.machines.iter().map(|machine| &machine.configuration)),
            checkpoint_configurations: named(forest.checkpoint_configurations()),
            merges: Vec::new(),
            kept: Vec::new(),
            places: BTreeMap::new(),
        };
        let unfinished = merges_to_complete(&forest.disks);
        let Journals { pending, waiting, begun, blocked } = planning.journals(&unfinished)?;
        let mut to_complete: HashMap<usize, Vec<(usize, usize)>> = HashMap::new();
        let mut family_of = vec![0; forest.disks.len()];
        for (number, family) in families.iter().enumerate() {
            family.disks.iter().for_each(|&disk| family_of[disk] = number);
        }
        // What another program has begun or kept is left alone.
        let of_prune = |(_, target): &(usize, usize)| begun.contains(target);
        for merge in unfinished.into_iter().filter(of_prune) {
            to_complete.entry(family_of[merge.0]).or_default().push(merge);
        }
        let waiting: HashSet<usize> = waiting.into_iter().map(|disk| family_of[disk]).collect();
        let blocked: HashSet<usize> = blocked.into_iter().map(|disk| family_of[disk]).collect();
        for (number, family) in families.iter().enumerate() {
            if progress.is_cancelled() {
                return Err(Error::Cancelled);
            }
            match to_complete.get(&number) {
                _ if blocked.contains(&number) => planning.keep_all(family, || KeepReason::UnfinishedMerge),
                _ if waiting.contains(&number) => planning.keep_all(family, || KeepReason::Postponed),
                Some(merges) => planning.complete(family, merges),
                None => planning.delete(family),
            }
        }
        planning.finish(pending)
    }
}

/// Returns which of some configurations name each disk.
fn named<'a>(
    configurations: impl Iterator<Item = &'a MachineConfiguration>,
) -> HashMap<usize, BTreeSet<PathBuf>> {
    let mut named: HashMap<usize, BTreeSet<PathBuf>> = HashMap::new();
    for configuration in configurations {
        for disk in configuration.disks() {
            named.entry(disk).or_default().insert(configuration.path.clone());
        }
    }
    named
}

/// What the journals of a forest say.
#[derive(Default)]
struct Journals {
    pending: Vec<PendingDeletion>,
    /// The targets of these deletions, and the disks that are still to be deleted. Their families wait.
    waiting: Vec<usize>,
    /// The targets of merges that a prune has begun.
    begun: HashSet<usize>,
    /// The targets of deletions of which nothing proves that they can be completed. Their families stay as they are.
    blocked: Vec<usize>,
}

struct Planning<'a> {
    known: Known<'a>,
    relatives: FamilyRelatives<'a>,
    parents: RelatedParents,
    options: MergeOptions,
    files: &'a dyn PruneFiles,
    /// The configurations of machines that name each disk.
    machines: HashMap<usize, BTreeSet<PathBuf>>,
    checkpoint_configurations: HashMap<usize, BTreeSet<PathBuf>>,
    /// The merges that are possible, each with what it takes and frees.
    merges: Vec<(PruneMerge, Uses)>,
    kept: Vec<KeptCheckpoint>,
    /// A file on each file system.
    places: BTreeMap<Option<u64>, PathBuf>,
}

impl Planning<'_> {
    fn path(&self, disk: usize) -> &Path {
        &self.known.forest.disks[disk].facts.path
    }

    /// `unfinished` are the merges to complete, as the merged disk and the target.
    fn journals(&self, unfinished: &[(usize, usize)]) -> Result<Journals> {
        let forest = self.known.forest;
        let mut journals = Journals::default();
        let unfinished: HashSet<usize> = unfinished.iter().map(|(_, target)| *target).collect();
        let places = Places::of(forest);
        for file in forest.other_files.iter().filter(|file| file.kind == OtherKind::PruneJournal) {
            let target = forest.index_of(&journal::target_of(&file.path));
            let Some(journal) = Journal::decode(&self.files.read_journal(&file.path)?) else { continue };
            let (disks, is_proven) = match journal.meaning(&file.path, forest, &places) {
                Meaning::Merging => match target {
                    Some(target) if unfinished.contains(&target) => {
                        journals.begun.insert(target);
                        continue;
                    }
                    Some(_) => (Vec::new(), true),
                    None => (Vec::new(), false),
                },
                // Without its target, the record could not be left.
                Meaning::Delete(disks) => (disks, target.is_some()),
                Meaning::Unproven => {
                    journals.blocked.extend(target);
                    (Vec::new(), false)
                }
            };
            let files = disks.iter().map(|&disk| self.path(disk).to_owned()).collect();
            journals.pending.push(PendingDeletion { journal: file.path.clone(), files, is_proven });
            // Only then its record is left, without which names and times may be wrong.
            journals.waiting.extend(disks.into_iter().chain(target));
        }
        Ok(journals)
    }

    fn keep(&mut self, disk: usize, reason: KeepReason) {
        let names = self.known.checkpoints.get(&disk).map(|checkpoint| checkpoint.names.clone());
        let path = self.path(disk).to_owned();
        self.kept.push(KeptCheckpoint { path, names: names.unwrap_or_default(), reason }); // Most have no name.
    }

    fn keep_all(&mut self, family: &Family, reason: impl Fn() -> KeepReason) {
        for &disk in family.disks.iter().filter(|disk| self.known.checkpoints.contains_key(disk)) {
            self.keep(disk, reason());
        }
    }

    /// Plans to complete the merges of a family.
    fn complete(&mut self, family: &Family, merges: &[(usize, usize)]) {
        let mut is_possible = true;
        for &(merged, target) in merges {
            match self.prepare(family, merged, target) {
                Ok((merge, uses)) => {
                    self.merges.push((PruneMerge { stage: PruneStage::Complete, ..merge }, uses));
                }
                Err(reason) => {
                    is_possible = false;
                    self.keep(target, reason);
                }
            }
        }
        match is_possible {
            true => self.keep_all(family, || KeepReason::Postponed),
            false => self.keep_all(family, || KeepReason::UnfinishedMerge),
        }
    }

    /// Plans to delete checkpoints of a family without incomplete merges.
    fn delete(&mut self, family: &Family) {
        if family.disks.iter().any(|&disk| self.has_unclear_merge(disk)) {
            return self.keep_all(family, || KeepReason::UnfinishedMerge);
        }
        let times = self.known.times(family);
        let mut deleted = HashSet::new();
        for (disk, reason) in self.known.decide(family, &times) {
            match reason {
                Some(reason) => self.keep(disk, reason),
                None => drop(deleted.insert(disk)),
            }
        }
        for Run { checkpoints, leaf } in runs(self.known.forest, family, &deleted) {
            match self.prepare(family, leaf, checkpoints[0]) {
                Ok((merge, uses)) => {
                    let checkpoints = checkpoints.iter().map(|disk| self.pruned(*disk, &times)).collect();
                    self.merges.push((PruneMerge { checkpoints, ..merge }, uses));
                }
                Err(reason) => {
                    for disk in checkpoints {
                        self.keep(disk, reason.clone());
                    }
                }
            }
        }
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
        &mut self,
        family: &Family,
        leaf: usize,
        target: usize,
    ) -> Result<(PruneMerge, Uses), KeepReason> {
        let refused = |error: Error| KeepReason::Refused(Arc::new(error));
        let relatives = self.relatives.of_family(family);
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
        self.places.extend(measure.places);
        Ok((merge, measure.uses))
    }

    /// Returns the merged files, and all files that are written or deleted. None of them is in use.
    fn files_of(&self, planned: &Planned) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
        let paths = |states: &[FileState]| states.iter().map(|state| state.path.clone()).collect::<Vec<_>>();
        match planned {
            Planned::Ready(plan) | Planned::Complete(plan) => {
                plan.ensure_not_in_use(self.files)?;
                let [merged @ .., _] = plan.layers() else { return Err(Error::from(Conflict::StalePlan)) };
                Ok((paths(merged), [paths(plan.layers()), paths(plan.children())].concat()))
            }
            Planned::AlreadyMerged(found) => {
                found.ensure_not_in_use(self.files)?;
                Ok((paths(found.layers()), paths(found.layers())))
            }
        }
    }

    /// Orders the merges, and keeps what does not fit into the free space.
    fn finish(mut self, pending: Vec<PendingDeletion>) -> Result<PrunePlan> {
        let places = std::mem::take(&mut self.places);
        let free = self.free(&places)?;
        let uses: Vec<Uses> = self.merges.iter().map(|(_, uses)| uses.clone()).collect();
        let room = if self.options.ignore_space { BTreeMap::new() } else { free.clone() };
        let order = order::order(&uses, room);
        for &i in &order.too_large {
            let reason = no_space(&uses[i], &order.free)?;
            for checkpoint in self.merges[i].0.checkpoints.clone() {
                let (path, names) = (checkpoint.path, checkpoint.names);
                self.kept.push(KeptCheckpoint { path, names, reason: reason.clone() });
            }
            if self.merges[i].0.checkpoints.is_empty() {
                let path = self.merges[i].0.target.clone();
                self.kept.push(KeptCheckpoint { path, names: Vec::new(), reason });
            }
        }
        let peak = order::peak(order.fitting.iter().map(|&i| &uses[i]));
        let volumes = peak.iter().map(|(volume, needed)| PruneSpace {
            path: places[volume].clone(),
            free: free.get(volume).copied(),
            needed: *needed,
            gained: order::gained(order.fitting.iter().filter_map(|&i| uses[i].get(volume))),
        });
        let volumes = volumes.collect();
        let mut merges: Vec<Option<PruneMerge>> =
            self.merges.into_iter().map(|(merge, _)| Some(merge)).collect();
        Ok(PrunePlan {
            merges: order.fitting.iter().filter_map(|&i| merges[i].take()).collect(),
            kept: self.kept,
            volumes,
            pending,
            time: self.known.now,
            parents: self.parents,
            options: self.options,
        })
    }

    fn free(&self, places: &BTreeMap<Option<u64>, PathBuf>) -> Result<BTreeMap<Option<u64>, u64>> {
        let free = places.iter().map(|(volume, path)| Ok((*volume, self.files.free_space(path)?)));
        let free: Vec<(Option<u64>, Option<u64>)> = free.collect::<Result<_>>()?;
        Ok(free.into_iter().filter_map(|(volume, free)| Some((volume, free?))).collect())
    }
}

/// Returns the reason to keep the checkpoints of a merge that does not fit.
fn no_space(uses: &Uses, free: &BTreeMap<Option<u64>, u64>) -> Result<KeepReason> {
    let missing = |(volume, used): (&Option<u64>, &order::Use)| {
        let free = *free.get(volume)?;
        (free < used.needed).then_some(KeepReason::NoSpace { needed: used.needed, free })
    };
    uses.iter().find_map(missing).guaranteed("a merge that does not fit lacks space on a file system")
}
