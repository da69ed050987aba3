//! An update that is stopped at any moment is completed by running it again.

use std::path::PathBuf;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use vhdx::ops::{BaseProof, UpdateReport, update_raw};
use vhdx::{Jobs, NoProgress, Result};
use vhdx_testkit::crash::{Calls, CrashWorld, Fault, Images, Sweep};
use vhdx_testkit::{Random, SparseImage, families};

use super::{target, updated};
use crate::common::{assert_same, report};
use crate::diff::{Members, Point};

fn name() -> PathBuf {
    PathBuf::from("disk.raw")
}

fn image(bytes: &[u8]) -> SparseImage {
    let mut image = SparseImage::new(bytes.len() as u64);
    image.write(0, bytes);
    image
}

/// Pairs of random disks that differ.
fn pairs(count: usize) -> Vec<(Members, usize, usize)> {
    let mut runner = TestRunner::deterministic();
    let (mut found, mut random) = (Vec::new(), Random::new(3));
    while found.len() < count {
        let (model, siblings) = families(4).new_tree(&mut runner).unwrap().current();
        let members = Members::of(&model, &siblings);
        let (old, new) = (random.below(members.0.len()), random.below(members.0.len()));
        let (a, b) = (&members.0[old], &members.0[new]);
        if !a.descends_from(b) && a.bytes != b.bytes {
            found.push((members, old, new));
        }
    }
    found
}

fn world(old: &Point, new: &Point) -> (CrashWorld, Vec<u8>) {
    let len = old.bytes.len().max(new.bytes.len()) + 512;
    let start = Images::from([(name(), image(&target(&old.bytes, len)))]);
    (CrashWorld::new(start), updated(&old.bytes, &new.bytes, len))
}

/// Runs the update in a world, after a full proof.
fn update(world: &CrashWorld, old: &Point, new: &Point) -> Result<UpdateReport> {
    let target = world.storage(name());
    update_raw(&old.chain, &new.chain, &*target, BaseProof::Full, Jobs::default(), &NoProgress)
}

/// Runs the update in a world to its end, and checks the target.
#[track_caller]
fn run_again(world: &CrashWorld, old: &Point, new: &Point, proof: BaseProof, expected: &[u8]) {
    update_raw(&old.chain, &new.chain, &*world.storage(name()), proof, Jobs::default(), &NoProgress).unwrap();
    assert_same(&world.images()[&name()].to_vec(), expected, "the target");
}

#[test]
fn an_update_that_is_stopped_at_50_random_moments_is_completed() {
    let mut random = Random::new(11);
    for (members, old, new) in pairs(50) {
        let (old, new) = (&members.0[old], &members.0[new]);
        let (whole, expected) = world(old, new);
        update(&whole, old, new).unwrap();
        // Its changes are the operations of the recording.
        let changes = whole.recording().lines().len();
        let number = random.below(changes);
        let (stopped, _) = world(old, new);
        let fault = Fault { partial: random.below(2) == 0, ..Fault::forever(Calls::Writes, number) };
        stopped.fail(fault);
        let result = update(&stopped, old, new);
        assert!(result.is_err(), "{number} of {changes}");
        let left = CrashWorld::new(stopped.images());
        run_again(&left, old, new, BaseProof::Full, &expected);
    }
}

#[test]
fn a_power_failure_at_any_moment_is_completed() {
    for (members, old, new) in pairs(4) {
        let (old, new) = (&members.0[old], &members.0[new]);
        let (whole, expected) = world(old, new);
        update(&whole, old, new).unwrap();
        let sweep = Sweep { exhaustive: 6, samples: 60, ..Sweep::default() };
        let swept = whole.recording().crash(&sweep, |image| {
            run_again(&image.world(), old, new, BaseProof::Full, &expected);
        });
        report("update", &swept);
        assert!(swept.images > 3, "{swept:?}");
    }
}

/// Nothing is written before the whole proof has succeeded, and success is reported only after a sync.
#[test]
fn the_last_operation_is_a_sync_and_nothing_changes_before_the_proof() {
    for (members, old, new) in pairs(6) {
        let (old, new) = (&members.0[old], &members.0[new]);
        let (whole, _) = world(old, new);
        update(&whole, old, new).unwrap();
        let lines = whole.recording().lines();
        assert!(lines.last().is_some_and(|line| line.ends_with("sync")), "{lines:?}");
        let mut number = 0;
        loop {
            let (failing, _) = world(old, new);
            failing.fail(Fault::once(Calls::Any, number));
            let result = update(&failing, old, new);
            assert_eq!(result.is_err(), failing.has_failed(), "call {number}");
            if !failing.has_failed() {
                break;
            }
            number += 1;
        }
        assert!(number > 3, "{number}");
    }
}
