//! Makes the plan of a prune.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::time::SystemTime;

use super::files::PruneFiles;
use super::journal::{self, Journal, Meaning, Places};
use super::keep::KeepReason;
use super::of_family::{Decision, FamilyPlan, Planner};
use super::options::PruneOptions;
use super::plan::{PendingDeletion, PrunePlan};
use super::rounds::Rounds;
use super::select::Known;
use crate::error::Result;
use crate::family::{
    Checkpoint, Family, FamilyRelatives, Forest, MachineConfiguration, OtherKind, merges_to_complete,
};
use crate::ops::merge::MergeOptions;
use crate::ops::related_parents::RelatedParents;
use crate::parallel;
use crate::progress::Progress;

impl PrunePlan {
    /// Plans to delete the selected checkpoints of a forest. Nothing is written, and no file stays open.
    ///
    /// Families with an incomplete merge are only completed. Then [`needs_another`](Self::needs_another) says that
    /// checkpoints must be selected again, in the forest as it is after the execution.
    ///
    /// A checkpoint that cannot be deleted is kept with the reason. That is no error. If a checkpoint of a machine has several
    /// disks, all that were found are deleted or all of them are kept.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled) if `progress` asks for it, and [`Error::Io`](crate::Error::Io) if a journal or the free space cannot be read.
    ///
    /// # Examples
    /// Keep the three newest checkpoints of each family, and print which file replaces a newest file:
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
    ///     let report = plan.execute(&forest, &HostFiles, &NoProgress);
    ///     if !report.is_complete() {
    ///         break; // A target may be a mix of old and new data until the prune is run again.
    ///     }
    ///     for merge in plan.merges.iter().filter(|merge| merge.is_newest) {
    ///         println!("use {:?} instead of {:?}", merge.target, merge.merged[0]);
    ///     }
    ///     if !plan.needs_another() {
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
        let planner = Planner {
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
        };
        let unfinished = merges_to_complete(&forest.disks);
        let Journals { pending, waiting, begun, blocked } = Journals::of(forest, files, &unfinished)?;
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
        let of_family = |(number, family): &(usize, &Family)| match to_complete.get(number) {
            _ if blocked.contains(number) => keep(KeepReason::UnfinishedMerge),
            _ if waiting.contains(number) => keep(KeepReason::Postponed),
            Some(merges) => {
                let plan = planner.complete(family, merges);
                let is_possible = plan.refused.is_empty();
                let reason = if is_possible { KeepReason::Postponed } else { KeepReason::UnfinishedMerge };
                (Decision::Keep(reason), plan)
            }
            None => (planner.decide(family), FamilyPlan::default()),
        };
        let numbered: Vec<(usize, &Family)> = families.iter().enumerate().collect();
        let decided = parallel::each(&numbered, progress, of_family)?;
        Rounds::new(planner, &families, &family_of, decided).finish(pending, progress)
    }
}

fn keep(reason: KeepReason) -> (Decision, FamilyPlan) {
    (Decision::Keep(reason), FamilyPlan::default())
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

impl Journals {
    /// `unfinished` are the merges to complete, as the merged disk and the target.
    fn of(forest: &Forest, files: &dyn PruneFiles, unfinished: &[(usize, usize)]) -> Result<Self> {
        let mut journals = Journals::default();
        let unfinished: HashSet<usize> = unfinished.iter().map(|(_, target)| *target).collect();
        let places = Places::of(forest);
        for file in forest.other_files.iter().filter(|file| file.kind == OtherKind::PruneJournal) {
            let target = forest.index_of(&journal::target_of(&file.path));
            let Some(journal) = Journal::decode(&files.read_journal(&file.path)?) else { continue };
            let (disks, is_proven) = match journal.meaning(&file.path, forest, &places) {
                Meaning::Merging => match target {
                    Some(target) if unfinished.contains(&target) => {
                        journals.begun.insert(target);
                        continue;
                    }
                    Some(target) if journal.is_over(forest, target) => (Vec::new(), true),
                    // Merged files were not found. Nobody may use the target, and the journal must stay.
                    target => {
                        journals.blocked.extend(target);
                        (Vec::new(), false)
                    }
                },
                // Without its target, the record could not be left.
                Meaning::Delete(disks) => (disks, target.is_some()),
                Meaning::Unproven => {
                    journals.blocked.extend(target);
                    (Vec::new(), false)
                }
            };
            let pending = disks.iter().map(|&disk| forest.disks[disk].facts.path.clone()).collect();
            journals.pending.push(PendingDeletion { journal: file.path.clone(), files: pending, is_proven });
            // Only then its record is left, without which names and times may be wrong.
            journals.waiting.extend(disks.into_iter().chain(target));
        }
        Ok(journals)
    }
}
