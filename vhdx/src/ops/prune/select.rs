//! Selects the checkpoints to delete: the rules that need no file.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::keep::KeepReason;
use super::options::PruneOptions;
use super::unfinished_checkpoints;
use super::unseen::{Unseen, parent_elsewhere, unseen};
use crate::family::{
    Checkpoint, DiscoveredDisk, DiskLink, Family, Forest, MachineDrive, MachineProblem, Problem, PrunedDrive,
    UnusedDisk,
};

/// What the selection needs to know about a forest.
pub(super) struct Known<'a> {
    pub(super) forest: &'a Forest,
    pub(super) options: &'a PruneOptions,
    /// The checkpoints by their disk.
    pub(super) checkpoints: &'a HashMap<usize, Checkpoint>,
    /// The first configuration outside of the folders of checkpoints that names each disk.
    ///
    /// In doubt, it is that of a machine, which would lose its disk.
    used: HashMap<usize, PathBuf>,
    /// The disks that a configuration in such a folder names.
    frozen: HashSet<usize>,
    /// The disks that something that was not found may need.
    unseen: HashMap<usize, Unseen>,
    /// The disks of checkpoints that may become whole again.
    unfinished: HashMap<usize, KeepReason>,
    /// The disks of checkpoints of which another state was deleted.
    partly_deleted: HashSet<usize>,
    /// The disks without children that no configuration names.
    unused: HashMap<usize, &'a UnusedDisk>,
    pub(super) now: SystemTime,
}

impl<'a> Known<'a> {
    pub(super) fn new(
        forest: &'a Forest,
        options: &'a PruneOptions,
        checkpoints: &'a HashMap<usize, Checkpoint>,
        now: SystemTime,
    ) -> Self {
        let (mut used, mut frozen) = (HashMap::new(), HashSet::new());
        for configuration in forest.configurations() {
            for disk in configuration.disks() {
                match configuration.is_in_snapshots {
                    true => drop(frozen.insert(disk)),
                    false => drop(used.entry(disk).or_insert_with(|| configuration.path.clone())),
                }
            }
        }
        let unused = unused(forest);
        Self {
            forest,
            options,
            checkpoints,
            used,
            frozen,
            unseen: unseen(forest, options.ignore_undetermined),
            unfinished: unfinished_checkpoints::disks(forest),
            partly_deleted: partly_deleted(forest),
            unused,
            now,
        }
    }

    /// Returns the checkpoints of a family, each parent before its children, with the reason to keep it; `None` for those
    /// to delete.
    ///
    /// `times` are those of [`times`](Self::times).
    pub(super) fn decide(
        &self,
        family: &Family,
        times: &HashMap<usize, SystemTime>,
    ) -> Vec<(usize, Option<KeepReason>)> {
        // A family always has a root.
        let root = family.disks.first().map(|&root| &self.forest.disks[root]);
        let is_complete = root.is_some_and(|root| root.link == DiskLink::Base);
        let elsewhere = root.and_then(parent_elsewhere);
        let damaged_record = family.disks.iter().find_map(|&disk| self.forest.records.damaged(disk));
        let newest = self.newest(family, times);
        let of_family = family.disks.iter().filter_map(|disk| self.checkpoints.get(disk));
        let decision = |checkpoint: &Checkpoint| {
            let time = times.get(&checkpoint.disk).copied();
            let reason = self
                .not_selected(checkpoint, time, &newest)
                .or_else(|| self.not_possible(family, checkpoint))
                .or_else(|| {
                    let elsewhere = elsewhere.map(Path::to_owned);
                    (!is_complete).then_some(KeepReason::IncompleteChain { elsewhere })
                })
                .or_else(|| {
                    damaged_record.map(|record| KeepReason::DamagedRecord { record: record.to_owned() })
                });
            (checkpoint.disk, reason)
        };
        of_family.map(decision).collect()
    }

    /// Returns why the state of a disk without children stays.
    pub(super) fn leaf_stays(&self, leaf: usize) -> KeepReason {
        self.unseen.get(&leaf).map_or(KeepReason::NoChild, Unseen::reason)
    }

    /// Returns the times of the checkpoints, as far as they are known.
    ///
    /// If a checkpoint seems to be older than one that it depends on, it gets the time of that one.
    pub(super) fn times(&self, family: &Family) -> HashMap<usize, SystemTime> {
        let mut times: HashMap<usize, SystemTime> = HashMap::new();
        for &disk in &family.disks {
            let Some(checkpoint) = self.checkpoints.get(&disk) else { continue };
            let of_parent = self.forest.disks[disk].parent.and_then(|parent| times.get(&parent).copied());
            if let Some(own) = checkpoint.time {
                times.insert(disk, of_parent.map_or(own, |parent| own.max(parent)));
            }
        }
        times
    }

    /// Returns the checkpoints that `keep_last` keeps.
    fn newest(&self, family: &Family, times: &HashMap<usize, SystemTime>) -> BTreeSet<usize> {
        let Some(keep_last) = self.options.keep_last else { return BTreeSet::new() };
        let depths = self.depths(family);
        let mut newest_first: Vec<usize> = times.keys().copied().collect();
        // Of the same age, the one is newer that has more ancestors.
        newest_first.sort_by_cached_key(|disk| {
            let name = own_name(self.forest, *disk);
            std::cmp::Reverse((times.get(disk).copied(), depths.get(disk).copied(), name, *disk))
        });
        newest_first.into_iter().take(keep_last).collect()
    }

    /// Returns the number of ancestors that each disk has, or had before prunes.
    fn depths(&self, family: &Family) -> HashMap<usize, usize> {
        let mut depths: HashMap<usize, usize> = HashMap::new();
        // Each parent comes before its children.
        for &disk in &family.disks {
            let parent = self.forest.disks[disk].parent.and_then(|parent| depths.get(&parent).copied());
            let record = self.forest.records.of(disk).filter(|found| found.has_moved_state());
            let merged = record.map_or(0, |found| found.record.levels);
            let depth = parent.map_or(0, |depth: usize| depth.saturating_add(1)).saturating_add(merged); // To compare.
            depths.insert(disk, depth);
        }
        depths
    }

    fn not_selected(
        &self,
        checkpoint: &Checkpoint,
        time: Option<SystemTime>,
        newest: &BTreeSet<usize>,
    ) -> Option<KeepReason> {
        let options = self.options;
        if (options.keep_last.is_some() || options.older_than.is_some()) && time.is_none() {
            return Some(KeepReason::NoTime);
        }
        if newest.contains(&checkpoint.disk) {
            return Some(KeepReason::Newest);
        }
        let is_older =
            |limit| time.and_then(|time| self.now.duration_since(time).ok()).is_some_and(|age| age > limit);
        if options.older_than.is_some_and(|limit| !is_older(limit)) {
            return Some(KeepReason::NotOldEnough);
        }
        // A prune that was interrupted has deleted other disks of the checkpoint, whose sizes are not known any more.
        let is_larger =
            |limit| checkpoint.size_of_all_disks > limit || self.partly_deleted.contains(&checkpoint.disk);
        if options.larger_than.is_some_and(|limit| !is_larger(limit)) {
            return Some(KeepReason::NotLargeEnough);
        }
        let has_name = options
            .name
            .as_ref()
            .is_none_or(|pattern| names(self.forest, checkpoint).iter().any(|name| pattern.matches(name)));
        (!has_name).then_some(KeepReason::OtherName)
    }

    /// Returns why a selected checkpoint is kept nevertheless.
    fn not_possible(&self, family: &Family, checkpoint: &Checkpoint) -> Option<KeepReason> {
        let [child] = self.forest.disks[checkpoint.disk].children[..] else {
            return Some(self.several_children(family, &self.forest.disks[checkpoint.disk]));
        };
        let path = |disk: usize| self.forest.disks[disk].facts.path.clone();
        // The newest disk of a chain moves to another file. Any other disk of a machine must stay as it is.
        let has_children = |disk: usize| !self.forest.disks[disk].children.is_empty();
        let used = [checkpoint.disk, child].into_iter().filter(|&disk| has_children(disk));
        if let Some((disk, configuration)) =
            used.filter_map(|disk| Some((disk, self.used.get(&disk)?))).next()
        {
            return Some(KeepReason::UsedByMachine {
                disk: path(disk),
                configuration: configuration.clone(),
            });
        }
        if let Some(unseen) = self.unseen.get(&checkpoint.disk).or_else(|| self.unseen.get(&child)) {
            return Some(unseen.reason());
        }
        if let Some(reason) = self.unfinished.get(&checkpoint.disk) {
            return Some(reason.clone());
        }
        let child = &self.forest.disks[child].facts.path;
        let is_avhdx = child.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("avhdx"));
        let is_known = is_avhdx || self.options.any_extension || self.frozen.contains(&checkpoint.disk);
        (!is_known).then(|| KeepReason::NotACheckpoint { child: child.clone() })
    }

    fn several_children(&self, family: &Family, disk: &DiscoveredDisk) -> KeepReason {
        let has_machines = !family.machines.is_empty();
        let path = |disk: &usize| self.forest.disks[*disk].facts.path.clone();
        let is_frozen = |disk: &&usize| {
            let has_no_child = self.forest.disks[**disk].children.is_empty();
            has_no_child && self.frozen.contains(disk) && !self.used.contains_key(disk)
        };
        // Without a machine, nothing is known about the use of any of them.
        let unused = disk.children.iter().filter_map(|child| self.unused.get(child)).filter(|_| has_machines);
        KeepReason::SeveralChildren {
            children: disk.children.iter().map(path).collect(),
            unused: unused.map(|disk| (*disk).clone()).collect(),
            frozen: disk.children.iter().filter(is_frozen).map(path).collect(),
            has_machines,
        }
    }
}

fn unused(forest: &Forest) -> HashMap<usize, &UnusedDisk> {
    let unused = forest.problems.iter().filter_map(|problem| match problem {
        Problem::Machine(MachineProblem::NoMachine(disk)) => Some((forest.index_of(&disk.path)?, disk)),
        _ => None,
    });
    unused.collect()
}

/// Returns the disks of checkpoints of which a prune has deleted the state of another disk.
fn partly_deleted(forest: &Forest) -> HashSet<usize> {
    let is_deleted = |drive: &MachineDrive| drive.pruned == Some(PrunedDrive::Deleted);
    let configurations = forest.checkpoint_configurations().filter(|of| of.drives.iter().any(is_deleted));
    configurations.flat_map(|of| of.disks()).collect()
}

/// Returns the names of a checkpoint: those of its configurations, or else that of the file.
///
/// If its configuration is older than the file, it may be that of an earlier state. Then no name is known.
fn names(forest: &Forest, checkpoint: &Checkpoint) -> Vec<String> {
    if !checkpoint.names.is_empty() || checkpoint.is_changed {
        return checkpoint.names.clone();
    }
    own_name(forest, checkpoint.disk).into_iter().collect()
}

/// Returns the name of the file in which a state was frozen.
///
/// If a prune has moved the state, the record has the name. If another merge has, the name is not known. So a command that
/// selects by the name of a file does not delete the next state when it runs again.
fn own_name(forest: &Forest, disk: usize) -> Option<String> {
    if let Some(found) = forest.records.of(disk).filter(|found| found.has_moved_state()) {
        return found.record.state_of.last()?.path.rsplit('/').next().map(str::to_owned);
    }
    let name = forest.disks[disk].facts.path.file_name().filter(|_| !forest.has_unknown_state(disk))?;
    Some(name.to_string_lossy().into_owned())
}
