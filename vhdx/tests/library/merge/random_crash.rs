//! Random families, random merges in them, and power that fails anywhere in those.

use proptest::prelude::*;
use proptest::sample::Index;
use vhdx::ops::MergeOptions;
use vhdx_testkit::crash::{Calls, CrashWorld, Fault, Sweep};
use vhdx_testkit::{ChainModel, Family, LayerModel, families};

use super::random;
use super::scene::Scene;
use crate::common::cases;

/// A merge that no other child is in the way of, if the choice says one.
fn scene(
    model: &ChainModel,
    siblings: &[(usize, LayerModel)],
    [child, target]: [Index; 2],
    options: MergeOptions,
) -> Option<Scene> {
    let family = Family::new(model, siblings);
    let child = 1 + child.index(family.chain.len() - 1);
    let lowest = siblings.iter().map(|&(layer, _)| layer).filter(|&layer| layer < child).max();
    let target = lowest.map_or(0, |layer| layer + 1) + target.index(child);
    (target < child).then(|| Scene::of(family, child, target, options))
}

fn options() -> impl Strategy<Value = MergeOptions> {
    (any::<bool>(), random::options())
        .prop_map(|(delete_merged, options)| MergeOptions { delete_merged, ..options })
}

proptest! {
    #![proptest_config(cases(80))]

    #[test]
    fn power_fails_in_random_merges(
        (model, siblings) in families(5),
        choice in any::<[Index; 2]>(),
        options in options(),
        seed in any::<u64>(),
    ) {
        let Some(scene) = scene(&model, &siblings, choice, options) else { return Ok(()) };
        let sweep = Sweep::default();
        scene.sweep(&Sweep { exhaustive: 7, samples: sweep.samples / 4, seed }, |_| ());
    }

    #[test]
    fn calls_fail_in_random_merges(
        (model, siblings) in families(5),
        choice in any::<[Index; 2]>(),
        options in options(),
        numbers in any::<[Index; 6]>(),
    ) {
        let Some(scene) = scene(&model, &siblings, choice, options) else { return Ok(()) };
        let world = scene.world();
        scene.complete(&world, "without a fault");
        scene.assert_valid(&world, "without a fault");
        scene.assert_clean(&world, "without a fault");
        let (all, changing) = (scene.world(), scene.world());
        for world in [&all, &changing] {
            scene.merge(world, &vhdx::NoProgress).unwrap();
        }
        for number in numbers {
            let faults = [
                Fault::once(Calls::Any, number.index(all.calls(Calls::Any))),
                Fault::full(number.index(changing.calls(Calls::Writes))),
            ];
            for fault in faults {
                let world = scene.world();
                world.fail(fault);
                drop(scene.merge(&world, &vhdx::NoProgress));
                let left = CrashWorld::new(world.images());
                scene.check(&left, "after a failed call");
                scene.complete(&left, "after a failed call and another run");
            }
        }
    }
}
