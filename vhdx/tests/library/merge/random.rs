//! Random chains, and random merges in them, against plain arrays.

use std::collections::BTreeSet;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::sample::Index;
use vhdx::ops::{MergeOptions, check_storage};
use vhdx::{ErrorKind, NoProgress};
use vhdx_testkit::crash::{Calls, CrashWorld};
use vhdx_testkit::{ChainModel, Family, LayerModel, families};

use crate::common::{assert_same, cases};

/// Which layers are merged, out of two or more: from the first into the second, which is its ancestor.
fn choose(family: &Family, [child, target]: [Index; 2]) -> (usize, usize) {
    let child = 1 + child.index(family.chain.len() - 1);
    (child, target.index(child))
}

pub(crate) fn assert_leaves(world: &CrashWorld, family: &Family, what: &str) {
    for leaf in &family.leaves {
        let read =
            world.read_disk(&leaf.path).unwrap_or_else(|e| panic!("{what}: {}: {e}", leaf.path.display()));
        assert_same(&read, &leaf.expected, &format!("{what}: {}", leaf.path.display()));
    }
}

pub(crate) fn assert_sound(world: &CrashWorld, what: &str) {
    for (path, image) in world.images() {
        let report = check_storage(std::sync::Arc::new(image));
        assert!(report.is_valid(), "{what}: {}: {:?}", path.display(), report.files[0]);
    }
}

/// Options that shrink the target, with batches of one block, of a few, or of many.
pub(crate) fn options() -> impl Strategy<Value = MergeOptions> {
    let batches =
        (prop_oneof![Just(1), Just(3 << 20), Just(64 << 20)], prop_oneof![Just(1), Just(20), Just(84)]);
    batches.prop_map(|(batch_bytes, pages)| MergeOptions {
        batch_bytes,
        pages,
        shrink_target: true,
        ..MergeOptions::default()
    })
}

fn merge_and_compare(
    model: &ChainModel,
    siblings: &[(usize, LayerModel)],
    choice: [Index; 2],
    options: MergeOptions,
) {
    let family = Family::new(model, siblings);
    let (child, target) = choose(&family, choice);
    let world = CrashWorld::new(family.images.clone());
    let paths = (&family.chain[child], &family.chain[target]);
    let dependents = siblings.iter().any(|&(layer, _)| (target..child).contains(&layer));
    let result = world.merge(paths.0, paths.1, &options, &NoProgress);
    if dependents {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Chain, "{error}");
        assert_eq!(world.calls(Calls::Writes), 0, "a refused merge has written");
        return;
    }
    let merged = result.unwrap().expect("this was the first run");
    assert_leaves(&world, &family, "after the merge");
    let read = world.read_disk(paths.1).unwrap();
    assert_same(&read, &family.disks[child], "the target");
    assert_sound(&world, "after the merge");

    let children: BTreeSet<PathBuf> = merged.relinked.iter().cloned().collect();
    let descendant = family.chain.get(child + 1).into_iter().cloned();
    let beside = family.leaves.iter().filter(|leaf| leaf.parent == Some(child));
    assert_eq!(children, descendant.chain(beside.map(|leaf| leaf.path.clone())).collect());
    for path in &children {
        let chain = world.chain(path).unwrap();
        assert_eq!(chain.layers()[1].path(), Some(paths.1.as_path()));
    }

    // Again: what is merged already stays as it is; what has no children can be merged any number of times.
    world.merge(paths.0, paths.1, &options, &NoProgress).unwrap();
    assert_leaves(&world, &family, "after the second merge");
    assert_same(&world.read_disk(paths.1).unwrap(), &family.disks[child], "the target, the second time");
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn every_leaf_reads_the_same(
        (model, siblings) in families(8),
        choice in any::<[Index; 2]>(),
        options in options(),
    ) {
        merge_and_compare(&model, &siblings, choice, options);
    }

    /// Level by level, each into its parent, until one file is left.
    #[test]
    fn a_whole_chain_collapses((model, _) in families(5), options in options()) {
        let family = Family::new(&model, &[]);
        let world = CrashWorld::new(family.images.clone());
        let leaf = family.leaves[0].path.clone();
        let options = MergeOptions { delete_merged: true, ..options };
        for layer in 1..family.chain.len() {
            world.merge(&family.chain[layer], &family.chain[0], &options, &NoProgress).unwrap();
            if layer + 1 < family.chain.len() {
                assert_leaves(&world, &family, &format!("after merging layer {layer}"));
            }
        }
        prop_assert_eq!(world.images().len(), 1);
        prop_assert!(!world.contains(&leaf));
        assert_same(&world.read_disk(&family.chain[0]).unwrap(), &family.leaves[0].expected, "the last file");
    }
}
