//! The merged files are deleted in the end, and one of them cannot be.

use std::io;
use std::path::{Path, PathBuf};

use vhdx::ops::{MergeFiles, MergeOptions, OpenFile};
use vhdx::{Error, NoProgress, Result, Vhdx};
use vhdx_testkit::Family;
use vhdx_testkit::crash::CrashWorld;

use crate::cases;
use crate::common::assert_same;

struct Undeletable<'a>(&'a CrashWorld, &'a Path);

impl MergeFiles for Undeletable<'_> {
    fn open(&self, path: &Path) -> Result<OpenFile> {
        MergeFiles::open(self.0, path)
    }

    fn delete(&self, path: &Path) -> Result<()> {
        if path == self.1 {
            let source = io::ErrorKind::PermissionDenied.into();
            return Err(Error::Io { operation: "delete", offset: None, source });
        }
        MergeFiles::delete(self.0, path)
    }
}

/// The layer below the merged disk holds older versions of what that disk has written. If it went on naming the target,
/// it would look like the target's newest child, and merging it would bring the old versions back.
#[test]
fn a_layer_that_is_left_behind_is_no_child_of_the_target() {
    let model = cases::three_versions_of_a_sector();
    let family = Family::new(&model, &[]);
    let [base, middle, top]: [PathBuf; 3] = family.chain.clone().try_into().unwrap();
    let world = CrashWorld::new(family.images.clone());
    let options = MergeOptions { delete_merged: true, ..MergeOptions::default() };
    let plan = world.plan_merge(&top, &base, &options).unwrap();
    plan.execute(&Undeletable(&world, &middle), &NoProgress).unwrap_err();
    assert!(!world.contains(&top));
    let left = Vhdx::from_storage(world.images()[&middle].clone()).unwrap();
    assert!(left.parent_locator().unwrap().linkages().is_empty());

    assert_eq!(world.merge(&middle, &base, &options, &NoProgress).unwrap(), None);
    assert_same(&world.read_disk(&base).unwrap(), &family.disks[2], "the target");
}
