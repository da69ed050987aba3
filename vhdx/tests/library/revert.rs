//! Reverts of disks of generated estates, with a failure at every operation and a power failure at every moment.
//!
//! Whatever is left, the configuration of the machine leads to the old disk or to the new one that replaces it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use vhdx::ops::{HostFiles, RevertFiles, RevertPlan, RevertReport};
use vhdx::{
    Chain, FolderResolver, Forest, MachineProblem, NoProgress, Problem, PrunedDrive, Remedy, Result, discover,
};
use vhdx_testkit::crash::Sweep;
use vhdx_testkit::estate::{Estate, EstateOptions};

use crate::common::{assert_same, read_all};
use crate::doubles::{Mirror, Stopping};

/// A disk of a machine, and the checkpoint to which it is reverted.
struct Scene {
    _folder: tempfile::TempDir,
    estate: Estate,
    /// The disk that the configuration of the machine names.
    named: String,
    old: PathBuf,
    checkpoint: usize,
    new: PathBuf,
    /// The record of the new disk.
    record: PathBuf,
    /// All files, with their bytes.
    before: BTreeMap<PathBuf, Vec<u8>>,
}

fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = walkdir::WalkDir::new(root).into_iter().map(|entry| entry.unwrap());
    let paths = entries.filter(|entry| entry.file_type().is_file()).map(|entry| entry.into_path());
    paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn forest(estate: &Estate) -> Forest {
    discover(std::slice::from_ref(&estate.root), &NoProgress).unwrap()
}

fn read(path: &Path) -> Result<Vec<u8>> {
    Ok(read_all(&Chain::open(path, &FolderResolver::default())?))
}

impl Scene {
    /// The newest disk of a machine, on which nothing depends, and the oldest checkpoint below it.
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let estate = Estate::generate(&folder.path().join("e"), &EstateOptions::sound(seed, 1, 4)).unwrap();
        let is_free =
            |&disk: &usize| estate.children(disk).next().is_none() && estate.checkpoints_of(disk).is_empty();
        let parent = |&disk: &usize| estate.disks[disk].parent;
        let old = (0..estate.disks.len())
            .filter(is_free)
            .max_by_key(|&disk| std::iter::successors(Some(disk), parent).count())
            .unwrap();
        let checkpoint = std::iter::successors(Some(old), parent).last().unwrap();
        assert_ne!(old, checkpoint);
        let path = estate.disks[old].path.clone();
        let new = path.with_file_name("reverted.avhdx");
        let record = new.with_file_name("reverted.avhdx.vhdx-pruned");
        let named = path.file_name().unwrap().to_str().unwrap().to_owned();
        Self {
            named,
            old: path,
            checkpoint,
            new,
            record,
            before: files(&estate.root),
            estate,
            _folder: folder,
        }
    }

    fn revert(&self, files: &dyn RevertFiles) -> Result<RevertReport> {
        let checkpoint = self.estate.disks[self.checkpoint].path.to_str().unwrap();
        let plan = RevertPlan::new(&forest(&self.estate), &self.old, checkpoint, Some(&self.new))?;
        plan.execute(true, files, &NoProgress)
    }

    fn restore<'a>(&self, to: impl IntoIterator<Item = (&'a PathBuf, Vec<u8>)>) {
        fs::remove_dir_all(&self.estate.root).unwrap();
        for (path, bytes) in to {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    /// Checks that no file but the old disk has changed, and that the old disk is there or the new one can replace it.
    fn check(&self, context: &str) {
        let mut left = files(&self.estate.root);
        let new = left.remove(&self.new);
        if new.is_some() {
            let content = self.estate.disks[self.checkpoint].content();
            assert_same(&read(&self.new).unwrap(), &content, context);
        }
        let record = left.remove(&self.record);
        self.check_machine(context);
        if !left.contains_key(&self.old) {
            assert!(new.is_some(), "{context}: both disks are lost");
            assert!(record.is_some(), "{context}: nothing says which disk the machine must use");
            left.insert(self.old.clone(), self.before[&self.old].clone());
            // Its record is deleted after it.
            let old_record =
                self.before.iter().filter(|(path, _)| path.to_str().unwrap().ends_with("vhdx-pruned"));
            left.extend(old_record.map(|(path, bytes)| (path.clone(), bytes.clone())));
        }
        assert!(left.keys().eq(self.before.keys()), "{context}: {:?}", left.keys());
        for (path, bytes) in &self.before {
            assert!(left[path] == *bytes, "{context}: {} has changed", path.display());
        }
    }
}

impl Scene {
    /// Checks that the configuration which names the old disk leads to it, or to the new one if the old one is deleted.
    fn check_machine(&self, context: &str) {
        let forest = forest(&self.estate);
        let drives = forest.machines.iter().flat_map(|machine| &machine.configuration.drives);
        let drive = drives.into_iter().find(|drive| drive.stored_path.ends_with(&self.named)).unwrap();
        let disk = drive.disk.map(|disk| forest.disks[disk].facts.path.as_path());
        // The old disk may replace another one itself.
        let (expected, is_replaced) = match self.old.exists() {
            true => (&self.old, !self.old.ends_with(&self.named)),
            false => (&self.new, true),
        };
        let is_pending =
            std::fs::read_to_string(&self.record).is_ok_and(|text| text.contains("\npending revert\n"));
        if is_pending && !self.old.exists() {
            // It is not known whether the old disk was deleted or moved.
            assert_eq!((disk, drive.pruned), (None, None), "{context}");
            return;
        }
        let pruned = is_replaced.then_some(PrunedDrive::Replaced);
        assert_eq!((disk, drive.pruned), (Some(expected.as_path()), pruned), "{context}");
        let mut replaced = forest
            .problems
            .iter()
            .filter(|problem| matches!(problem, Problem::Machine(MachineProblem::ReplacedDisk { .. })));
        let remedy = replaced.next().map(Problem::remedy);
        assert_eq!(remedy, is_replaced.then_some(Remedy::UseTarget { target: expected }), "{context}");
    }

    /// Reverts the new disk again, and returns the next revert.
    fn next(mut self) -> Self {
        assert!(self.revert(&HostFiles).unwrap().deleted.is_some());
        self.old = std::mem::replace(&mut self.new, self.old.with_file_name("again.avhdx"));
        self.record = self.new.with_file_name("again.avhdx.vhdx-pruned");
        self.before = files(&self.estate.root);
        self
    }
}

#[test]
fn a_revert_that_fails_leaves_the_old_disk_or_the_whole_new_one() {
    let scene = Scene::new(31);
    for operations in 0.. {
        let report = scene.revert(&Stopping::after(operations));
        let context = format!("after {operations} operations: {report:?}");
        scene.check(&context);
        let (is_new, is_old) = (scene.new.exists(), scene.old.exists());
        match &report {
            Err(_) => assert!(!is_new && is_old, "{context}"),
            Ok(report) => {
                assert!(is_new && report.new == scene.new, "{context}");
                assert_eq!(report.deleted.is_none(), is_old, "{context}");
                // Otherwise the record could not be completed.
                assert!(!is_old || report.undeleted.is_some(), "{context}");
                assert_eq!(report.record.is_some(), scene.record.exists(), "{context}");
            }
        }
        if !is_old {
            assert!(operations > 5, "{context}");
            return;
        }
        scene.restore(scene.before.iter().map(|(path, bytes)| (path, bytes.clone())));
        if operations.is_multiple_of(4) {
            assert!(scene.revert(&HostFiles).unwrap().deleted.is_some(), "{context}");
            scene.check("after the next run");
            scene.restore(scene.before.iter().map(|(path, bytes)| (path, bytes.clone())));
        }
    }
}

#[test]
fn a_power_failure_leaves_the_old_disk_or_the_whole_new_one() {
    for seed in [31, 32] {
        let scene = Scene::new(seed);
        let mirror = Mirror::of(scene.before.keys().cloned().collect());
        assert!(scene.revert(&mirror).unwrap().deleted.is_some());
        mirror.assert_faithful(files(&scene.estate.root).into_keys().collect());
        let mut found = BTreeMap::new();
        mirror.world().recording().crash(&Sweep::default(), |image| {
            scene.restore(image.files().iter().map(|(path, file)| (path, file.to_vec())));
            scene.check(&image.to_string());
            let left = (scene.old.exists(), scene.new.exists(), scene.record.exists());
            *found.entry(left).or_insert(0) += 1;
        });
        // The new disk, its record, the deletion of the old disk, and the completed record follow each other.
        let all = [
            ((true, false, false), 1),
            ((true, true, false), 1),
            ((true, true, true), 1),
            ((false, true, true), 2),
        ];
        assert_eq!(found, BTreeMap::from(all));
    }
}

/// The record of the first revert goes after its disk is deleted. The configuration still names the first disk.
#[test]
fn a_power_failure_during_the_next_revert_leaves_a_disk_for_the_machine() {
    let scene = Scene::new(31).next();
    let mirror = Mirror::of(scene.before.keys().cloned().collect());
    assert!(scene.revert(&mirror).unwrap().deleted.is_some());
    mirror.assert_faithful(files(&scene.estate.root).into_keys().collect());
    let old_record = scene.old.with_file_name("reverted.avhdx.vhdx-pruned");
    let mut found = BTreeMap::new();
    mirror.world().recording().crash(&Sweep::default(), |image| {
        scene.restore(image.files().iter().map(|(path, file)| (path, file.to_vec())));
        scene.check(&image.to_string());
        let left = [&scene.old, &scene.new, &scene.record, &old_record].map(|path| path.exists());
        *found.entry(left).or_insert(0) += 1;
    });
    let whole = [[true, false, false, true], [true, true, false, true], [true, true, true, true]];
    let deleted = [[false, true, true, true], [false, true, true, false]];
    assert!(found.into_keys().eq(deleted.into_iter().rev().chain(whole)));
}

#[test]
fn the_next_revert_that_fails_leaves_a_disk_for_the_machine() {
    let scene = Scene::new(31).next();
    for operations in 0.. {
        let report = scene.revert(&Stopping::after(operations));
        let context = format!("after {operations} operations: {report:?}");
        scene.check(&context);
        let is_done = report.is_ok_and(|report| report.undeleted.is_none());
        scene.restore(scene.before.iter().map(|(path, bytes)| (path, bytes.clone())));
        if is_done {
            assert!(operations > 7, "{context}");
            return;
        }
    }
}
