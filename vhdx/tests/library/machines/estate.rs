//! A search of a generated estate finds exactly its truth.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::common::{assert_same, read_all};
use vhdx::ops::{FindingFact, FindingKind, ReportLimits, report};
use vhdx::{
    Chain, DiscoveredMachine, DiskLink, FolderResolver, Forest, MachineConfiguration, MachineProblem,
    NoProgress, Problem, TimeSource, discover,
};
use vhdx_testkit::estate::{Estate, EstateDrive, EstateLink, EstateMachine, EstateOptions, EstateProblem};

struct Found {
    _folder: tempfile::TempDir,
    estate: Estate,
    forest: Forest,
}

fn found(options: &EstateOptions) -> Found {
    let folder = tempfile::tempdir().unwrap();
    let estate = Estate::generate(&folder.path().join("estate"), options).unwrap();
    let forest = discover(std::slice::from_ref(&estate.root), &NoProgress).unwrap();
    Found { _folder: folder, estate, forest }
}

/// One test, because making an estate takes longer than all checks.
#[test]
fn a_search_finds_exactly_the_truth() {
    for seed in 1..=4 {
        let Found { estate, forest, .. } = &found(&EstateOptions::with_seed(seed));
        println!("seed {seed}: {:?}", estate.happened);
        check_disks(estate, forest);
        check_machines(estate, forest);
        check_problems(estate, forest);
        check_checkpoints(estate, forest);
    }
}

fn check_disks(estate: &Estate, forest: &Forest) {
    let by_path: BTreeMap<&Path, usize> =
        forest.disks.iter().enumerate().map(|(i, disk)| (disk.facts.path.as_path(), i)).collect();
    let readable: Vec<_> = estate.disks.iter().enumerate().filter(|(_, disk)| disk.is_found()).collect();
    assert_eq!(forest.disks.len(), readable.len());
    for (_, disk) in readable {
        let found = &forest.disks[by_path[disk.path.as_path()]];
        let parent = found.parent.map(|i| forest.disks[i].facts.path.clone());
        let lost = disk.link == EstateLink::Lost;
        let expected = disk.parent.filter(|_| !lost).map(|i| estate.disks[i].path.clone());
        assert_eq!(parent, expected, "{}", disk.path.display());
        let link = match disk.link {
            EstateLink::Base => DiskLink::Base,
            EstateLink::Ok | EstateLink::Stale => DiskLink::Ok,
            EstateLink::Lost => DiskLink::Missing,
        };
        assert_eq!(found.link, link, "{}", disk.path.display());
        assert_eq!(found.facts.modified, Some(disk.modified));
        assert_eq!(found.facts.data_write_guid, disk.data_write_guid);
    }
}

#[test]
fn the_disks_read_as_the_estate_says() {
    let found = found(&EstateOptions::with_seed(7));
    let estate = &found.estate;
    let mut count = 0;
    for (i, content) in estate.contents() {
        let parents = std::iter::successors(estate.disks[i].parent, |&i| estate.disks[i].parent);
        let named = parents.map(|i| estate.disks[i].path.clone()).collect();
        let resolver = FolderResolver { named, ..FolderResolver::default() };
        let chain = Chain::open(&estate.disks[i].path, &resolver).unwrap();
        assert_same(&read_all(&chain), &content, &estate.disks[i].path.to_string_lossy());
        count += 1;
    }
    assert!(count > 200, "{count}");
}

fn drives<'a>(
    forest: &'a Forest,
    configuration: &'a MachineConfiguration,
) -> Vec<(u32, &'a str, Option<&'a Path>)> {
    let path = |disk: Option<usize>| Some(forest.disks[disk?].facts.path.as_path());
    let drives = configuration.drives.iter();
    drives.map(|drive| (drive.place.location, drive.stored_path.as_str(), path(drive.disk))).collect()
}

fn true_drives<'a>(estate: &'a Estate, drives: &'a [EstateDrive]) -> Vec<(u32, &'a str, Option<&'a Path>)> {
    let path = |drive: &EstateDrive| Some(estate.disks[estate.found(drive)?].path.as_path());
    drives.iter().map(|drive| (drive.location, drive.stored_path.as_str(), path(drive))).collect()
}

fn machine(estate: &Estate, forest: &Forest, machine: &EstateMachine, found: &DiscoveredMachine) {
    let configuration = &found.configuration;
    assert_eq!(configuration.name.as_deref(), Some(machine.name.as_str()));
    assert_eq!(configuration.id, Some(machine.id));
    assert_eq!(configuration.generation, Some(machine.generation));
    assert_eq!(configuration.version, Some(machine.version));
    assert_eq!(configuration.created, machine.created);
    assert_eq!(configuration.notes, machine.notes);
    assert_eq!(drives(forest, configuration), true_drives(estate, &machine.drives));

    let mut known: Vec<_> =
        machine.checkpoints.iter().filter(|of| estate.is_owner_known(machine, of)).collect();
    known.sort_by(|a, b| (a.created, &a.configuration).cmp(&(b.created, &b.configuration)));
    let paths: Vec<&PathBuf> = found.checkpoints.iter().map(|of| &of.path).collect();
    assert_eq!(paths, known.iter().map(|of| &of.configuration).collect::<Vec<_>>(), "{}", machine.name);
    for (of, found) in known.into_iter().zip(&found.checkpoints) {
        assert_eq!((found.name.as_ref(), found.id), (Some(&of.name), Some(of.id)));
        assert_eq!(found.created, of.created);
        assert_eq!(drives(forest, found), true_drives(estate, &of.drives));
    }
}

fn check_machines(estate: &Estate, forest: &Forest) {
    let truth = estate.readable_machines();
    let paths = |of: &DiscoveredMachine| of.configuration.path.clone();
    assert_eq!(
        forest.machines.iter().map(paths).collect::<Vec<_>>(),
        truth.iter().map(|machine| machine.configuration.clone()).collect::<Vec<_>>()
    );
    for (of, found) in truth.into_iter().zip(&forest.machines) {
        machine(estate, forest, of, found);
    }
    let lone: BTreeSet<&PathBuf> = forest.lone_checkpoints.iter().map(|of| &of.path).collect();
    let unknown = estate.machines.iter().flat_map(|machine| {
        let unknown = machine.checkpoints.iter().filter(|of| !estate.is_owner_known(machine, of));
        unknown.map(|of| &of.configuration)
    });
    assert_eq!(lone, unknown.collect());
}

/// Returns a problem as the estate knows it. Every problem must be one that it knows.
fn known(problem: &Problem) -> EstateProblem {
    let path = problem.path().to_owned();
    match problem {
        Problem::Damaged { .. } => EstateProblem::Damaged(path),
        Problem::LostParent { .. } => EstateProblem::LostParent(path),
        Problem::StalePath { .. } => EstateProblem::StalePath(path),
        Problem::Machine(problem) => match problem {
            MachineProblem::Unreadable { .. } => EstateProblem::Unreadable(path),
            MachineProblem::MissingDisk { stored, .. } => EstateProblem::MissingDisk(path, stored.clone()),
            MachineProblem::SharedDisk { .. } => EstateProblem::SharedDisk(path),
            MachineProblem::NotTheNewest { disk, .. } => EstateProblem::NotTheNewest(path, disk.clone()),
            MachineProblem::NoMachine { .. } => EstateProblem::NoMachine(path),
            MachineProblem::UnknownMachine { .. } => EstateProblem::UnknownMachine(path),
            problem => panic!("{problem:?}"),
        },
        problem => panic!("{problem:?}"),
    }
}

fn check_problems(estate: &Estate, forest: &Forest) {
    let mut found: Vec<EstateProblem> = forest.all_problems().into_iter().map(known).collect();
    found.sort();
    let expected = estate.problems();
    let more: Vec<_> = found.iter().filter(|problem| !expected.contains(problem)).collect();
    let lost: Vec<_> = expected.iter().filter(|problem| !found.contains(problem)).collect();
    assert!(more.is_empty() && lost.is_empty(), "not true: {more:#?}\nnot found: {lost:#?}");
    assert_eq!(found, expected);
}

fn check_checkpoints(estate: &Estate, forest: &Forest) {
    let by_path: BTreeMap<&Path, usize> =
        estate.disks.iter().enumerate().map(|(i, disk)| (disk.path.as_path(), i)).collect();
    for checkpoint in forest.checkpoints() {
        let path = &forest.disks[checkpoint.disk].facts.path;
        let disk = by_path[path.as_path()];
        let truth = estate.checkpoints_of(disk);
        let names: BTreeSet<&String> = truth.iter().map(|(_, of)| &of.name).collect();
        assert_eq!(checkpoint.names.iter().collect::<BTreeSet<_>>(), names, "{}", path.display());
        assert!(!checkpoint.is_changed, "{}", path.display());
        let stored = truth.iter().filter_map(|(_, of)| of.created).max();
        let (time, source) = match stored {
            Some(time) => (time, TimeSource::Configuration),
            None => (estate.disks[disk].modified, TimeSource::File),
        };
        assert_eq!((checkpoint.time, checkpoint.time_source), (Some(time), source), "{}", path.display());
    }
}

/// The report of an estate has its problems, and exactly the checkpoints that the truth says are older or larger.
#[test]
fn a_report_finds_exactly_the_truth() {
    const AGE: Duration = Duration::from_secs(30 * 86_400);
    for seed in [1, 5] {
        let Found { estate, forest, .. } = &found(&EstateOptions::with_seed(seed));
        let frozen: Vec<usize> = (0..estate.disks.len())
            .filter(|&disk| estate.disks[disk].is_found() && estate.children(disk).next().is_some())
            .collect();
        let mut sizes: Vec<u64> = frozen.iter().map(|&disk| size_of_checkpoint(estate, disk)).collect();
        sizes.sort_unstable();
        let size = sizes[sizes.len() / 2];
        let limits =
            ReportLimits { older_than: Some(AGE), larger_than: Some(size), ..ReportLimits::default() };
        let report = report(forest, &limits, estate.now, &NoProgress).unwrap();

        let paths_of = |kind: FindingKind| -> BTreeSet<&Path> {
            let of_kind = report.findings.iter().filter(|finding| finding.kind == kind);
            of_kind.map(|finding| finding.path.as_path()).collect()
        };
        let path = |&disk: &usize| estate.disks[disk].path.as_path();
        let old = frozen.iter().filter(|&&disk| is_older(estate, frozen_at(estate, disk), AGE));
        let old: BTreeSet<&Path> = old.map(path).collect();
        let large = frozen.iter().filter(|&&disk| size_of_checkpoint(estate, disk) > size);
        let large: BTreeSet<&Path> = large.map(path).collect();
        for set in [&old, &large] {
            assert!(set.len() > 20 && set.len() < frozen.len() - 20, "{} of {}", set.len(), frozen.len());
        }
        assert_eq!(paths_of(FindingKind::OldCheckpoint), old);
        assert_eq!(paths_of(FindingKind::LargeCheckpoint), large);
        let problems = report.findings.iter().filter(|found| matches!(found.fact, FindingFact::Problem(_)));
        assert_eq!(problems.count(), estate.problems().len());
        let roots: BTreeSet<usize> = (0..estate.disks.len())
            .filter(|&disk| estate.disks[disk].is_found())
            .map(|disk| estate.root_of(disk))
            .collect();
        assert_eq!(report.families.len(), roots.len());
        assert_eq!(report.machines.len(), estate.readable_machines().len());
    }
}

/// When `disk` was frozen: the newest time of its checkpoints, or the time of its file.
fn frozen_at(estate: &Estate, disk: usize) -> SystemTime {
    let stored = estate.checkpoints_of(disk).iter().filter_map(|(_, checkpoint)| checkpoint.created).max();
    stored.unwrap_or(estate.disks[disk].modified)
}

/// Whether a time is further back than `age`. A time in the future is not.
fn is_older(estate: &Estate, time: SystemTime, age: Duration) -> bool {
    estate.now.duration_since(time).is_ok_and(|since| since > age)
}

/// The bytes that the children of `disk` occupy.
fn size_of_children(estate: &Estate, disk: usize) -> u64 {
    let children = estate.children(disk);
    children.map(|child| vhdx::allocated_bytes(&estate.disks[child].path).unwrap()).sum()
}

/// The bytes that the children of all disks of a checkpoint occupy: the most that a checkpoint with `disk` has.
fn size_of_checkpoint(estate: &Estate, disk: usize) -> u64 {
    let checkpoints = estate.machines.iter().flat_map(|machine| &machine.checkpoints);
    let found = checkpoints.map(|of| of.drives.iter().filter_map(|drive| estate.found(drive)));
    let disks = found.map(|disks| disks.collect::<BTreeSet<usize>>()).filter(|disks| disks.contains(&disk));
    let sizes = disks.map(|disks| disks.iter().map(|&disk| size_of_children(estate, disk)).sum());
    sizes.max().unwrap_or_else(|| size_of_children(estate, disk))
}

#[test]
fn an_estate_without_mishaps_has_no_problems() {
    let found = found(&EstateOptions::sound(3, 12, 60));
    let (estate, forest) = (&found.estate, &found.forest);
    assert_eq!(estate.problems(), []);
    assert!(forest.all_problems().is_empty(), "{:#?}", forest.all_problems());
    assert_eq!(forest.machines.len(), 12);
    assert_eq!(forest.machines.iter().map(|machine| machine.checkpoints.len()).sum::<usize>(), 60);
}
