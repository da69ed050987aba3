//! Lists the checkpoints of a forest: the frozen states that its files keep.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::forest::{DiscoveredDisk, Forest};
use super::found_record::FoundRecord;
use super::machine::facts::MachineConfiguration;

/// How much later than a checkpoint its disk may have been changed.
///
/// Hyper-V closes the frozen disk after it has made the checkpoint.
const CLOSING_TIME: Duration = Duration::from_secs(600);
/// 2012-01-01: no VHDX is older. Archives and mounts without times show 1970 or 1980.
const FIRST_VHDX: Duration = Duration::from_secs(1_325_376_000);

/// A frozen state of a disk: a file on which other disks depend.
///
/// The state is kept until the file's only child is merged into it, which deletes the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Checkpoint {
    /// The file, as an index into [`Forest::disks`].
    pub disk: usize,
    /// The names of the checkpoint, one for each configuration that names the file. There usually is one or none.
    pub names: Vec<String>,
    /// When the state was frozen, if known. It can lie in the future. Times before 2012 are not used.
    pub time: Option<SystemTime>,
    /// Where the time comes from.
    pub time_source: TimeSource,
    /// Whether a configuration names the file, but the file was changed after the checkpoint was made.
    ///
    /// The checkpoint was then probably deleted, and the file holds a newer state. Its name and time are not used.
    pub is_changed: bool,
    /// The space in bytes that the file's children take: what deleting the checkpoint can free at most.
    ///
    /// It is the allocated space of their files, or their length where that is not known.
    pub size: u64,
    /// The sum of the sizes of all disks that the checkpoint froze, as far as they were found.
    ///
    /// If several configurations name the file, this is the largest sum. Without a configuration, it equals `size`.
    pub size_of_all_disks: u64,
}

/// Where the time of a [`Checkpoint`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum TimeSource {
    /// The configuration of the checkpoint.
    Configuration,
    /// The file: when it was last changed, or when its first child was created, whichever is earlier.
    File,
    /// A checkpoint on which it depends and which has a later time, so that one of the two times is wrong.
    ///
    /// Only a [`PrunePlan`](crate::ops::PrunePlan) uses it.
    Parent,
}

impl TimeSource {
    /// Returns the name in reports: `configuration`, `file` or `parent`.
    pub const fn name(self) -> &'static str {
        match self {
            TimeSource::Configuration => "configuration",
            TimeSource::File => "file",
            TimeSource::Parent => "parent",
        }
    }
}

fn is_possible(time: &SystemTime) -> bool {
    time.duration_since(UNIX_EPOCH).is_ok_and(|since| since >= FIRST_VHDX)
}

/// Whether a file was changed after a checkpoint was made, as far as the times are known.
fn is_file_newer(modified: Option<SystemTime>, configuration: &MachineConfiguration) -> bool {
    let is_later = |(modified, created): (SystemTime, SystemTime)| {
        modified.duration_since(created).is_ok_and(|since| since > CLOSING_TIME)
    };
    modified.zip(configuration.created).is_some_and(is_later)
}

impl Forest {
    /// Returns the checkpoints: the disks that have children, in the order of the disks.
    pub fn checkpoints(&self) -> Vec<Checkpoint> {
        let configurations = self.configurations_by_disk();
        let times = self.records.modified();
        let with_children = (0..).zip(&self.disks).filter(|(_, disk)| !disk.children.is_empty());
        let checkpoint = |(i, disk): (usize, &DiscoveredDisk)| {
            let modified = times.of(&disk.facts);
            // Most disks are named by no configuration.
            self.checkpoint(i, disk, modified, configurations.get(&i).map_or(&[], Vec::as_slice))
        };
        let mut checkpoints: Vec<Checkpoint> = with_children.map(checkpoint).collect();
        self.add_sizes(&mut checkpoints);
        checkpoints
    }

    /// Sets the sizes over all disks.
    fn add_sizes(&self, checkpoints: &mut [Checkpoint]) {
        let sizes: HashMap<usize, u64> = checkpoints.iter().map(|of| (of.disk, of.size)).collect();
        let mut largest: HashMap<usize, u64> = HashMap::new();
        for disks in self.frozen_together() {
            let sizes = disks.iter().filter_map(|disk| sizes.get(disk)).copied();
            let sum = sizes.fold(0, u64::saturating_add); // To compare and to show.
            for disk in disks {
                largest.entry(disk).and_modify(|known| *known = sum.max(*known)).or_insert(sum);
            }
        }
        for checkpoint in checkpoints {
            // Most disks are named by no configuration.
            checkpoint.size_of_all_disks = largest.get(&checkpoint.disk).map_or(checkpoint.size, |sum| *sum);
        }
    }

    /// Returns the disks that each checkpoint froze, as far as they were found and still have its state.
    ///
    /// A disk that a machine uses has a newer state, and so has a disk into which another one was merged. Times do not
    /// count: they may be those of a copy.
    pub(crate) fn frozen_together(&self) -> Vec<Vec<usize>> {
        let current: HashSet<usize> =
            self.machines.iter().flat_map(|machine| machine.configuration.disks()).collect();
        let has_state = |disk: &usize| match self.disks[*disk].children.is_empty() {
            true => !current.contains(disk),
            false => !self.has_unknown_state(*disk),
        };
        let of = |configuration: &MachineConfiguration| -> BTreeSet<usize> {
            configuration.disks().filter(has_state).collect()
        };
        self.checkpoint_configurations()
            .map(|configuration| of(configuration).into_iter().collect())
            .collect()
    }

    /// Returns the configurations of checkpoints that name each disk.
    fn configurations_by_disk(&self) -> HashMap<usize, Vec<&MachineConfiguration>> {
        let mut by_disk: HashMap<usize, Vec<&MachineConfiguration>> = HashMap::new();
        for configuration in self.checkpoint_configurations() {
            for disk in configuration.disks() {
                by_disk.entry(disk).or_default().push(configuration);
            }
        }
        by_disk
    }

    /// Returns the disks without children that a checkpoint froze, with the names of the checkpoints.
    ///
    /// Nothing depends on such a disk after an older checkpoint was applied.
    pub(crate) fn frozen_leaves(&self) -> Vec<(usize, Vec<String>)> {
        let times = self.records.modified();
        let current: HashSet<usize> =
            self.machines.iter().flat_map(|machine| machine.configuration.disks()).collect();
        let mut leaves: Vec<(usize, Vec<String>)> = Vec::new();
        for (disk, configurations) in self.configurations_by_disk() {
            let Some(found) = self.disks.get(disk) else { continue };
            let modified = times.of(&found.facts);
            let is_current = |of: &&&MachineConfiguration| !is_file_newer(modified, of);
            let names: Vec<String> =
                configurations.iter().filter(is_current).filter_map(|of| of.name.clone()).collect();
            if found.children.is_empty() && !current.contains(&disk) && !names.is_empty() {
                leaves.push((disk, names));
            }
        }
        leaves.sort();
        leaves
    }

    fn checkpoint(
        &self,
        i: usize,
        disk: &DiscoveredDisk,
        modified: Option<SystemTime>,
        named: &[&MachineConfiguration],
    ) -> Checkpoint {
        let has_unknown_state = self.has_unknown_state(i);
        let is_changed = |configuration: &&MachineConfiguration| {
            has_unknown_state || is_file_newer(modified, configuration)
        };
        let (changed, current): (Vec<&MachineConfiguration>, Vec<&MachineConfiguration>) =
            named.iter().copied().partition(is_changed);
        // Of several times, the latest is the least likely to let a newer state be taken for an old one.
        let stored =
            current.iter().filter_map(|configuration| configuration.created).filter(is_possible).max();
        // Some hosts do not tell the allocated space.
        let sizes = self.children(disk).map(|child| child.facts.allocated.unwrap_or(child.facts.file_size));
        let size = sizes.fold(0, u64::saturating_add); // To compare and to show.
        Checkpoint {
            disk: i,
            names: current.iter().filter_map(|configuration| configuration.name.clone()).collect(),
            time: stored.or_else(|| self.frozen_at(disk, modified)),
            time_source: if stored.is_some() { TimeSource::Configuration } else { TimeSource::File },
            is_changed: !changed.is_empty(),
            size,
            size_of_all_disks: size,
        }
    }

    fn children<'a>(&'a self, disk: &'a DiscoveredDisk) -> impl Iterator<Item = &'a DiscoveredDisk> {
        disk.children.iter().filter_map(|&child| self.disks.get(child))
    }

    /// Returns whether a disk has a newer state than its file says by its name and its configurations.
    ///
    /// A relinked child shows that another disk was merged into it, whatever the times are. After a prune, the record says
    /// which state it is.
    pub(crate) fn has_unknown_state(&self, i: usize) -> bool {
        let disk = &self.disks[i];
        let is_recorded = self.records.of(i).is_some_and(FoundRecord::has_moved_state);
        !is_recorded && self.children(disk).any(|child| child.facts.is_relinked_to(&disk.facts))
    }

    /// Returns when a disk was frozen, as its file and its children say.
    ///
    /// A copied file may have a new time of creation, and a file that another one was merged into has a new time of the
    /// last change. Both are later than the checkpoint.
    fn frozen_at(&self, disk: &DiscoveredDisk, modified: Option<SystemTime>) -> Option<SystemTime> {
        let first_child = self.children(disk).filter_map(|child| child.facts.created).min();
        modified.into_iter().chain(first_child).filter(is_possible).min()
    }
}
