//! Power fails at every write and every sync of a merge, and leaves every combination of what was not durable.
//!
//! In each image that this could leave, every leaf opens with every link proven and reads what it always read; and the
//! merge, run again, completes. `VHDX_CRASH_IMAGES` says how many images are sampled beside the exhaustive ones.

use vhdx::ops::MergeOptions;
use vhdx::{LogState, NoProgress, Vhdx};
use vhdx_testkit::Family;
use vhdx_testkit::crash::{CrashImage, CrashWorld, Sweep, Swept};

use crate::cases::{self, Case};
use crate::common::assert_same;
use crate::random::{assert_leaves, assert_sound};

/// Merges, with power failing everywhere; once more in the runs that go on after some of the failures.
fn sweep(case: &Case) -> Swept {
    let family = Family::new(&case.model, &case.siblings);
    let world = CrashWorld::new(family.images.clone());
    merge(&world, &family, case);
    let (mut total, mut number) = (Swept::default(), 0_usize);
    let swept = world.recording().crash(&Sweep::default(), |image| {
        judge(image, &family, case);
        let again = image.world();
        complete(&again, &family, case);
        number += 1;
        if number.is_multiple_of(97) {
            let few = Sweep { exhaustive: 3, samples: 20, seed: number as u64 };
            total += again.recording().crash(&few, |image| {
                judge(image, &family, case);
                complete(&image.world(), &family, case);
            });
        }
    });
    total += swept;
    println!("{}: {total:?}", case.name);
    total
}

fn merge(world: &CrashWorld, family: &Family, case: &Case) {
    let (child, target) = (&family.chain[case.child], &family.chain[case.target]);
    let options = MergeOptions { delete_merged: case.delete, ..case.options };
    world.merge(child, target, &options, &NoProgress).unwrap_or_else(|e| panic!("{}: {e}", case.name));
}

/// What holds in every image.
fn judge(image: &CrashImage, family: &Family, case: &Case) {
    let world = image.world();
    for leaf in &family.leaves {
        let is_gone = case.delete && !world.contains(&leaf.path);
        let is_merged = leaf.path == family.chain[case.child];
        if is_gone && is_merged {
            let read = world.read_disk(&family.chain[case.target]).unwrap();
            assert_same(&read, &family.disks[case.child], "the target, after its merged child is gone");
            continue;
        }
        let read = world.read_disk(&leaf.path).unwrap_or_else(|e| panic!("{}: {e}", leaf.path.display()));
        assert_same(&read, &leaf.expected, &leaf.path.display().to_string());
    }
}

/// What holds after the merge was run again.
fn complete(world: &CrashWorld, family: &Family, case: &Case) {
    if world.contains(&family.chain[case.child]) {
        merge(world, family, case);
    }
    let target = &family.chain[case.target];
    assert_same(
        &world.read_disk(target).unwrap(),
        &family.disks[case.child],
        "the target, after the next run",
    );
    for leaf in family.leaves.iter().filter(|leaf| world.contains(&leaf.path)) {
        let chain = world.chain(&leaf.path).unwrap();
        assert_same(&world.read_disk(&leaf.path).unwrap(), &leaf.expected, "after the next run");
        let merged = &family.chain[case.target + 1..=case.child];
        let is_above = leaf.path != family.chain[case.child];
        let names_merged = chain
            .layers()
            .iter()
            .any(|layer| layer.path().is_some_and(|path| merged.iter().any(|m| m == path)));
        assert!(!(is_above && names_merged), "{} still reads through a merged layer", leaf.path.display());
    }
    let written = Vhdx::from_storage(world.images()[target].clone()).unwrap();
    assert_eq!(written.log(), LogState::Clean);
}

macro_rules! sweeps {
    ($($name:ident, at least $images:literal;)*) => {$(
        #[test]
        fn $name() {
            let swept = sweep(&cases::$name());
            assert!(swept.images >= $images, "only {} images were checked", swept.images);
        }
    )*};
}

sweeps! {
    into_a_dynamic_base, at least 50;
    into_a_differencing_disk, at least 50;
    into_a_fixed_disk, at least 50;
    into_a_smaller_disk, at least 50;
    into_a_smaller_differencing_disk, at least 50;
    into_a_larger_disk, at least 50;
    through_a_smaller_middle_layer, at least 50;
    with_two_children, at least 50;
    with_deletion, at least 50;
    of_a_child_that_is_linked_by_its_second_linkage, at least 50;
    in_small_batches, at least 50;
    where_freed_space_is_used_again, at least 50;
}

#[test]
fn what_is_whole_after_the_merge_is_sound() {
    let case = cases::into_a_differencing_disk();
    let family = Family::new(&case.model, &case.siblings);
    let world = CrashWorld::new(family.images.clone());
    merge(&world, &family, &case);
    assert_leaves(&world, &family, case.name);
    assert_sound(&world, case.name);
}
