//! The merged files are deleted in the end, and one of them cannot be.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};

use vhdx::ops::{FileState, MergeFiles, MergeOptions, OpenFile, Undeleted};
use vhdx::{
    ChainErrorKind, DiskOffset, Error, FileFacts, NoProgress, OpenOptions, Relatives, Result, Vhdx, VhdxMut,
};
use vhdx_testkit::crash::{Calls, CrashWorld};
use vhdx_testkit::{Family, Image, Random};

use super::cases;
use crate::common::assert_same;

struct Undeletable<'a>(&'a CrashWorld, &'a Path);

impl MergeFiles for Undeletable<'_> {
    fn open(&self, path: &Path) -> Result<OpenFile> {
        MergeFiles::open(self.0, path)
    }

    fn delete(&self, file: &FileState) -> Result<()> {
        if file.path == self.1 {
            let source = io::ErrorKind::PermissionDenied.into();
            return Err(Error::io("delete", None, source));
        }
        MergeFiles::delete(self.0, file)
    }

    fn relatives(&self, folders: &[PathBuf]) -> Result<Relatives> {
        MergeFiles::relatives(self.0, folders)
    }
}

/// The parent of the merged disk holds older versions of what that disk has written, and merging it would bring them
/// back.
#[test]
fn a_layer_that_is_left_behind_is_not_merged_again() {
    let model = cases::three_versions_of_a_sector();
    let family = Family::new(&model, &[]);
    let [base, middle, top]: [PathBuf; 3] = family.chain.clone().try_into().unwrap();
    let world = CrashWorld::new(family.images.clone());
    let options = MergeOptions { delete_merged: true, ..MergeOptions::default() };
    let plan = world.plan_merge(&top, &base, &options).unwrap();
    let merged = plan.execute(&Undeletable(&world, &middle), &NoProgress).unwrap();
    assert_eq!((merged.deleted, kept(&merged.undeleted)), (vec![top.clone()], vec![&middle]));
    assert!(!world.contains(&top));
    assert_layer_of_merge(&world, &middle, &base);
    assert_same(&world.read_disk(&base).unwrap(), &family.disks[2], "the target");
}

fn kept(undeleted: &[Undeleted]) -> Vec<&PathBuf> {
    undeleted.iter().map(|file| &file.path).collect()
}

/// The merge is complete whatever cannot be deleted. What the merged disk is read through stays as long as that opens.
#[test]
fn a_merged_disk_that_cannot_be_deleted() {
    let model = cases::three_versions_of_a_sector();
    let options = MergeOptions { delete_merged: true, ..MergeOptions::default() };
    for has_child in [false, true] {
        let mut family = Family::new(&model, &[]);
        let [base, middle, top]: [PathBuf; 3] = family.chain.clone().try_into().unwrap();
        if has_child {
            let child =
                Image::child_of(&model.images()[2], top.file_name().unwrap().to_str().unwrap(), 1 << 20);
            family.images.insert("/vm/child.avhdx".into(), child.sparse());
        }
        let world = CrashWorld::new(family.images.clone());
        let plan = world.plan_merge(&top, &base, &options).unwrap();
        let merged = plan.execute(&Undeletable(&world, &top), &NoProgress).unwrap();
        assert_same(&world.read_disk(&base).unwrap(), &family.disks[2], "the target");
        assert_eq!((merged.deleted, kept(&merged.undeleted)), (Vec::new(), vec![&top, &middle]));
        assert_same(&world.read_disk(&top).unwrap(), &family.disks[2], "the merged disk");
        if has_child {
            let child = world.read_disk(Path::new("/vm/child.avhdx")).unwrap();
            assert_same(&child, &family.disks[2], "the child");
        }
    }
}

/// The layer is neither merged nor read.
fn assert_layer_of_merge(world: &CrashWorld, layer: &Path, base: &Path) {
    world.read_disk(layer).unwrap_err();
    let refused = world.merge(layer, base, &MergeOptions::default(), &NoProgress).unwrap_err();
    let Error::Chain(error) = refused else { panic!("{refused}") };
    assert_eq!(error.kind(), ChainErrorKind::LayerOfMerge, "{error}");
}

/// The same if somebody deletes the merged disk by hand.
#[test]
fn ancestors_of_a_deleted_merged_disk_are_not_merged_again() {
    let family = Family::new(&cases::three_versions_of_a_sector(), &[]);
    let [base, middle, top]: [PathBuf; 3] = family.chain.clone().try_into().unwrap();
    let world = CrashWorld::new(family.images.clone());
    world.merge(&top, &base, &MergeOptions::default(), &NoProgress).unwrap();
    assert_same(&world.read_disk(&top).unwrap(), &family.disks[2], "the merged disk");
    world.remove(&top).unwrap();
    assert_layer_of_merge(&world, &middle, &base);
    assert_same(&world.read_disk(&base).unwrap(), &family.disks[2], "the target");
}

/// The target of a completed merge is a disk like any other, whatever was kept.
#[test]
fn a_target_is_merged_further_down() {
    let family = Family::new(&cases::four_versions_of_a_sector(), &[]);
    let [base, target, lowest, top]: [PathBuf; 4] = family.chain.clone().try_into().unwrap();
    for is_deleted in [false, true] {
        let world = CrashWorld::new(family.images.clone());
        world.merge(&top, &target, &MergeOptions::default(), &NoProgress).unwrap();
        if is_deleted {
            world.remove(&top).unwrap();
        }
        let plan = world.plan_merge(&target, &base, &MergeOptions::default()).unwrap();
        let left_over: Vec<&PathBuf> = plan.left_over().iter().map(|file| &file.path).collect();
        assert_eq!(left_over, [&lowest], "it is not in the way");
        plan.execute(&world, &NoProgress).unwrap();
        assert_same(&world.read_disk(&base).unwrap(), &family.disks[3], "the last target");
        assert_layer_of_merge(&world, &lowest, &base);
        if !is_deleted {
            assert_same(&world.read_disk(&top).unwrap(), &family.disks[3], "the merged disk");
        }
    }
}

/// The merged disk was kept, and is merged once more, into the parent of its first target.
#[test]
fn a_kept_merged_disk_is_merged_further_down() {
    let family = Family::new(&cases::four_versions_of_a_sector(), &[]);
    let [base, target, _, top]: [PathBuf; 4] = family.chain.clone().try_into().unwrap();
    let world = CrashWorld::new(family.images.clone());
    world.merge(&top, &target, &MergeOptions::default(), &NoProgress).unwrap();
    world.merge(&top, &base, &MergeOptions::default(), &NoProgress).unwrap();
    assert_layer_of_merge(&world, &target, &base);
    assert_same(&world.read_disk(&top).unwrap(), &family.disks[3], "the merged disk");
    assert_same(&world.read_disk(&base).unwrap(), &family.disks[3], "the last target");
}

/// The merged disk was kept and used: it is a child of the target like any other, and is needed.
#[test]
fn a_merged_disk_that_was_used_since_is_in_the_way() {
    let family = Family::new(&cases::four_versions_of_a_sector(), &[]);
    let [base, target, lowest, top]: [PathBuf; 4] = family.chain.clone().try_into().unwrap();
    let world = CrashWorld::new(family.images.clone());
    world.merge(&top, &target, &MergeOptions::default(), &NoProgress).unwrap();
    let mut disk = VhdxMut::open_with(world.storage(&top), &OpenOptions::default()).unwrap();
    disk.write_all_at(&[9; 512], DiskOffset::new(0)).unwrap();
    disk.close().unwrap();
    let content = world.read_disk(&top).unwrap();
    let error = world.merge(&target, &base, &MergeOptions::default(), &NoProgress).unwrap_err();
    let Error::Chain(error) = error else { panic!("{error}") };
    assert_eq!(error.kind(), ChainErrorKind::OtherChildren, "{error}");
    let (dependents, unfinished) = (error.dependents(), error.unfinished());
    assert_eq!((dependents, unfinished), (&[(lowest, target.clone())][..], &[][..]));
    world.merge(&top, &base, &MergeOptions::default(), &NoProgress).unwrap();
    assert_same(&world.read_disk(&base).unwrap(), &content, "the last target");
}

/// A disk that was merged over several levels, and kept, must stay in the chain of the layer that it was merged into.
#[test]
fn a_marked_disk_is_not_taken_out_of_its_chain() {
    let family = Family::new(&cases::four_versions_of_a_sector(), &[]);
    let [base, lowest, middle, top]: [PathBuf; 4] = family.chain.clone().try_into().unwrap();
    let world = CrashWorld::new(family.images.clone());
    world.merge(&top, &base, &MergeOptions::default(), &NoProgress).unwrap();
    for target in [&middle, &lowest] {
        let error = world.merge(&top, target, &MergeOptions::default(), &NoProgress).unwrap_err();
        assert_eq!(error.path(), Some(lowest.as_path()), "{error}");
        assert_same(&world.read_disk(&top).unwrap(), &family.disks[3], "the merged disk");
    }
    world.merge(&top, &base, &MergeOptions::default(), &NoProgress).unwrap();
    assert_same(&world.read_disk(&base).unwrap(), &family.disks[3], "the target");
}

/// Another program makes a child of one of the files, when the files have been looked at `after` times.
struct Newcomer<'a> {
    world: &'a CrashWorld,
    after: Cell<usize>,
    image: &'a Image,
}

impl MergeFiles for Newcomer<'_> {
    fn open(&self, path: &Path) -> Result<OpenFile> {
        MergeFiles::open(self.world, path)
    }

    fn delete(&self, file: &FileState) -> Result<()> {
        MergeFiles::delete(self.world, file)
    }

    fn relatives(&self, folders: &[PathBuf]) -> Result<Relatives> {
        let mut relatives = MergeFiles::relatives(self.world, folders)?;
        if self.after.get() == 0 {
            let vhdx = Vhdx::open_with(self.image.sparse(), &OpenOptions::default())?;
            relatives.disks.push(FileFacts::of(Path::new("/vm/new.avhdx"), &vhdx));
        }
        self.after.set(self.after.get().saturating_sub(1));
        Ok(relatives)
    }
}

#[test]
fn a_child_that_is_made_after_the_plan_stops_the_merge() {
    let model = cases::three_versions_of_a_sector();
    let family = Family::new(&model, &[]);
    let images = model.images();
    let [base, _, top]: [PathBuf; 3] = family.chain.clone().try_into().unwrap();
    for (parent, after) in [(0, 0), (1, 0), (2, 0), (2, 1), (1, 1)] {
        let mut image = Image::child_of(&images[parent], "parent.vhdx", 1 << 20);
        image.file_write_guid = Random::new(parent as u64).guid();
        let world = CrashWorld::new(family.images.clone());
        let options = MergeOptions { delete_merged: true, ..MergeOptions::default() };
        let plan = world.plan_merge(&top, &base, &options).unwrap();
        let files = Newcomer { world: &world, after: Cell::new(after), image: &image };
        let refused = plan.execute(&files, &NoProgress).unwrap_err();
        assert_eq!(refused.path(), Some(Path::new("/vm/new.avhdx")), "{refused}");
        assert!(world.contains(&top), "a child of layer {parent}");
        if after == 0 {
            assert_eq!(world.calls(Calls::Writes), 0);
        }
        assert_same(&world.read_disk(&top).unwrap(), &family.disks[2], "the merged disk");
    }
}
