//! Tells configurations of checkpoints from those of machines, and finds the machine of each checkpoint.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use uuid::Uuid;

use super::facts::{DiscoveredMachine, DrivePlace, MachineConfiguration, MachineDrive};
use super::names::machine_folder;
use super::problem::MachineProblem;
use super::read::Read;
use super::unread::Unread;
use crate::family::forest::{DiscoveredDisk, DiskLink};

/// A place in a machine and the disk at the root of the family that is used there.
type Used = (DrivePlace, usize);

/// Returns the machines with their checkpoints, and the configurations of checkpoints without a machine.
pub(super) fn assign(
    configurations: Vec<Read>,
    disks: &[DiscoveredDisk],
    unread: &Unread,
    problems: &mut Vec<MachineProblem>,
) -> (Vec<DiscoveredMachine>, Vec<MachineConfiguration>) {
    let roots = roots(disks);
    let newest = places_of_newest(&configurations, disks, &roots);
    let is_checkpoint =
        |read: &Read| read.facts.is_in_snapshots || is_frozen(&read.facts, disks, &roots, &newest);
    let (checkpoints, machines): (Vec<Read>, Vec<Read>) = configurations.into_iter().partition(is_checkpoint);
    let mut machines: Vec<DiscoveredMachine> = machines
        .into_iter()
        .map(|read| DiscoveredMachine { configuration: read.facts, checkpoints: Vec::new() })
        .collect();
    let owners = Owners::of(&machines, &roots);
    let causes = Causes::of(&machines, disks, &roots, unread);
    let mut without = Vec::new();
    for checkpoint in checkpoints {
        match owners.find(&checkpoint, &roots).and_then(|machine| machines.get_mut(machine)) {
            Some(machine) => machine.checkpoints.push(checkpoint.facts),
            None => {
                problems.push(MachineProblem::UnknownMachine {
                    path: checkpoint.facts.path.clone(),
                    cause: causes.of_checkpoint(&checkpoint.facts),
                    lacks_disks: checkpoint.facts.drives.iter().any(MachineDrive::is_missing),
                });
                without.push(checkpoint.facts);
            }
        }
    }
    for machine in &mut machines {
        machine.checkpoints.sort_by(|a, b| (a.created, &a.path).cmp(&(b.created, &b.path)));
    }
    (machines, without)
}

/// Returns the root of the tree of each disk.
pub(super) fn roots(disks: &[DiscoveredDisk]) -> Vec<usize> {
    let mut roots: Vec<usize> = (0..disks.len()).collect();
    let mut waiting: Vec<usize> = (0..disks.len()).filter(|&i| disks[i].parent.is_none()).collect();
    while let Some(i) = waiting.pop() {
        for &child in &disks[i].children {
            roots[child] = roots[i];
            waiting.push(child);
        }
    }
    roots
}

fn used<'a>(configuration: &'a MachineConfiguration, roots: &'a [usize]) -> impl Iterator<Item = Used> + 'a {
    // A renamed disk is of the same family.
    let member = |drive: &MachineDrive| drive.disk.or(drive.successor);
    configuration
        .drives
        .iter()
        .filter_map(move |drive| Some((drive.place.clone(), *roots.get(member(drive)?)?)))
}

/// Returns where configurations of machines use a disk without children.
///
/// A checkpoint's disk may have no children either: its machine had an older checkpoint applied.
fn places_of_newest(configurations: &[Read], disks: &[DiscoveredDisk], roots: &[usize]) -> BTreeSet<Used> {
    let is_newest = |disk: usize| disks.get(disk).is_some_and(|disk| disk.children.is_empty());
    let machines = configurations.iter().filter(|read| !read.facts.is_in_snapshots);
    let drives = machines.flat_map(|read| &read.facts.drives);
    drives
        .filter_map(|drive| {
            let disk = drive.disk.filter(|disk| is_newest(*disk))?;
            Some((drive.place.clone(), *roots.get(disk)?))
        })
        .collect()
}

/// Returns whether all disks of a configuration have children, and another configuration uses a newer disk of each
/// family in the same place.
fn is_frozen(
    configuration: &MachineConfiguration,
    disks: &[DiscoveredDisk],
    roots: &[usize],
    newest: &BTreeSet<Used>,
) -> bool {
    let mut found = configuration.disks().peekable();
    let has_children = |disk: usize| disks.get(disk).is_some_and(|disk| !disk.children.is_empty());
    found.peek().is_some()
        && found.all(has_children)
        && used(configuration, roots).all(|used| newest.contains(&used))
}

/// Which machine uses which family, and the machines by their GUIDs; `None` for several machines.
struct Owners {
    by_use: BTreeMap<Used, Option<usize>>,
    by_id: HashMap<Uuid, Option<usize>>,
}

impl Owners {
    fn of(machines: &[DiscoveredMachine], roots: &[usize]) -> Self {
        let (mut by_use, mut by_id) = (BTreeMap::new(), HashMap::new());
        for (i, machine) in machines.iter().enumerate() {
            let uses: BTreeSet<Used> = used(&machine.configuration, roots).collect();
            for used in uses {
                by_use.entry(used).and_modify(|machine| *machine = None).or_insert(Some(i));
            }
            if let Some(id) = machine.configuration.id {
                by_id.entry(id).and_modify(|machine| *machine = None).or_insert(Some(i));
            }
        }
        Self { by_use, by_id }
    }

    /// Returns the machine that uses the same families in the same places, or else the one whose GUID the configuration
    /// contains; `None` if there is no single one.
    fn find(&self, checkpoint: &Read, roots: &[usize]) -> Option<usize> {
        let by_use: BTreeSet<usize> = used(&checkpoint.facts, roots)
            .filter_map(|used| self.by_use.get(&used).copied().flatten())
            .collect();
        let by_id =
            || checkpoint.guids.iter().filter_map(|id| self.by_id.get(id).copied().flatten()).collect();
        let candidates: BTreeSet<usize> = if by_use.is_empty() { by_id() } else { by_use };
        let mut candidates = candidates.into_iter();
        candidates.next().filter(|_| candidates.next().is_none())
    }
}

/// Why the machine of a checkpoint was not found: files and folders with problems.
struct Causes<'a> {
    disks: &'a [DiscoveredDisk],
    roots: &'a [usize],
    unread: &'a Unread,
    /// The cause for each machine folder: a disk with an incomplete chain, or a configuration that names a missing
    /// disk.
    by_folder: HashMap<PathBuf, PathBuf>,
}

impl<'a> Causes<'a> {
    fn of(
        machines: &[DiscoveredMachine],
        disks: &'a [DiscoveredDisk],
        roots: &'a [usize],
        unread: &'a Unread,
    ) -> Self {
        let mut causes = Self { disks, roots, unread, by_folder: HashMap::new() };
        for DiscoveredMachine { configuration, .. } in machines {
            let lacks_disks = configuration.drives.iter().any(MachineDrive::is_missing);
            let own = || lacks_disks.then(|| configuration.path.clone());
            if let Some(cause) = causes.orphan(configuration).or_else(own)
                && let Some(folder) = machine_folder(&configuration.path)
            {
                causes.by_folder.entry(folder.to_owned()).or_insert(cause);
            }
        }
        causes
    }

    /// Returns the root of the first incomplete chain among the disks that a configuration names.
    fn orphan(&self, configuration: &MachineConfiguration) -> Option<PathBuf> {
        let mut roots = configuration.disks().filter_map(|disk| self.disks.get(*self.roots.get(disk)?));
        roots.find(|root| root.link != DiskLink::Base).map(|root| root.facts.path.clone())
    }

    fn of_checkpoint(&self, checkpoint: &MachineConfiguration) -> Option<PathBuf> {
        let of_machine = || self.by_folder.get(machine_folder(&checkpoint.path)?).cloned();
        let unread = self.unread.configuration_near(&checkpoint.path).cloned();
        unread.or_else(|| self.orphan(checkpoint)).or_else(of_machine)
    }
}
