//! Collects the facts and the findings of a report. All work is linear in the number of files.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::data::{Report, ReportedDisk, ReportedFamily};
use super::fact::FindingFact;
use super::finding::Finding;
use super::limits::ReportLimits;
use super::volumes::{self, Volume};
use crate::error::Result;
use crate::family::{Checkpoint, DiscoveredMachine, Family, Forest, Problem};
use crate::file::DiskType;
use crate::progress::Progress;

/// How far a time may lie in the future: the clocks of two hosts differ a little.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(300);

/// Reports on the disks and machines of a forest.
///
/// `now` is the time from which ages are counted. Only the free space of volumes is read from the host.
///
/// # Errors
/// [`Error::Cancelled`](crate::Error::Cancelled) if `progress` asks for it.
///
/// # Examples
/// ```no_run
/// use std::time::{Duration, SystemTime};
/// use vhdx::ops::{ReportLimits, report};
/// use vhdx::{NoProgress, discover};
///
/// # fn main() -> vhdx::Result<()> {
/// let forest = discover(&["/vm".into()], &NoProgress)?;
/// let limits = ReportLimits { older_than: Some(Duration::from_secs(7 * 86_400)), ..ReportLimits::default() };
/// let report = report(&forest, &limits, SystemTime::now(), &NoProgress)?;
/// for finding in &report.findings {
///     println!("{}: {finding}", finding.path.display());
/// }
/// # Ok(())
/// # }
/// ```
pub fn report(
    forest: &Forest,
    limits: &ReportLimits,
    now: SystemTime,
    progress: &dyn Progress,
) -> Result<Report> {
    let disks = disks(forest, now);
    let volumes = volumes::of(forest, progress)?;
    let mut families: Vec<ReportedFamily> =
        forest.families().into_iter().map(|members| family(members, &disks)).collect();
    let mut found = Findings { limits, now, list: Vec::new() };
    found.of_forest(forest);
    for (number, disk) in disks.iter().enumerate() {
        found.of_disk(number, disk);
    }
    for family in &families {
        found.of_family(family, &disks);
    }
    for machine in &forest.machines {
        found.of_machine(machine);
    }
    for volume in &volumes {
        found.of_volume(volume);
    }
    let mut findings = found.list;
    findings.sort_by(|a, b| (&a.path, a.kind).cmp(&(&b.path, b.kind)));
    give_to_families(&mut families, &findings, disks.len());
    Ok(Report { time: now, disks, families, machines: forest.machines.clone(), volumes, findings })
}

fn disks(forest: &Forest, now: SystemTime) -> Vec<ReportedDisk> {
    let mut disks: Vec<ReportedDisk> = forest
        .disks
        .iter()
        .map(|disk| ReportedDisk {
            facts: disk.facts.clone(),
            parent: disk.parent,
            link: disk.link,
            children: disk.children.clone(),
            depth: 1,
            age: disk.facts.modified.map(|time| age(time, now)),
            checkpoint: None,
            checkpoint_age: None,
        })
        .collect();
    for checkpoint in forest.checkpoints() {
        let disk = &mut disks[checkpoint.disk];
        disk.checkpoint_age = checkpoint.time.map(|time| age(time, now));
        disk.checkpoint = Some(checkpoint);
    }
    let mut waiting: Vec<usize> = forest.roots().collect();
    while let Some(disk) = waiting.pop() {
        let depth = disks[disk].depth + 1;
        for &child in &forest.disks[disk].children {
            disks[child].depth = depth;
            waiting.push(child);
        }
    }
    disks
}

fn age(time: SystemTime, now: SystemTime) -> Duration {
    // A time in the future is a finding of its own.
    now.duration_since(time).unwrap_or_default()
}

fn family(members: Family, disks: &[ReportedDisk]) -> ReportedFamily {
    // Both sums are only shown and compared, so a sum that is too large may be the largest number.
    let sum = |bytes: &mut dyn Iterator<Item = u64>| bytes.fold(0, u64::saturating_add);
    let of_family = || members.disks.iter().map(|&disk| &disks[disk]);
    let is_differencing = |disk: &&ReportedDisk| disk.facts.disk_type == DiskType::Differencing;
    let differencing = &mut of_family().filter(is_differencing).map(taken);
    let bytes_of_checkpoints = sum(differencing);
    let has_one_child = |checkpoint: &&Checkpoint| disks[checkpoint.disk].children.len() == 1;
    let deletable = of_family().filter_map(|disk| disk.checkpoint.as_ref()).filter(has_one_child);
    let freed_at_most = sum(&mut deletable.map(|checkpoint| checkpoint.size));
    ReportedFamily { members, bytes_of_checkpoints, freed_at_most, findings: Vec::new() }
}

/// Returns the space that a file takes, or its length if the host does not tell.
fn taken(disk: &ReportedDisk) -> u64 {
    disk.facts.allocated.unwrap_or(disk.facts.file_size) // Only some file systems do not tell.
}

/// Puts each finding about a disk into the list of its family.
fn give_to_families(families: &mut [ReportedFamily], findings: &[Finding], disks: usize) {
    let mut family_of = vec![None; disks];
    for (number, family) in families.iter().enumerate() {
        for &disk in &family.members.disks {
            family_of[disk] = Some(number);
        }
    }
    for (i, finding) in findings.iter().enumerate() {
        if let Some(family) = finding.disk.and_then(|disk| family_of[disk]) {
            families[family].findings.push(i);
        }
    }
}

struct Findings<'a> {
    limits: &'a ReportLimits,
    now: SystemTime,
    list: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, path: &Path, disk: Option<usize>, fact: FindingFact) {
        self.list.push(Finding::new(path.to_owned(), disk, fact));
    }

    fn of_forest(&mut self, forest: &Forest) {
        let mut add = |disk, problem: &Problem| {
            self.add(problem.path(), disk, FindingFact::Problem(Box::new(problem.clone())));
        };
        // Problems of links to configurations are about disks, but are not in their lists.
        let disk_at: HashMap<&Path, usize> =
            forest.disks.iter().map(|disk| disk.facts.path.as_path()).zip(0..).collect();
        for problem in &forest.problems {
            add(disk_at.get(problem.path()).copied(), problem);
        }
        for (number, disk) in forest.disks.iter().enumerate() {
            disk.problems.iter().for_each(|problem| add(Some(number), problem));
        }
    }

    fn of_disk(&mut self, number: usize, disk: &ReportedDisk) {
        let path = &disk.facts.path;
        let Some(checkpoint) = &disk.checkpoint else {
            self.future(path, Some(number), disk.facts.modified);
            return;
        };
        self.future(path, Some(number), disk.facts.modified.max(checkpoint.time));
        match (self.limits.older_than, disk.checkpoint_age) {
            (Some(limit), Some(age)) if age > limit => {
                let (names, time_source) = (checkpoint.names.clone(), checkpoint.time_source);
                self.add(path, Some(number), FindingFact::OldCheckpoint { names, age, limit, time_source });
            }
            (Some(_), None) => {
                self.add(path, Some(number), FindingFact::UnknownAge { names: checkpoint.names.clone() });
            }
            _ => {}
        }
        let size = checkpoint.size_of_all_disks;
        if let Some(limit) = self.limits.larger_than.filter(|limit| size > *limit) {
            let names = checkpoint.names.clone();
            self.add(path, Some(number), FindingFact::LargeCheckpoint { names, size, limit });
        }
    }

    /// Adds at most one finding for each family: one for each of its leaves would say the same.
    fn of_family(&mut self, family: &ReportedFamily, disks: &[ReportedDisk]) {
        let depth = family.members.depth;
        let Some(limit) = self.limits.deeper_than.filter(|limit| depth > *limit) else { return };
        let deepest = family.members.leaves.iter().find(|&&leaf| disks[leaf].depth == depth);
        if let Some(&leaf) = deepest {
            self.add(&disks[leaf].facts.path, Some(leaf), FindingFact::DeepChain { depth, limit });
        }
    }

    /// The time of a checkpoint's configuration is that of its disk, too, if the disk was found.
    fn of_machine(&mut self, machine: &DiscoveredMachine) {
        let configurations =
            machine.checkpoints.iter().filter(|checkpoint| checkpoint.disks().next().is_none());
        for configuration in configurations.chain([&machine.configuration]) {
            self.future(&configuration.path, None, configuration.created);
        }
    }

    fn of_volume(&mut self, volume: &Volume) {
        let Some(min_free) = self.limits.min_free else { return };
        let fact = match (volume.free, min_free.bytes(volume)) {
            (Some(free), Some(limit)) if free < limit => {
                FindingFact::LowSpace { free, size: volume.size, limit }
            }
            (Some(_), Some(_)) => return,
            _ => FindingFact::UnknownSpace,
        };
        self.add(&volume.path, None, fact);
    }

    fn future(&mut self, path: &Path, disk: Option<usize>, time: Option<SystemTime>) {
        let Some(time) = time else { return };
        if let Some(ahead) = time.duration_since(self.now).ok().filter(|ahead| *ahead > CLOCK_DIFFERENCE) {
            self.add(path, disk, FindingFact::FutureTime { time, ahead });
        }
    }
}
