//! A merge is killed, run again, and then power fails: what the first run wrote could be read by the second one, but
//! need not have been durable.

use vhdx::NoProgress;
use vhdx_testkit::crash::{Calls, Fault, Sweep};

use crate::cases::{self, Case};

fn killed_everywhere(case: &Case) {
    let scene = case.scene();
    let undisturbed = scene.world();
    scene.merge(&undisturbed, &NoProgress).unwrap();
    let mut images = 0;
    for number in 0..undisturbed.calls(Calls::Writes) {
        let world = scene.world();
        world.fail(Fault::forever(Calls::Writes, number));
        scene.merge(&world, &NoProgress).unwrap_err();
        world.mend();
        scene.merge(&world, &NoProgress).unwrap();
        let sweep = Sweep { exhaustive: 3, samples: 12, seed: number as u64 };
        let what = format!("killed at write {number}, run again, and power failed");
        images += world.recording().crash(&sweep, |image| scene.judge(&image.world(), &what)).images;
    }
    eprintln!("{}, killed: {images} images", scene.name);
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
