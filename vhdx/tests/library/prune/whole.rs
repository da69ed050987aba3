//! A checkpoint of several disks is deleted with all of them, or none of them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use vhdx::ops::{
    FileState, HostFiles, KeepReason, MergeFiles, OpenFile, PruneFiles, PruneOptions, PrunePlan,
};
use vhdx::{Forest, MachineProblem, NoProgress, Problem, Relatives, Result, discover};
use vhdx_testkit::estate::{Estate, EstateOptions};

use super::expected::Selection;
use super::states::{check_end, check_states, copy, names_at_the_end};
use super::{plan, prune};

/// Makes one machine with two disks and some checkpoints.
fn two_disks(root: &Path, seed: u64) -> Estate {
    for seed in seed * 100.. {
        let root = root.join(seed.to_string());
        let estate = Estate::generate(&root, &EstateOptions::sound(seed, 1, 5)).unwrap();
        if estate.machines[0].drives.len() == 2 {
            return estate;
        }
    }
    unreachable!("every second machine has two disks")
}

/// Returns the paths of the disks that each checkpoint froze.
fn checkpoints(estate: &Estate) -> Vec<BTreeSet<PathBuf>> {
    let checkpoints = estate.machines.iter().flat_map(|machine| &machine.checkpoints);
    let paths = checkpoints.map(|of| of.drives.iter().map(|drive| estate.disks[drive.disk].path.clone()));
    paths.map(Iterator::collect).collect()
}

/// Checks that no checkpoint is deleted in part. Returns how many are deleted.
fn deleted_whole(estate: &Estate, plan: &PrunePlan) -> usize {
    let selected: BTreeSet<&Path> = plan.selected().map(|of| of.path.as_path()).collect();
    let counts = checkpoints(estate).into_iter().map(|disks| {
        let deleted = disks.iter().filter(|path| selected.contains(path.as_path())).count();
        assert!(deleted == 0 || deleted == disks.len(), "{disks:?}: {:#?}", plan.kept);
        usize::from(deleted > 0)
    });
    counts.sum()
}

/// Returns the reasons of other disks for which disks are kept.
fn reasons_of_others(plan: &PrunePlan) -> Vec<&KeepReason> {
    let others = plan.kept.iter().filter_map(|kept| match &kept.reason {
        KeepReason::OtherDiskKept { reason, .. } => Some(&**reason),
        _ => None,
    });
    others.collect()
}

/// The files of a host with little space, or with another name for a file.
#[derive(Default)]
struct Files {
    free: Option<u64>,
    has_other_name: Option<PathBuf>,
}

impl MergeFiles for Files {
    fn open(&self, path: &Path) -> Result<OpenFile> {
        HostFiles.open(path)
    }

    fn delete(&self, file: &FileState) -> Result<()> {
        HostFiles.delete(file)
    }

    fn relatives(&self, folders: &[PathBuf]) -> Result<Relatives> {
        HostFiles.relatives(folders)
    }

    fn free_space(&self, _: &Path) -> Result<Option<u64>> {
        Ok(self.free)
    }
}

impl PruneFiles for Files {
    fn write_journal(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        HostFiles.write_journal(path, bytes)
    }

    fn read_journal(&self, path: &Path) -> Result<Vec<u8>> {
        HostFiles.read_journal(path)
    }

    fn delete_journal(&self, path: &Path) -> Result<()> {
        HostFiles.delete_journal(path)
    }

    fn has_other_names(&self, path: &Path) -> Result<bool> {
        Ok(self.has_other_name.as_deref() == Some(path))
    }
}

fn plan_with(estate: &Estate, files: &Files) -> PrunePlan {
    let forest = discover(std::slice::from_ref(&estate.root), &NoProgress).unwrap();
    PrunePlan::new(&forest, &PruneOptions::all(), estate.now, files, &NoProgress).unwrap()
}

/// The merges of one disk turn out to be impossible when they are planned.
#[test]
fn a_refused_merge_keeps_the_other_disk() {
    let folder = tempfile::tempdir().unwrap();
    let estate = two_disks(folder.path(), 1);
    let whole = plan_with(&estate, &Files::default());
    let possible = deleted_whole(&estate, &whole);
    assert!(possible > 1, "{possible}");
    for merge in &whole.merges {
        let plan =
            plan_with(&estate, &Files { has_other_name: Some(merge.target.clone()), ..Files::default() });
        assert!(deleted_whole(&estate, &plan) < possible, "{}", merge.target.display());
        let others = reasons_of_others(&plan);
        let is_refused = |reason: &KeepReason| matches!(reason, KeepReason::SeveralNames { .. });
        assert!(others.into_iter().any(is_refused), "{:#?}", plan.kept);
        for kept in &plan.kept {
            if let KeepReason::OtherDiskKept { reason, .. } = &kept.reason {
                assert_eq!(kept.reason.is_failure(), reason.is_failure());
            }
        }
    }
}

#[test]
fn a_merge_without_space_keeps_the_other_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut no_space = 0;
    for seed in [2, 3] {
        let estate = two_disks(folder.path(), seed);
        let needed = plan_with(&estate, &Files::default()).volumes[0].needed;
        for step in 0..=8 {
            let plan = plan_with(&estate, &Files { free: Some(needed * step / 8), ..Files::default() });
            deleted_whole(&estate, &plan);
            let others = reasons_of_others(&plan);
            no_space += others.iter().filter(|of| matches!(of, KeepReason::NoSpace { .. })).count();
        }
    }
    assert!(no_space > 0);
}

/// The state of the first disk is gone when the second prune selects the second one.
#[test]
fn a_prune_that_stops_between_two_disks_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    for (seed, keep_last) in [(4, 0), (5, 1), (6, 2)] {
        let estate = two_disks(folder.path(), seed);
        let mut options = PruneOptions::all();
        options.keep_last = Some(keep_last);
        let expected = Selection { keep_last: Some(keep_last), ..Selection::default() }.expected(&estate);
        let names = names_at_the_end(&estate, &expected);
        let merges = plan(&estate.root, &options, estate.now).1.merges.len();
        assert!(merges > 1);
        for count in 1..merges {
            let root = folder.path().join(format!("{seed}-{count}"));
            copy(&estate.root, &root);
            stop_after(&root, &options, &estate, count);
            let context = format!("{seed}: after {count} merges");
            check_states(&estate, &root, &expected, &context);
            assert!(prune(&root, &options, estate.now).is_complete());
            check_end(&estate, &root, &expected, &names, &context);
        }
    }
}

fn stop_after(root: &Path, options: &PruneOptions, estate: &Estate, count: usize) {
    let (forest, plan) = plan(root, options, estate.now);
    let mut done = 0;
    let report = plan.execute_each(&forest, &HostFiles, &NoProgress, |_, _| {
        done += 1;
        if done < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert_eq!((report.merges.len(), report.is_cancelled), (count, true));
}

fn partly_deleted(forest: &Forest) -> usize {
    let is_partly = |problem: &&&Problem| {
        matches!(problem, Problem::Machine(MachineProblem::PartlyDeletedCheckpoint { .. }))
    };
    forest.all_problems().iter().filter(is_partly).count()
}

/// The disks are large enough only together. When the first one is gone, the second one is deleted nevertheless.
#[test]
fn a_prune_by_size_that_stops_between_two_disks_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut stopped = 0;
    for seed in 7..12 {
        let estate = two_disks(folder.path(), seed);
        let forest = plan(&estate.root, &PruneOptions::all(), estate.now).0;
        let sums = forest.checkpoints().into_iter().map(|of| (of.size_of_all_disks, of.size));
        let (sum, size) = sums.max().unwrap();
        let mut options = PruneOptions::all();
        options.larger_than = Some(size.max(sum - size));
        assert!(sum > size.max(sum - size), "neither disk is large enough on its own");
        let first = plan(&estate.root, &options, estate.now).1;
        deleted_whole(&estate, &first);
        if first.merges.len() < 2 {
            continue; // The checkpoint has several children.
        }
        stop_after(&estate.root, &options, &estate, 1);
        stopped += partly_deleted(&plan(&estate.root, &options, estate.now).0);
        assert!(prune(&estate.root, &options, estate.now).is_complete());
        assert_eq!(partly_deleted(&plan(&estate.root, &options, estate.now).0), 0);
    }
    assert!(stopped > 0);
}
