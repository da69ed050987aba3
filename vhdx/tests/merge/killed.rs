//! A merge is killed, run again, and then power fails: what the first run wrote could be read by the second one, but
//! need not have been durable.

use vhdx::NoProgress;
use vhdx_testkit::crash::{Calls, CrashWorld, Fault, Sweep};

use crate::cases::{self, Case};

fn killed_everywhere(case: &Case) {
    interrupted_everywhere(case, "killed", |number| Fault::forever(Calls::Writes, number));
}

/// The host could not write what a sync was to make durable, says so once, and forgets it: it can still be read.
fn losing_everywhere(case: &Case) {
    interrupted_everywhere(case, "a sync failed", Fault::losing);
}

fn interrupted_everywhere(case: &Case, how: &str, fault: impl Fn(usize) -> Fault) {
    let scene = case.scene();
    let undisturbed = scene.world();
    scene.merge(&undisturbed, &NoProgress).unwrap();
    let mut images = 0;
    for number in 0..undisturbed.calls(Calls::Writes) {
        let world = scene.world();
        world.fail(fault(number));
        scene.merge(&world, &NoProgress).unwrap_err();
        world.mend();
        scene.merge(&world, &NoProgress).unwrap();
        let sweep = Sweep { exhaustive: 3, samples: 12, seed: number as u64 };
        let what = format!("{how} at write {number}, run again, and power failed");
        images += world.recording().crash(&sweep, |image| scene.judge(&image.world(), &what)).images;
    }
    eprintln!("{}, {how}: {images} images", scene.name);
    assert!(images > 100, "only {images} images");
}

#[test]
fn into_a_dynamic_base() {
    killed_everywhere(&cases::into_a_dynamic_base());
}

#[test]
fn with_two_children() {
    killed_everywhere(&cases::with_two_children());
}

#[test]
fn a_sync_fails_into_a_dynamic_base() {
    losing_everywhere(&cases::into_a_dynamic_base());
}

#[test]
fn a_sync_fails_with_two_children() {
    losing_everywhere(&cases::with_two_children());
}

#[test]
fn a_sync_fails_through_a_smaller_middle_layer() {
    losing_everywhere(&cases::through_a_smaller_middle_layer());
}

/// T has a log entry then that changes its BAT and its sector bitmaps, which can be read, and is not durable.
#[test]
fn a_sync_fails_into_a_differencing_disk() {
    losing_everywhere(&cases::of_scattered_sectors_into_a_differencing_disk());
}

#[test]
fn a_sync_fails_into_a_smaller_differencing_disk() {
    losing_everywhere(&cases::into_a_smaller_differencing_disk());
}

/// A run that goes on takes the mark off the lowest layer for as long as two headers take, which need no space.
#[test]
fn between_the_marks_only_headers_are_written() {
    let scene = cases::through_a_smaller_middle_layer().scene();
    let lowest = scene.layers[1].display().to_string();
    let target = scene.target().display().to_string();
    let first = scene.world();
    scene.merge(&first, &NoProgress).unwrap();
    let cut = scene.world();
    cut.fail(Fault::forever(Calls::Writes, first.calls(Calls::Writes) / 2));
    scene.merge(&cut, &NoProgress).unwrap_err();
    let world = CrashWorld::new(cut.images());
    scene.merge(&world, &NoProgress).unwrap();

    let lines = world.recording().lines();
    let mut sessions: Vec<Vec<&str>> = Vec::new();
    for line in lines.iter().filter(|line| line.contains(" write ")) {
        let (file, write) = line.split_once(' ').unwrap();
        if file != lowest && file != target {
            continue;
        }
        match sessions.last_mut() {
            Some(session) if session[0] == file => session.push(write),
            _ => sessions.push(vec![file, write]),
        }
    }
    let told = sessions.iter().position(|session| session[0] == lowest).unwrap();
    assert_eq!(sessions[told + 1][1..].iter().filter(|write| write.ends_with("+0x1000")).count(), 2);
    for write in &sessions[told + 1][1..] {
        assert!(["write 0x10000+0x1000", "write 0x20000+0x1000"].contains(write), "{:?}", sessions[told + 1]);
    }
    assert_eq!((sessions[told + 1][0], sessions[told + 2][0]), (target.as_str(), lowest.as_str()));
}
