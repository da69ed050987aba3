//! Every call of a merge fails, one after the other, or the merge is cancelled: every leaf still reads the same, and the
//! next run completes.

use std::sync::atomic::{AtomicUsize, Ordering};

use vhdx::ops::MergeReport;
use vhdx::{Error, ErrorKind, Progress, Result};
use vhdx_testkit::crash::{Calls, CrashWorld, Fault, for_each_failure};

use super::cases;
use super::scene::Scene;

/// Lets each call fail in each of these ways. Gives how many calls there were.
fn let_calls_fail(scene: &Scene, faults: &[fn(usize) -> Fault], are_all_necessary: bool) -> usize {
    let mut calls = 0;
    for fault in faults {
        calls += for_each_failure(&scene.images, fault, |world| {
            let result =
                scene.merge(world, &vhdx::NoProgress).and_then(|merged| ensure_all_deleted(merged.as_ref()));
            let left = CrashWorld::new(world.images());
            scene.check(&left, "after a failed call");
            match result {
                Ok(_) => scene.assert_done(&left, "in spite of a failed call"),
                Err(ref error) => {
                    assert!(world.has_failed(), "{error}");
                    assert!(!are_all_necessary || error.kind() == ErrorKind::Io, "{error}");
                    assert!(error.path().is_some(), "which file? {error}");
                }
            }
            assert!(!are_all_necessary || !world.has_failed() || result.is_err());
            scene.complete(&left, "after a failed call and another run");
            scene.assert_valid(&left, "after a failed call and another run");
            check_power_failure(scene, world);
        });
    }
    calls
}

/// A file that could not be deleted does not make the merge incomplete, but the call fails.
fn ensure_all_deleted(merged: Option<&MergeReport>) -> Result<()> {
    let Some(first) = merged.and_then(|merged| merged.undeleted.first()) else { return Ok(()) };
    let source = std::io::Error::other(first.error.to_string());
    Err(Error::io("delete", None, source).in_file(&first.path))
}

/// Power may fail right after the program has given up.
fn check_power_failure(scene: &Scene, world: &CrashWorld) {
    let left = CrashWorld::new(world.recording().garbling().at_the_end(1));
    scene.check(&left, "when power failed too");
}

const CHANGING: [fn(usize) -> Fault; 2] =
    [Fault::full, |number| Fault { partial: true, ..Fault::once(Calls::Writes, number) }];

/// That they fail forever, without any trace, is what `a_rerun_after_every_step` is about.
#[test]
fn calls_that_change_something_fail() {
    for case in cases::ALL {
        let scene = case().scene();
        let calls = let_calls_fail(&scene, &CHANGING, true);
        eprintln!("{}: {calls} failed calls", scene.name);
        assert!(calls > 100, "{}: {calls}", scene.name);
    }
}

/// A header or a region table that cannot be read is as good as a damaged one: it is worked around where the other one
/// says the same.
#[test]
fn calls_of_any_kind_fail() {
    const ANY: [fn(usize) -> Fault; 2] =
        [|number| Fault::once(Calls::Any, number), |number| Fault::forever(Calls::Any, number)];
    for case in [cases::into_a_smaller_differencing_disk, cases::with_deletion] {
        let scene = case().scene();
        let calls = let_calls_fail(&scene, &ANY, false);
        eprintln!("{}: {calls} failed calls", scene.name);
        assert!(calls > 600, "{}: {calls}", scene.name);
    }
}

/// Cancels when it is asked for the n-th time, and from then on.
pub(crate) struct CancelAt {
    question: usize,
    asked: AtomicUsize,
}

impl CancelAt {
    pub(crate) fn question(number: usize) -> Self {
        Self { question: number, asked: AtomicUsize::new(0) }
    }
}

impl Progress for CancelAt {
    fn is_cancelled(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) >= self.question
    }
}

#[test]
fn a_merge_is_cancelled_wherever_it_asks() {
    for case in cases::ALL {
        let scene = case().scene();
        let mut questions = 0;
        loop {
            let progress = CancelAt::question(questions);
            let world = scene.world();
            match scene.merge(&world, &progress) {
                Ok(_) => break,
                Err(error) => assert!(matches!(error, Error::Cancelled), "{error}"),
            }
            scene.check(&world, "after a cancel");
            scene.assert_valid(&world, "after a cancel");
            scene.assert_clean(&world, "after a cancel");
            let left = CrashWorld::new(world.images());
            scene.complete(&left, "after a cancel and another run");
            check_power_failure(&scene, &world);
            questions += 1;
        }
        let world = scene.world();
        scene.merge(&world, &CancelAt::question(questions)).unwrap();
        scene.assert_done(&world, "when nobody asked");
        assert!(questions > 0, "{}", scene.name);
    }
}

#[test]
fn batches_and_relinked_children_are_where_a_merge_can_be_cancelled() {
    let cancelled = |scene: &Scene| {
        let asked = AtomicUsize::new(0);
        let progress = CancelAt { question: usize::MAX, asked };
        scene.merge(&scene.world(), &progress).unwrap();
        progress.asked.load(Ordering::Relaxed)
    };
    let batches = cases::in_small_batches().scene();
    assert!(cancelled(&batches) > 3, "{}", cancelled(&batches));
    assert_eq!(cancelled(&cases::with_two_children().scene()), 1 + 3);
}
