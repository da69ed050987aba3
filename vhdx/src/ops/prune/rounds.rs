//! Plans the merges of all families in rounds, until each checkpoint is deleted on all of its disks, or on none.
//!
//! The first decision opens no file. A merge may then turn out to be impossible, or not to fit into the free space. So the
//! other disks of its checkpoints are kept too, and their families are planned again. Each round keeps more checkpoints.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::keep::{KeepReason, KeptCheckpoint};
use super::of_family::{Decision, FamilyPlan, Planner};
use super::order::{self, Order, Uses};
use super::plan::{PendingDeletion, PruneMerge, PrunePlan, PruneSpace};
use super::whole_checkpoints::WholeCheckpoints;
use crate::error::{Guaranteed, Result};
use crate::family::Family;
use crate::parallel;
use crate::progress::Progress;

/// The free space of each file system.
type Free = BTreeMap<Option<u64>, u64>;

/// The plans of all families, while they are made.
pub(super) struct Rounds<'a> {
    planner: Planner<'a>,
    families: &'a [Family],
    /// The family of each disk.
    family_of: &'a [usize],
    whole: WholeCheckpoints,
    /// The disks that are kept for a reason of their own.
    kept: HashMap<usize, KeepReason>,
    /// The disks that are kept because of another disk of their checkpoints.
    kept_with: BTreeMap<usize, usize>,
    /// The targets of merges that cannot be completed.
    incomplete: Vec<(usize, KeepReason)>,
    plans: Vec<FamilyPlan>,
}

impl<'a> Rounds<'a> {
    /// `decided` has the decision about each family, and the plan to complete its merges.
    pub(super) fn new(
        planner: Planner<'a>,
        families: &'a [Family],
        family_of: &'a [usize],
        decided: Vec<(Decision, FamilyPlan)>,
    ) -> Self {
        let (mut kept, mut incomplete, mut plans) = (HashMap::new(), Vec::new(), Vec::new());
        for (family, (decision, mut plan)) in families.iter().zip(decided) {
            match decision {
                Decision::Keep(reason) => {
                    kept.extend(family.disks.iter().map(|&disk| (disk, reason.clone())))
                }
                Decision::Select(reasons) => kept.extend(reasons),
            }
            incomplete.append(&mut plan.refused);
            plans.push(plan);
        }
        let whole = WholeCheckpoints::new(planner.known.forest.frozen_together());
        Self { planner, families, family_of, whole, kept, kept_with: BTreeMap::new(), incomplete, plans }
    }

    /// Plans, orders the merges, and keeps what does not fit into the free space.
    pub(super) fn finish(
        mut self,
        pending: Vec<PendingDeletion>,
        progress: &dyn Progress,
    ) -> Result<PrunePlan> {
        self.keep_others();
        let mut to_plan: BTreeSet<usize> = (0..self.families.len()).collect();
        loop {
            self.plan(&to_plan, progress)?;
            to_plan = self.keep_others();
            if !to_plan.is_empty() {
                continue;
            }
            let ordered = self.order()?;
            let too_large = self.keep_too_large(&ordered)?;
            to_plan = self.keep_others();
            if to_plan.is_empty() {
                return self.into_plan(ordered, pending);
            }
            to_plan.extend(too_large);
        }
    }

    /// Plans the deletions of families.
    fn plan(&mut self, families: &BTreeSet<usize>, progress: &dyn Progress) -> Result<()> {
        let deleted: Vec<(usize, HashSet<usize>)> = families
            .iter()
            .map(|&number| (number, self.deleted(number)))
            // The plan of a family without checkpoints to delete may be that of merges to complete.
            .filter(|(number, deleted)| !deleted.is_empty() || self.has_deletions(*number))
            .collect();
        let plan = |(number, deleted): &(usize, HashSet<usize>)| {
            (*number, self.planner.delete(&self.families[*number], deleted))
        };
        for (number, mut plan) in parallel::each(&deleted, progress, plan)? {
            self.kept.extend(plan.refused.drain(..));
            self.plans[number] = plan;
        }
        Ok(())
    }

    /// Returns the checkpoints of a family that nothing keeps.
    fn deleted(&self, family: usize) -> HashSet<usize> {
        let is_deleted = |disk: &&usize| {
            self.planner.known.checkpoints.contains_key(disk)
                && !self.kept.contains_key(disk)
                && !self.kept_with.contains_key(disk)
        };
        self.families[family].disks.iter().filter(is_deleted).copied().collect()
    }

    fn has_deletions(&self, family: usize) -> bool {
        self.plans[family].merges.iter().any(|(merge, _)| !merge.checkpoints.is_empty())
    }

    /// Keeps the other disks of kept checkpoints. Returns the families of those that were not kept before.
    fn keep_others(&mut self) -> BTreeSet<usize> {
        // A failure is the reason that an administrator must know. `Postponed` ranks last.
        let rank =
            |reason: &KeepReason| (Reverse(reason.is_failure()), matches!(reason, KeepReason::Postponed));
        let mut kept: Vec<(_, usize)> =
            self.kept.iter().map(|(disk, reason)| (rank(reason), *disk)).collect();
        kept.sort_unstable();
        let kept: Vec<usize> = kept.into_iter().map(|(_, disk)| disk).collect();
        let before = std::mem::replace(&mut self.kept_with, self.whole.kept_with(&kept));
        let added = self.kept_with.keys().filter(|disk| !before.contains_key(disk));
        added.map(|&disk| self.family_of[disk]).collect()
    }

    fn order(&self) -> Result<Ordered> {
        let places: BTreeMap<Option<u64>, PathBuf> =
            self.plans.iter().flat_map(|plan| &plan.places).map(|(at, path)| (*at, path.clone())).collect();
        let free = places.iter().map(|(at, path)| Ok((*at, self.planner.files.free_space(path)?)));
        let free: Vec<(Option<u64>, Option<u64>)> = free.collect::<Result<_>>()?;
        let free: Free = free.into_iter().filter_map(|(volume, free)| Some((volume, free?))).collect();
        let uses: Vec<Uses> = self.merges().map(|(_, uses)| uses.clone()).collect();
        let room = if self.planner.options.ignore_space { Free::new() } else { free.clone() };
        Ok(Ordered { order: order::order(&uses, room), uses, places, free })
    }

    /// Returns all merges, family by family.
    fn merges(&self) -> impl Iterator<Item = &(PruneMerge, Uses)> {
        self.plans.iter().flat_map(|plan| &plan.merges)
    }

    /// Keeps the checkpoints of the merges that do not fit. Returns their families.
    fn keep_too_large(&mut self, ordered: &Ordered) -> Result<BTreeSet<usize>> {
        let merges: Vec<&PruneMerge> = self.merges().map(|(merge, _)| merge).collect();
        let mut too_large = Vec::new();
        for &i in &ordered.order.too_large {
            let reason = ordered.no_space(i)?;
            let disks = merges[i].checkpoints.iter().filter_map(|checkpoint| self.disk(&checkpoint.path));
            too_large.extend(disks.map(|disk| (disk, reason.clone())));
        }
        let families = too_large.iter().map(|(disk, _)| self.family_of[*disk]).collect();
        self.kept.extend(too_large);
        Ok(families)
    }

    fn disk(&self, path: &Path) -> Option<usize> {
        self.planner.known.forest.index_of(path)
    }

    /// Returns what is kept, in the order of the families.
    fn kept(&self, ordered: &Ordered) -> Result<Vec<KeptCheckpoint>> {
        // The targets of merges that cannot be completed. They may be no checkpoints.
        let mut targets: Vec<(usize, KeepReason)> = self.incomplete.clone();
        for (i, (merge, _)) in self.merges().enumerate() {
            if merge.checkpoints.is_empty() && ordered.order.too_large.contains(&i) {
                let reason = ordered.no_space(i)?;
                targets.extend(self.disk(&merge.target).map(|disk| (disk, reason)));
            }
        }
        let disks = self.families.iter().flat_map(|family| &family.disks);
        let checkpoints = disks.filter(|disk| self.planner.known.checkpoints.contains_key(disk));
        let mut kept: Vec<(usize, KeepReason)> =
            checkpoints.filter_map(|&disk| Some((disk, self.reason(disk)?))).collect();
        kept.extend(targets);
        kept.sort_by_key(|(disk, _)| self.family_of[*disk]);
        Ok(kept.into_iter().map(|(disk, reason)| self.planner.kept(disk, reason)).collect())
    }

    /// Returns the reason to keep a disk.
    fn reason(&self, disk: usize) -> Option<KeepReason> {
        if let Some(own) = self.kept.get(&disk) {
            return Some(own.clone());
        }
        let other = *self.kept_with.get(&disk)?;
        Some(match self.kept.get(&other)? {
            KeepReason::Postponed => KeepReason::Postponed,
            reason => KeepReason::OtherDiskKept {
                disk: self.planner.path(other).to_owned(),
                reason: Box::new(reason.clone()),
            },
        })
    }

    fn into_plan(self, ordered: Ordered, pending: Vec<PendingDeletion>) -> Result<PrunePlan> {
        let kept = self.kept(&ordered)?;
        let volumes = ordered.volumes();
        let mut merges: Vec<Option<PruneMerge>> =
            self.plans.into_iter().flat_map(|plan| plan.merges).map(|(merge, _)| Some(merge)).collect();
        Ok(PrunePlan {
            merges: ordered.order.fitting.iter().filter_map(|&i| merges[i].take()).collect(),
            kept,
            volumes,
            pending,
            time: self.planner.known.now,
            parents: self.planner.parents,
            options: self.planner.options,
        })
    }
}

/// All merges in an order, by their positions.
struct Ordered {
    order: Order,
    uses: Vec<Uses>,
    /// A file on each file system.
    places: BTreeMap<Option<u64>, PathBuf>,
    free: Free,
}

impl Ordered {
    /// Returns the reason to keep the checkpoints of a merge that does not fit.
    fn no_space(&self, merge: usize) -> Result<KeepReason> {
        let missing = |(volume, used): (&Option<u64>, &order::Use)| {
            let free = *self.order.free.get(volume)?;
            (free < used.needed).then_some(KeepReason::NoSpace { needed: used.needed, free })
        };
        let reason = self.uses[merge].iter().find_map(missing);
        reason.guaranteed("a merge that does not fit lacks space on a file system")
    }

    fn volumes(&self) -> Vec<PruneSpace> {
        let fitting = &self.order.fitting;
        let peak = order::peak(fitting.iter().map(|&i| &self.uses[i]));
        let volume = |(volume, needed): (Option<u64>, u64)| PruneSpace {
            path: self.places[&volume].clone(),
            free: self.free.get(&volume).copied(),
            needed,
            gained: order::gained(fitting.iter().filter_map(|&i| self.uses[i].get(&volume))),
        };
        peak.into_iter().map(volume).collect()
    }
}
