//! Groups the merges of a plan by the machines whose disks they change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use vhdx::ops::{PruneMerge, PrunePlan};
use vhdx::{Forest, MachineConfiguration};

use crate::commands::machine;
use crate::output::shown;

/// The merges of a plan, sorted for display by machine, family and age. The plan itself is in execution order.
pub(super) struct Groups<'a> {
    /// Sorted by the names of the machines. Groups without a machine come last, sorted by the path of the base.
    pub(super) groups: Vec<Group<'a>>,
    /// The number of families with merges.
    pub(super) families: usize,
    /// The number of machines with disks in these families.
    pub(super) machines: usize,
}

/// The merges of all families of the same machines, or of one family without a known machine.
pub(super) struct Group<'a> {
    /// Names the machines, or the base of the family.
    pub(super) heading: String,
    /// Family by family, and in a family by the age of the checkpoints, the oldest first.
    pub(super) merges: Vec<&'a PruneMerge>,
}

/// The machines of a family, or its base. Groups are sorted by this value.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Owner<'a> {
    /// The names in lower case, and the indices of the machines, in the same order.
    Machines(Vec<String>, Vec<usize>),
    Base(&'a Path),
}

impl<'a> Groups<'a> {
    pub(super) fn of(forest: &'a Forest, plan: &'a PrunePlan) -> Self {
        let families = forest.families();
        let mut family_of: HashMap<usize, usize> = HashMap::new();
        for (number, family) in families.iter().enumerate() {
            family_of.extend(family.disks.iter().map(|&disk| (disk, number)));
        }
        let mut groups: BTreeMap<Owner<'a>, Vec<(Option<usize>, &'a PruneMerge)>> = BTreeMap::new();
        for merge in &plan.merges {
            let target = merge.target.as_path();
            let number = forest.index_of(target).and_then(|disk| family_of.get(&disk).copied());
            let family = number.and_then(|number| families.get(number));
            let base = family.and_then(|family| forest.disks.get(*family.disks.first()?));
            // Every target is a disk of the forest that was planned.
            let base = base.map_or(target, |base| base.facts.path.as_path());
            let machines = family.map_or(&[][..], |family| &family.machines);
            groups.entry(owner(forest, machines, base)).or_default().push((number, merge));
        }
        let all = || groups.values().flatten().map(|(number, _)| number);
        let machines = groups.keys().flat_map(|owner| match owner {
            Owner::Machines(_, machines) => machines.as_slice(),
            Owner::Base(_) => &[],
        });
        Self {
            families: all().collect::<BTreeSet<_>>().len(),
            machines: machines.collect::<BTreeSet<_>>().len(),
            groups: groups.into_iter().map(|(owner, merges)| group(forest, &owner, merges)).collect(),
        }
    }
}

fn owner<'a>(forest: &Forest, machines: &[usize], base: &'a Path) -> Owner<'a> {
    let name = |machine: usize| Some(machine::name(&forest.machines.get(machine)?.configuration));
    let mut named: Vec<(String, usize)> =
        machines.iter().filter_map(|&number| Some((name(number)?.to_lowercase(), number))).collect();
    named.sort();
    match named.is_empty() {
        true => Owner::Base(base),
        false => {
            let (names, numbers) = named.into_iter().unzip();
            Owner::Machines(names, numbers)
        }
    }
}

fn group<'a>(
    forest: &Forest,
    owner: &Owner<'_>,
    mut merges: Vec<(Option<usize>, &'a PruneMerge)>,
) -> Group<'a> {
    merges.sort_by_key(|(family, merge)| {
        let time = merge.checkpoints.first().and_then(|checkpoint| checkpoint.time);
        (*family, time.is_none(), time, &merge.target)
    });
    let heading = match owner {
        Owner::Machines(_, numbers) => {
            let found = numbers.iter().filter_map(|&number| forest.machines.get(number));
            machines(found.map(|machine| &machine.configuration))
        }
        Owner::Base(base) => format!("base {}", shown(base)),
    };
    Group { heading, merges: merges.into_iter().map(|(_, merge)| merge).collect() }
}

/// Returns `machine "A"` or `machines "A", "B"`.
pub(super) fn machines<'a>(configurations: impl Iterator<Item = &'a MachineConfiguration>) -> String {
    let names: Vec<String> = configurations.map(|of| format!("\"{}\"", machine::name(of))).collect();
    format!("{} {}", if names.len() == 1 { "machine" } else { "machines" }, names.join(", "))
}
