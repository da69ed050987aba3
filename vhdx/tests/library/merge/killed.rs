//! A merge is killed, run again, and then power fails: what the first run wrote could be read by the second one, but
//! need not have been durable.

use vhdx::NoProgress;
use vhdx_testkit::crash::{Calls, Fault, Sweep};

use super::cases::{self, Case};

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
        images += world.recording().crash(&sweep, |image| scene.check(&image.world(), &what)).images;
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

/// The run that goes on computes its batches from a target that has the first ones already.
#[test]
fn in_small_batches() {
    killed_everywhere(&cases::in_small_batches());
}

#[test]
fn a_sync_fails_where_freed_space_is_used_again() {
    losing_everywhere(&cases::where_freed_space_is_used_again());
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

/// A run that goes on changes the target's GUID again. Whenever power fails then, and whatever was forgotten, the layers
/// between the merged disk and the target are not readable by themselves.
#[test]
fn a_rerun_leaves_no_layer_readable_by_itself() {
    let scene = cases::through_a_smaller_middle_layer().scene();
    assert!(!scene.between.is_empty());
    let first = scene.world();
    scene.merge(&first, &NoProgress).unwrap();
    let (mut images, mut refused) = (0, 0);
    for number in 0..first.calls(Calls::Writes) {
        let cut = scene.world();
        cut.fail(Fault::losing(number));
        scene.merge(&cut, &NoProgress).unwrap_err();
        cut.mend();
        scene.merge(&cut, &NoProgress).unwrap();
        let sweep = Sweep { exhaustive: 3, samples: 12, seed: number as u64 };
        let swept = cut.recording().crash(&sweep, |image| {
            let what = format!("a sync failed at {number}, run again, and power failed");
            scene.check_between(&image.world(), &what);
            let world = image.world();
            refused += scene.between.iter().filter(|(layer, _)| world.chain(layer).is_err()).count();
        });
        images += swept.images;
    }
    assert!(images > 100 && refused > 100, "{images} images, {refused} refused");
}
