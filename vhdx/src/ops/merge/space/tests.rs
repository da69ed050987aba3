use std::path::{Path, PathBuf};

use super::*;
#[cfg(target_os = "linux")]
use crate::ops::merge::HostFiles;
use crate::ops::merge::testing::{base, chain, child, full, partial, relatives};
use crate::ops::merge::{MergeOptions, OpenFile};
use crate::units::MIB;

/// Every file system has this many bytes free.
struct Free(u64);

/// As [`Free`].
///
/// Files can have holes, and each file has as many bytes of them as the second number says.
struct Sparse(u64, u64);

impl MergeFiles for Sparse {
    fn open(&self, path: &Path) -> Result<OpenFile> {
        Free(self.0).open(path)
    }

    fn delete(&self, file: &FileState) -> Result<()> {
        Free(self.0).delete(file)
    }

    fn relatives(&self, folders: &[PathBuf]) -> Result<Relatives> {
        Free(self.0).relatives(folders)
    }

    fn holes(&self, _: &Path) -> Result<Option<u64>> {
        Ok(Some(self.1))
    }

    fn free_space(&self, _: &Path) -> Result<Option<u64>> {
        Ok(Some(self.0))
    }
}

impl MergeFiles for Free {
    fn open(&self, _: &Path) -> Result<OpenFile> {
        unreachable!("nothing is opened before there is space")
    }

    fn delete(&self, _: &FileState) -> Result<()> {
        unreachable!("nothing is deleted")
    }

    fn relatives(&self, _: &[PathBuf]) -> Result<Relatives> {
        unreachable!("children are not searched for")
    }

    fn free_space(&self, _: &Path) -> Result<Option<u64>> {
        Ok(Some(self.0))
    }
}

#[test]
fn one_byte_less_than_needed_is_too_little() {
    let mut base = base(4 * MIB);
    base.blocks = [(0, full(1))].into();
    let mut child = child(&base);
    child.blocks = [(0, partial(2, 1)), (1, full(3))].into();
    let chain = chain([&child, &base]);
    let plan = MergePlan::new(&chain, 1, &relatives(Vec::new()), &MergeOptions::default()).unwrap();
    // A sector in a hole takes a page.
    assert_eq!((plan.growth_bytes, plan.overwritten_bytes), (MIB, 4096));
    plan.ensure_space(&Free(plan.bytes_needed())).unwrap();
    let error = plan.ensure_space(&Free(plan.bytes_needed() - 1)).unwrap_err();
    assert!(matches!(error, Error::InFile { .. }) && error.path() == Some("layer 1".as_ref()), "{error}");
    assert!(plan.bytes_needed() < 12 * MIB, "{}", plan.bytes_needed());
}

#[test]
fn only_bytes_written_to_holes_need_space() {
    let mut base = base(64 * MIB);
    base.blocks = (0..8).map(|block| (block, full(1))).collect();
    let mut child = child(&base);
    child.blocks = (0..8).map(|block| (block, full(2))).chain([(9, partial(3, 1))]).collect();
    let chain = chain([&child, &base]);
    let plan = MergePlan::new(&chain, 1, &relatives(Vec::new()), &MergeOptions::default()).unwrap();
    assert_eq!((plan.growth_bytes, plan.overwritten_bytes), (MIB, 8 * MIB));
    for (holes, spared) in [(0, 9 * MIB - 4096), (3 * MIB, 6 * MIB - 4096), (90 * MIB, MIB - 4096)] {
        let needed = plan.bytes_needed() - spared;
        plan.ensure_space(&Sparse(needed, holes)).unwrap();
        plan.ensure_space(&Sparse(needed - 1, holes)).unwrap_err();
    }
    plan.ensure_space(&Free(plan.bytes_needed() - 1)).unwrap_err();
}

/// This many bytes are free. No file has holes, and overwriting takes new space.
struct CopyOnWrite(u64);

impl MergeFiles for CopyOnWrite {
    fn open(&self, path: &Path) -> Result<OpenFile> {
        Free(self.0).open(path)
    }

    fn delete(&self, file: &FileState) -> Result<()> {
        Free(self.0).delete(file)
    }

    fn relatives(&self, folders: &[PathBuf]) -> Result<Relatives> {
        Free(self.0).relatives(folders)
    }

    fn holes(&self, _: &Path) -> Result<Option<u64>> {
        Ok(Some(0))
    }

    fn overwrites_in_place(&self, _: &Path) -> Result<bool> {
        Ok(false)
    }

    fn free_space(&self, _: &Path) -> Result<Option<u64>> {
        Ok(Some(self.0))
    }
}

/// A rerun overwrites what the first run wrote.
///
/// On a file system that copies on write, this takes new space.
#[test]
fn a_rerun_needs_space_for_what_it_overwrites_where_that_is_copied_on_write() {
    let mut base = base(64 * MIB);
    base.blocks = (0..8).map(|block| (block, full(1))).collect();
    let mut child = child(&base);
    child.blocks = (0..8).map(|block| (block, full(2))).collect();
    let chain = chain([&child, &base]);
    let mut plan = MergePlan::new(&chain, 1, &relatives(Vec::new()), &MergeOptions::default()).unwrap();
    let all = plan.bytes_needed();
    for has_begun in [false, true] {
        plan.needs.has_begun = has_begun;
        plan.ensure_space(&CopyOnWrite(all)).unwrap();
        plan.ensure_space(&CopyOnWrite(all - 1)).unwrap_err();
    }
    plan.ensure_space(&Sparse(0, 0)).unwrap();
}

/// A file on another file system than every file of the tests.
#[cfg(target_os = "linux")]
const ELSEWHERE: &str = "/proc/version";

#[cfg(target_os = "linux")]
#[test]
fn each_file_system_must_have_space_for_its_own_files() {
    use crate::storage::FileIdentity;
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("here");
    std::fs::write(&here, []).unwrap();
    let identity = |path: &Path| FileIdentity::of(&std::fs::File::open(path).unwrap()).unwrap();
    let mut file = FileState {
        path: here.clone(),
        identity: Some(identity(&here)),
        file_write_guid: uuid::Uuid::nil(),
        data_write_guid: uuid::Uuid::nil(),
        virtual_size: MIB,
        file_len: None,
    };
    let mut needs = Needs::default();
    needs.add(&file, 1);
    file.path = ELSEWHERE.into();
    file.identity = Some(identity(ELSEWHERE.as_ref()));
    needs.add(&file, 20);
    needs.add(&file, 300);
    file.identity = Some(identity(folder.path()));
    needs.add(&file, 4000);
    file.identity = None;
    needs.add(&file, 50_000);
    let found: Vec<_> = needs.all.iter().map(|need| (need.path.as_path(), need.bytes)).collect();
    assert_eq!(found, [(here.as_path(), 54_001), (ELSEWHERE.as_ref(), 320)]);
    assert_eq!(needs.total(), 54_321);
}

#[cfg(target_os = "linux")]
#[test]
fn the_file_behind_a_link_is_what_takes_space() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(ELSEWHERE, &link).unwrap();
    assert!(HostFiles.free_space(&folder.path().join("absent")).unwrap().is_some());
    assert_eq!(HostFiles.free_space(&link).unwrap(), None, "files of the kernel report no free space");
}
