//! Reverts of disks of generated estates, with a failure at every operation and a power failure at every moment.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use vhdx::ops::{HostFiles, RevertFiles, RevertPlan, RevertReport};
use vhdx::{Chain, FolderResolver, Forest, NoProgress, Result, discover};
use vhdx_testkit::crash::Sweep;
use vhdx_testkit::estate::{Estate, EstateOptions};

use crate::common::{assert_same, read_all};
use crate::doubles::{Mirror, Stopping};

/// A disk of a machine, and the checkpoint to which it is reverted.
struct Scene {
    _folder: tempfile::TempDir,
    estate: Estate,
    old: PathBuf,
    checkpoint: usize,
    new: PathBuf,
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
        Self { old: path, checkpoint, new, before: files(&estate.root), estate, _folder: folder }
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
        if !left.contains_key(&self.old) {
            assert!(new.is_some(), "{context}: both disks are lost");
            left.insert(self.old.clone(), self.before[&self.old].clone());
        }
        assert!(left.keys().eq(self.before.keys()), "{context}: {:?}", left.keys());
        for (path, bytes) in &self.before {
            assert!(left[path] == *bytes, "{context}: {} has changed", path.display());
        }
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
                assert_eq!(
                    (report.deleted.is_none(), report.undeleted.is_some()),
                    (is_old, is_old),
                    "{context}"
                );
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
            *found.entry((scene.old.exists(), scene.new.exists())).or_insert(0) += 1;
        });
        assert_eq!(found, BTreeMap::from([((true, false), 1), ((true, true), 1), ((false, true), 1)]));
    }
}
