//! Prunes of generated estates, whose truth is known.

mod crash;
mod expected;
mod selections;
mod states;
mod stopped;
mod whole;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use vhdx::ops::{HostFiles, PruneOptions, PrunePlan, PruneReport};
use vhdx::{Chain, FolderResolver, Forest, NoProgress, discover};
use vhdx_testkit::estate::Estate;

use crate::common::read_all;

/// Searches a folder and plans.
fn plan(root: &Path, options: &PruneOptions, now: SystemTime) -> (Forest, PrunePlan) {
    let forest = discover(&[root.to_owned()], &NoProgress).unwrap();
    let plan = PrunePlan::new(&forest, options, now, &HostFiles, &NoProgress).unwrap();
    (forest, plan)
}

/// Plans and executes until there is nothing left to do. Returns the last report.
fn prune(root: &Path, options: &PruneOptions, now: SystemTime) -> PruneReport {
    for _ in 0..8 {
        let (forest, plan) = plan(root, options, now);
        let report = plan.execute(&forest, &HostFiles, &NoProgress);
        if !plan.needs_another() || !report.is_complete() {
            return report;
        }
    }
    panic!("the prune does not come to an end");
}

/// Returns the content of every disk of an estate that can be read, by the path of its file.
fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let forest = discover(&[root.to_owned()], &NoProgress).unwrap();
    let mut contents = BTreeMap::new();
    for (i, disk) in forest.disks.iter().enumerate() {
        let named = std::iter::successors(forest.disks[i].parent, |&i| forest.disks[i].parent);
        let named = named.map(|i| forest.disks[i].facts.path.clone()).collect();
        let resolver = FolderResolver { named, ..FolderResolver::default() };
        if let Ok(chain) = Chain::open(&disk.facts.path, &resolver) {
            contents.insert(disk.facts.path.clone(), read_all(&chain));
        }
    }
    contents
}

/// Returns the path of every file below a folder, sorted.
fn files(root: &Path) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(root).into_iter().map(|entry| entry.unwrap());
    let files = files.filter(|entry| entry.file_type().is_file());
    let mut files: Vec<PathBuf> = files.map(|entry| entry.into_path()).collect();
    files.sort();
    files
}

/// Returns the position of a disk by its path.
fn by_path(estate: &Estate) -> BTreeMap<&Path, usize> {
    estate.disks.iter().enumerate().map(|(i, disk)| (disk.path.as_path(), i)).collect()
}
