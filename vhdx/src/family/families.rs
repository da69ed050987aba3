//! Groups the disks of a forest into families: trees of files that depend on each other.

use super::forest::Forest;

/// A family: a disk without a parent in the forest, and all its descendants.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Family {
    /// The disks, each parent before its children, as indices into [`Forest::disks`]. The first one is the root.
    pub disks: Vec<usize>,
    /// Those without children, in the same order: the newest disks.
    pub leaves: Vec<usize>,
    /// The machines that use one of the disks, as indices into [`Forest::machines`].
    pub machines: Vec<usize>,
    /// The most files in a chain from a leaf to the root.
    pub depth: usize,
}

impl Forest {
    /// Returns the families, in the order of their roots.
    pub fn families(&self) -> Vec<Family> {
        let mut family_of = vec![None; self.disks.len()];
        let mut families: Vec<Family> = Vec::new();
        for root in self.roots() {
            let number = families.len();
            let family = self.family_of(root);
            for &disk in &family.disks {
                family_of[disk] = Some(number);
            }
            families.push(family);
        }
        for (i, machine) in self.machines.iter().enumerate() {
            let checkpoints = machine.checkpoints.iter();
            for configuration in checkpoints.chain([&machine.configuration]) {
                for number in configuration.members().filter_map(|disk| *family_of.get(disk)?) {
                    let machines = &mut families[number].machines;
                    if machines.last() != Some(&i) {
                        machines.push(i);
                    }
                }
            }
        }
        families
    }

    fn family_of(&self, root: usize) -> Family {
        let mut family = Family { disks: Vec::new(), leaves: Vec::new(), machines: Vec::new(), depth: 0 };
        let mut waiting = vec![(root, 1)];
        while let Some((disk, depth)) = waiting.pop() {
            family.disks.push(disk);
            family.depth = family.depth.max(depth);
            let children = &self.disks[disk].children;
            if children.is_empty() {
                family.leaves.push(disk);
            }
            waiting.extend(children.iter().rev().map(|&child| (child, depth + 1)));
        }
        family
    }
}
