//! Each selection deletes exactly what the truth of the estate says, and nothing else changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use vhdx::ops::{HostFiles, NamePattern, PruneOptions};
use vhdx::{Checkpoint, Forest, MachineProblem, NoProgress, Problem, TimeSource};
use vhdx_testkit::estate::{Estate, EstateOptions};

use super::expected::Selection;
use super::{by_path, contents, files, plan};
use crate::common::assert_same;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Prunes an estate, and checks everything. Returns how many checkpoints were deleted.
fn check(options: &EstateOptions, prune: &PruneOptions, selection: &Selection) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let estate = Estate::generate(&folder.path().join("estate"), options).unwrap();
    let expected = match prune.larger_than {
        Some(limit) => {
            Selection { larger: Some(larger(&estate, limit)), ..selection.clone() }.expected(&estate)
        }
        None => selection.expected(&estate),
    };
    let before = contents(&estate.root);
    let left = expected.files(&estate);
    let (forest, plan) = plan(&estate.root, prune, estate.now);
    let known = by_path(&estate);
    let selected: BTreeSet<usize> =
        plan.selected().map(|checkpoint| known[checkpoint.path.as_path()]).collect();
    let shown = |disks: BTreeSet<usize>| -> Vec<PathBuf> {
        disks.into_iter().map(|disk| estate.disks[disk].path.clone()).collect()
    };
    assert_eq!(shown(selected.clone()), shown(expected.deleted.clone()), "{selection:?}: {:#?}", plan.kept);
    let kept: BTreeSet<&PathBuf> = plan.kept.iter().map(|kept| &kept.path).collect();
    assert_eq!(kept.len() + selected.len(), forest.checkpoints().len(), "each checkpoint is kept or deleted");
    assert!(!plan.needs_another());

    let report = plan.execute(&forest, &HostFiles, &NoProgress);
    assert!(report.is_complete(), "{report:#?}");
    let after = contents(&estate.root);
    for (&disk, path) in &expected.states {
        let old = &before[&estate.disks[disk].path];
        assert_same(&after[path], old, &path.display().to_string());
        assert_same(old, &estate.disks[disk].content(), "the estate");
    }
    assert_eq!(files(&estate.root), left, "only merged files are deleted, and only records are left");
    for merge in &plan.merges {
        let leaf = known[merge.merged[0].as_path()];
        assert_eq!(merge.is_newest, estate.children(leaf).next().is_none());
    }
    // A prune that ran is done: the states that stay are those that the selection keeps, with their names and times.
    let (after, second) = super::plan(&estate.root, prune, estate.now);
    // A merge makes its target larger, so that another selection by size finds more.
    assert!(second.is_empty() || prune.larger_than.is_some(), "{selection:?}: {:#?}", second.merges);
    let of_files = known_checkpoints(&after);
    for checkpoint in forest.checkpoints() {
        let disk = known[forest.disks[checkpoint.disk].facts.path.as_path()];
        if let Some(path) = expected.states.get(&disk) {
            assert_eq!(of_files[path], known_checkpoint(checkpoint), "{}", path.display());
        }
    }
    let problems: Vec<String> = after.all_problems().iter().map(|problem| problem.to_string()).collect();
    assert!(problems.iter().all(|problem| !problem.contains("incomplete")), "{problems:#?}");
    assert_eq!(missing(&after), missing(&forest));
    expected.deleted.len()
}

/// The names of a checkpoint, its time, and where the time comes from.
type KnownCheckpoint = (Vec<String>, Option<SystemTime>, TimeSource);

fn known_checkpoint(checkpoint: Checkpoint) -> KnownCheckpoint {
    (checkpoint.names, checkpoint.time, checkpoint.time_source)
}

fn known_checkpoints(forest: &Forest) -> BTreeMap<PathBuf, KnownCheckpoint> {
    let path = |checkpoint: &Checkpoint| forest.disks[checkpoint.disk].facts.path.clone();
    forest
        .checkpoints()
        .into_iter()
        .map(|checkpoint| (path(&checkpoint), known_checkpoint(checkpoint)))
        .collect()
}

/// Returns the paths that configurations name, and at which nothing was found and nothing was deleted.
fn missing(forest: &Forest) -> BTreeSet<(PathBuf, String)> {
    let missing = forest.all_problems().into_iter().filter_map(|problem| match problem {
        Problem::Machine(MachineProblem::MissingDisk { path, stored, .. }) => {
            Some((path.clone(), stored.clone()))
        }
        _ => None,
    });
    missing.collect()
}

/// Returns the disks whose children take more than a limit, together with those of the other disks of a checkpoint.
fn larger(estate: &Estate, limit: u64) -> BTreeSet<usize> {
    let size = |disk: usize| -> u64 {
        estate.children(disk).map(|child| vhdx::allocated_bytes(&estate.disks[child].path).unwrap()).sum()
    };
    let mut larger: BTreeSet<usize> = (0..estate.disks.len()).filter(|&disk| size(disk) > limit).collect();
    for checkpoint in estate.machines.iter().flat_map(|machine| &machine.checkpoints) {
        let disks: BTreeSet<usize> =
            checkpoint.drives.iter().filter_map(|drive| estate.found(drive)).collect();
        if disks.iter().map(|&disk| size(disk)).sum::<u64>() > limit {
            larger.extend(disks);
        }
    }
    larger
}

fn all() -> PruneOptions {
    PruneOptions::all()
}

#[test]
fn all_checkpoints() {
    for seed in [1, 2] {
        assert!(check(&EstateOptions::with_seed(seed), &all(), &Selection::default()) > 50);
    }
}

#[test]
fn all_but_the_newest() {
    for (seed, keep_last) in [(3, 1), (4, 3)] {
        let mut options = all();
        options.keep_last = Some(keep_last);
        let selection = Selection { keep_last: Some(keep_last), ..Selection::default() };
        assert!(check(&EstateOptions::with_seed(seed), &options, &selection) > 20);
    }
}

#[test]
fn older_ones() {
    for (seed, days) in [(5, 7), (6, 60)] {
        let mut options = all();
        options.older_than = Some(days * DAY);
        let selection = Selection { older_than: Some(days * DAY), ..Selection::default() };
        assert!(check(&EstateOptions::with_seed(seed), &options, &selection) > 5);
    }
}

#[test]
fn larger_ones() {
    let mut options = all();
    options.larger_than = Some(500 << 10);
    assert!(check(&EstateOptions::with_seed(8), &options, &Selection::default()) > 5);
}

#[test]
fn those_with_a_name() {
    let mut options = all();
    options.name = Some(NamePattern::new("*UPDATE*").unwrap());
    let selection = Selection { name: Some("update".to_owned()), ..Selection::default() };
    assert!(check(&EstateOptions::with_seed(9), &options, &selection) > 5);
}

#[test]
fn several_selections_at_once() {
    let mut options = all();
    options.keep_last = Some(2);
    options.older_than = Some(7 * DAY);
    let selection = Selection { keep_last: Some(2), older_than: Some(7 * DAY), ..Selection::default() };
    assert!(check(&EstateOptions::sound(10, 10, 80), &options, &selection) > 10);
}
