//! A prune that is stopped at any operation goes on when it runs again, and ends in the same state.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use vhdx::ops::{HostFiles, PendingDeletion, PruneOptions, has_prune_journal};
use vhdx::{Forest, NoProgress, Problem};
use vhdx_testkit::estate::{Estate, EstateOptions};

use super::expected::Selection;
use super::states::{check_end, check_states, copy, names_at_the_end};
use super::{files, plan, prune};
use crate::doubles::Stopping;

/// The number of operations from which the operations of a whole prune are counted down.
const MANY: usize = 1 << 40;
/// Of the writes and syncs, each of this many is the last one in a run. Every deletion is, and what is next to one.
const STEP: usize = 5;

/// Stops prunes at operations all over their length. Returns the number of operations of a whole prune.
fn stop_everywhere(estate_options: &EstateOptions, options: &PruneOptions, selection: &Selection) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let estate = Estate::generate(&folder.path().join("estate"), estate_options).unwrap();
    let expected = selection.expected(&estate);
    let names = names_at_the_end(&estate, &expected);
    let run = |operations: usize| {
        let root = folder.path().join("run");
        copy(&estate.root, &root);
        let (forest, plan) = plan(&root, options, estate.now);
        let files = Stopping::after(operations);
        let report = plan.execute(&forest, &files, &NoProgress);
        let context = format!("stopped at operation {operations}: {report:?}");
        check_states(&estate, &root, &expected, &context);
        let again = prune(&root, options, estate.now);
        assert!(again.is_complete(), "{context}, then {again:#?}");
        check_end(&estate, &root, &expected, &names, &context);
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(report.is_complete(), operations == MANY, "{context}");
        files
    };
    let whole = run(MANY);
    let count = MANY - whole.left();
    let deletions = whole.deletions.lock().unwrap().clone();
    let deletions = deletions.into_iter().map(|left| MANY - left).flat_map(|at| [at, at + 1]);
    let stops: BTreeSet<usize> = (0..count).step_by(STEP).chain(deletions).filter(|&at| at < count).collect();
    stops.into_iter().for_each(|at| drop(run(at)));
    count
}

#[test]
fn at_any_operation() {
    for (seed, keep_last) in [(21, 0), (22, 1)] {
        let mut options = PruneOptions::all();
        options.keep_last = Some(keep_last);
        let selection = Selection { keep_last: Some(keep_last), ..Selection::default() };
        let operations = stop_everywhere(&EstateOptions::sound(seed, 1, 4), &options, &selection);
        assert!(operations > 40, "{operations}");
    }
}

#[test]
fn a_caller_can_stop_after_a_merge() {
    let folder = tempfile::tempdir().unwrap();
    let estate = Estate::generate(&folder.path().join("estate"), &EstateOptions::sound(41, 4, 18)).unwrap();
    let (forest, plan) = plan(&estate.root, &PruneOptions::all(), estate.now);
    assert!(plan.merges.len() > 2);
    let mut targets = Vec::new();
    let report = plan.execute_each(&forest, &HostFiles, &NoProgress, |merge, outcome| {
        assert!(outcome.error.is_none());
        targets.push(merge.target.clone());
        if targets.len() < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert_eq!((targets.len(), report.merges.len(), report.is_cancelled), (2, 2, true));
    assert!(!report.is_complete());
    assert!(prune(&estate.root, &PruneOptions::all(), estate.now).is_complete());
}

/// The first writes of a merge change the times of its files, but leave no sign of a merge. The journal has the times.
#[test]
fn a_merge_that_did_not_begin_changes_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let estate = Estate::generate(&folder.path().join("estate"), &EstateOptions::sound(41, 4, 18)).unwrap();
    let mut options = PruneOptions::all();
    options.keep_last = Some(1);
    let expected = Selection { keep_last: Some(1), ..Selection::default() }.expected(&estate);
    let names = names_at_the_end(&estate, &expected);
    let root = folder.path().join("run");
    copy(&estate.root, &root);
    let (forest, first) = plan(&root, &options, estate.now);
    for merge in &first.merges {
        // The journal is the only thing that is written.
        let mut one = first.clone();
        one.merges = vec![merge.clone()];
        assert!(!one.execute(&forest, &Stopping::after(1), &NoProgress).is_complete());
        for path in merge.merged.iter().chain([&merge.target]) {
            fs::File::options().append(true).open(path).unwrap().set_modified(estate.now).unwrap();
        }
    }
    let left = files(&root).len();
    assert_eq!(left, files(&estate.root).len() + first.merges.len(), "each merge has a journal");
    // The journals already tell the times.
    let again = super::plan(&root, &options, estate.now).0;
    let known = |forest: &Forest| -> Vec<_> {
        forest.checkpoints().into_iter().map(|of| (of.names, of.time, of.is_changed)).collect()
    };
    assert_eq!(known(&again), known(&forest));
    assert!(prune(&root, &options, estate.now).is_complete());
    check_end(&estate, &root, &expected, &names, "the merges did not begin");
}

/// A half-merged target whose merged files were not found is a mix of old and new data. Nobody may be told to use it.
#[test]
fn a_half_merged_target_keeps_its_journal() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let estate = Estate::generate(&folder.path().join("estate"), &EstateOptions::sound(21, 1, 4)).unwrap();
    let options = PruneOptions::all();
    let expected = Selection::default().expected(&estate);
    let names = names_at_the_end(&estate, &expected);
    let root = folder.path().join("run");
    let begun = |forest: &Forest| {
        let mut problems = forest.all_problems().into_iter();
        problems.find_map(|problem| match problem {
            Problem::MergeBegun { target, .. } => Some(target.clone()),
            _ => None,
        })
    };
    let mut checked = 0;
    for operations in 0..200 {
        let _ = fs::remove_dir_all(&root);
        copy(&estate.root, &root);
        let (forest, first) = plan(&root, &options, estate.now);
        if first.execute(&forest, &Stopping::after(operations), &NoProgress).is_complete() {
            break;
        }
        let Some(target) = begun(&plan(&root, &options, estate.now).0) else { continue };
        let merge = first.merges.iter().find(|merge| merge.target == target).unwrap();
        let away = |path: &Path| elsewhere.path().join(path.file_name().unwrap());
        merge.merged.iter().for_each(|path| drop(fs::rename(path, away(path))));
        let (forest, second) = plan(&root, &options, estate.now);
        let is_journal = |pending: &PendingDeletion| pending.journal.with_extension("") == target;
        assert!(second.pending.iter().any(|pending| is_journal(pending) && !pending.is_proven));
        second.execute(&forest, &HostFiles, &NoProgress);
        let record = target.with_file_name(format!("{}.vhdx-pruned", target.file_name().unwrap().display()));
        assert!(has_prune_journal(&target) && !record.exists(), "{operations}");
        let told = plan(&root, &options, estate.now).0;
        assert!(!told.all_problems().iter().any(|problem| problem.to_string().contains("prune merged into")));
        merge.merged.iter().for_each(|path| drop(fs::rename(away(path), path)));
        assert!(prune(&root, &options, estate.now).is_complete());
        check_end(&estate, &root, &expected, &names, &format!("{operations}"));
        checked += 1;
    }
    assert!(checked > 5, "{checked}");
}

/// After a deletion was stopped, the target is not what it was: the merged files may be the only copy of their data.
#[test]
fn files_of_a_stopped_deletion_stay_if_their_target_is_lost_or_changed() {
    let options = PruneOptions::all();
    for is_lost in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let estate =
            Estate::generate(&folder.path().join("estate"), &EstateOptions::sound(21, 1, 4)).unwrap();
        let root = folder.path().join("run");
        copy(&estate.root, &root);
        let (forest, first) = plan(&root, &options, estate.now);
        let whole = Stopping::after(MANY);
        first.execute(&forest, &whole, &NoProgress);
        let with_several = first.merges.iter().position(|merge| merge.merged.len() > 1).unwrap();
        let merge = &first.merges[with_several];
        let (deleted, target) = (merge.merged.clone(), merge.target.clone());
        fs::remove_dir_all(&root).unwrap();
        // Of the operations on files of this merge: two journals before, then the deletions.
        let before: usize = first.merges[..with_several].iter().map(|merge| merge.merged.len() + 3).sum();
        let at = MANY - whole.deletions.lock().unwrap()[before + 3];
        copy(&estate.root, &root);
        let (forest, plan_again) = plan(&root, &options, estate.now);
        plan_again.execute(&forest, &Stopping::after(at), &NoProgress);
        assert!(!deleted[0].exists() && deleted[1].exists(), "the first of several files is deleted");
        let original = estate.root.join(target.strip_prefix(&root).unwrap());
        match is_lost {
            true => fs::remove_file(&target).unwrap(),
            false => drop(fs::copy(original, &target).unwrap()),
        }
        let left = files(&root);
        prune(&root, &options, estate.now);
        assert!(deleted[1].exists(), "lost: {is_lost}");
        assert!(left.iter().all(|path| path.exists() || !deleted.contains(path)));
    }
}
