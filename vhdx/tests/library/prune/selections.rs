//! Each selection deletes exactly what the truth of the estate says, and nothing else changes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use vhdx::ops::{HostFiles, NamePattern, PruneOptions};
use vhdx::{NoProgress, discover};
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
    let before_files = files(&estate.root);
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
    let gone: BTreeSet<PathBuf> = shown(expected.gone.clone()).into_iter().collect();
    let left: Vec<PathBuf> = before_files.into_iter().filter(|path| !gone.contains(path)).collect();
    assert_eq!(files(&estate.root), left, "only merged files are deleted, and nothing is left over");
    for merge in &plan.merges {
        let leaf = known[merge.merged[0].as_path()];
        assert_eq!(merge.is_newest, estate.children(leaf).next().is_none());
    }
    // A prune that ran is done: the states that stay are those that the selection keeps.
    let again = discover(std::slice::from_ref(&estate.root), &NoProgress).unwrap();
    assert!(
        again
            .disks
            .iter()
            .all(|disk| disk.problems.iter().all(|problem| !problem.to_string().contains("merge")))
    );
    expected.deleted.len()
}

/// Returns the disks whose children take more than a limit.
fn larger(estate: &Estate, limit: u64) -> BTreeSet<usize> {
    let size = |disk: usize| -> u64 {
        estate.children(disk).map(|child| vhdx::allocated_bytes(&estate.disks[child].path).unwrap()).sum()
    };
    (0..estate.disks.len()).filter(|&disk| size(disk) > limit).collect()
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
