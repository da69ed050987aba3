use std::collections::BTreeMap;
use std::path::Path;

use vhdx_testkit::Image;

use super::*;
use crate::file::{OpenOptions, Vhdx};
use crate::format::bat_entry::PayloadBlockState::Zero;
use crate::ops::merge::OpenFile;
use crate::ops::merge::testing::{base, chain, child, full, open, partial, relatives, with_entries};
use crate::units::MIB;

/// A file system with `free` bytes of free space.
///
/// `freed` is what the deletion of each file frees.
struct Disk {
    free: u64,
    freed: BTreeMap<&'static str, u64>,
}

impl MergeFiles for Disk {
    fn open(&self, _: &Path) -> Result<OpenFile> {
        unreachable!("nothing is opened")
    }

    fn delete(&self, _: &FileState) -> Result<()> {
        unreachable!("nothing is deleted")
    }

    fn relatives(&self, _: &[PathBuf]) -> Result<Relatives> {
        unreachable!("children are not searched for")
    }

    fn free_space(&self, _: &Path) -> Result<Option<u64>> {
        Ok(Some(self.free))
    }

    fn bytes_freed_by_deletion(&self, path: &Path) -> Result<u64> {
        Ok(path.to_str().and_then(|name| self.freed.get(name)).copied().unwrap_or(0))
    }
}

/// Three checkpoints and their empty base, leaf first.
///
/// Each checkpoint lacks blocks that later ones in the list have.
fn images() -> [Image; 4] {
    let base = base(64 * MIB);
    let mut target_child = child(&base);
    target_child.blocks = [(1, full(1)), (9, full(1))].into();
    let mut middle = child(&target_child);
    middle.blocks = [(1, full(2)), (2, partial(2, 9)), (6, full(2))].into();
    let mut leaf = child(&middle);
    leaf.blocks = [(1, full(3)), (2, full(3)), (3, full(3)), (4, full(3))].into();
    [leaf, middle, target_child, base]
}

fn steps(images: &[Image; 4], disk: &Disk) -> Vec<MergeStep> {
    let chain = chain([&images[0], &images[1], &images[2], &images[3]]);
    MergePlan::steps_that_fit(&chain, 3, &relatives(Vec::new()), &MergeOptions::default(), disk).unwrap()
}

#[test]
fn the_first_step_needs_what_its_own_plan_says() {
    let images = images();
    let disk = Disk { free: u64::MAX / 2, freed: BTreeMap::new() };
    let steps = steps(&images, &disk);
    let names: Vec<_> =
        steps.iter().map(|step| (step.child.to_str().unwrap(), step.into.to_str().unwrap())).collect();
    assert_eq!(names, [("layer 0", "layer 1"), ("layer 1", "layer 2"), ("layer 2", "layer 3")]);
    let plan = |target| {
        let chain = chain([&images[0], &images[1], &images[2], &images[3]]);
        MergePlan::new(&chain, target, &relatives(Vec::new()), &MergeOptions::default()).unwrap()
    };
    assert_eq!(steps[0].bytes_needed, plan(1).bytes_needed());
    for target in [2, 3] {
        // Marks are only needed if one pass merges several levels.
        let (step, plan) = (steps[target - 1].bytes_needed, plan(target));
        assert!(step >= plan.growth_bytes + plan.overwritten_bytes && step < plan.bytes_needed(), "{step}");
    }
}

/// The later steps fit only because earlier deletions free space.
///
/// Space that is still taken does not count.
#[test]
fn a_step_can_use_the_space_that_earlier_deletions_free() {
    let images = images();
    let all = steps(&images, &Disk { free: u64::MAX / 2, freed: BTreeMap::new() });
    let [first, second, third] = [0, 1, 2].map(|step| all[step].bytes_needed);
    assert!(first < second && second < third, "{first} {second} {third}");
    // Each step has exactly the space that it needs. While it runs, the target of the step before keeps its space.
    let freed = BTreeMap::from([("layer 0", second), ("layer 1", third - first)]);
    let fits = |free, freed: &BTreeMap<&'static str, u64>| {
        !steps(&images, &Disk { free, freed: freed.clone() }).is_empty()
    };
    assert!(fits(first, &freed));
    assert!(!fits(first - 1, &freed), "the first step");
    for layer in ["layer 0", "layer 1"] {
        let mut less = freed.clone();
        *less.get_mut(layer).unwrap() -= 1;
        assert!(!fits(first, &less), "{layer}");
    }
    let none = BTreeMap::new();
    assert!(!fits(first, &none) && !fits(third, &none));
    assert!(fits(second + third, &none));
}

/// A ZERO block of 32 MiB takes all of its space once a sector of it is written.
#[test]
fn a_step_counts_zeros_that_the_step_before_may_store() {
    let base = base(64 * MIB);
    let mut target_child = child(&base);
    target_child.blocks = [(5, full(1))].into();
    let middle = Image { block_size: 32 << 20, ..child(&target_child) };
    let mut leaf = child(&middle);
    leaf.blocks = [(3, partial(3, 1))].into();
    let middle = Vhdx::open_with(with_entries(&middle, [(0, Zero, 0)]), &OpenOptions::default()).unwrap();
    let chain = Chain::from_layers(vec![open(&leaf), middle, open(&target_child), open(&base)]).unwrap();
    let disk = Disk { free: u64::MAX / 2, freed: BTreeMap::new() };
    let steps = MergePlan::steps_that_fit(&chain, 3, &relatives(Vec::new()), &MergeOptions::default(), &disk)
        .unwrap();
    assert!(steps[1].bytes_needed > 31 * MIB, "{steps:?}");
}

#[test]
fn one_level_has_no_steps() {
    let images = images();
    let chain = chain([&images[0], &images[1], &images[2], &images[3]]);
    let disk = Disk { free: u64::MAX / 2, freed: BTreeMap::new() };
    for target in [0, 1] {
        let steps = MergePlan::steps_that_fit(
            &chain,
            target,
            &relatives(Vec::new()),
            &MergeOptions::default(),
            &disk,
        );
        assert_eq!(steps.unwrap(), []);
    }
}
