//! The way into a merge, on files of the host.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use vhdx::format::merge_guid::MergeId;
use vhdx::ops::{
    AlreadyMerged, FileState, HostFiles, MergeFiles, MergeOptions, MergePlan, MergeTarget, OpenFile, Planned,
};
use vhdx::{
    ChainError, ChainErrorKind, Conflict, DiskOffset, Error, FileOffset, FolderResolver, InvalidArgument,
    NoProgress, ReadAt, Relatives, Result, Storage, VhdxMut,
};
use vhdx_testkit::Image;

use crate::common::MIB;

/// A folder with `base.vhdx`, `middle.avhdx` and `leaf.avhdx`.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let base = Image::dynamic(4 * MIB, 1 << 20);
        let middle = Image::child_of(&base, "base.vhdx", 1 << 20);
        let leaf = Image::child_of(&middle, "middle.avhdx", 1 << 20);
        for (name, image) in [("base.vhdx", base), ("middle.avhdx", middle), ("leaf.avhdx", leaf)] {
            fs::write(files.path(name), image.build()).unwrap();
        }
        files.write_to("leaf.avhdx", 0);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write_to(&self, name: &str, offset: u64) {
        let mut disk = VhdxMut::open(self.path(name)).unwrap();
        disk.write_all_at(&[7; 4096], DiskOffset::new(offset)).unwrap();
        disk.close().unwrap();
    }

    fn prepare(&self, leaf: &str, target: MergeTarget<'_>, options: &MergeOptions) -> Result<Planned> {
        let (leaf, resolver) = (self.path(leaf), FolderResolver::default());
        Ok(MergePlan::prepare(&leaf, target, &resolver, &[], options, &NoProgress)?)
    }

    #[track_caller]
    fn ready(&self, target: MergeTarget<'_>) -> Box<MergePlan> {
        match self.prepare("leaf.avhdx", target, &MergeOptions::default()).unwrap() {
            Planned::Ready(plan) => plan,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn refused(&self, leaf: &str, target: MergeTarget<'_>) -> ChainError {
        match self.prepare(leaf, target, &MergeOptions::default()).unwrap_err() {
            Error::Chain(error) => error,
            other => panic!("{other}"),
        }
    }
}

fn files_of(plan: &MergePlan) -> Vec<&Path> {
    plan.layers().iter().map(|layer| layer.path.as_path()).collect()
}

#[test]
fn a_merge_is_planned_and_executed() {
    let files = Files::new();
    let plan = files.ready(MergeTarget::Parent);
    assert_eq!(files_of(&plan), [files.path("leaf.avhdx"), files.path("middle.avhdx")]);
    assert_eq!(plan.folders(), [files.0.path()]);
    let plan = files.ready(MergeTarget::Ancestor(&files.path("base.vhdx")));
    assert_eq!(plan.layers().len(), 3);
    let done = plan.execute(&HostFiles, &NoProgress).unwrap();
    assert_eq!(done.bytes_copied, 4096);
}

/// Without a path, the target is the one of the earlier merge.
#[test]
fn a_complete_merge_only_deletes() {
    let files = Files::new();
    files.ready(MergeTarget::Ancestor(&files.path("base.vhdx"))).execute(&HostFiles, &NoProgress).unwrap();
    let options = MergeOptions { delete_merged: true, ..MergeOptions::default() };
    let planned = files.prepare("leaf.avhdx", MergeTarget::Parent, &options).unwrap();
    let Planned::Complete(plan) = planned else { panic!("{planned:?}") };
    assert_eq!((files_of(&plan).len(), plan.deleted_layers(), plan.bytes_to_copy()), (3, &[0, 1][..], 0));
    let done = plan.execute(&HostFiles, &NoProgress).unwrap();
    assert_eq!(done.deleted, [files.path("leaf.avhdx"), files.path("middle.avhdx")]);
}

/// The target was changed after the merge, so the chain of the merged disk no longer opens.
#[test]
fn a_merged_disk_whose_chain_is_broken_is_already_merged() {
    let files = Files::new();
    files.ready(MergeTarget::Parent).execute(&HostFiles, &NoProgress).unwrap();
    files.write_to("middle.avhdx", MIB);
    let planned = files.prepare("leaf.avhdx", MergeTarget::Parent, &MergeOptions::default()).unwrap();
    let Planned::AlreadyMerged(found) = planned else { panic!("{planned:?}") };
    assert_eq!(found.layers().len(), 1);
    assert_eq!(found.layers()[0].path, files.path("leaf.avhdx"));
    assert!(found.is_certain() && found.may_be_only_copy() && !found.may_delete());
    assert_eq!(found.target(), None);
}

/// The undetermined file may depend on the merged disk.
#[test]
fn an_undetermined_file_stops_the_deletion_of_a_disk_that_is_already_merged() {
    let files = Files::new();
    files.ready(MergeTarget::Parent).execute(&HostFiles, &NoProgress).unwrap();
    files.write_to("middle.avhdx", MIB);
    fs::write(files.path("damaged.avhdx"), b"vhdxfile").unwrap();
    let delete = MergeOptions { delete_merged: true, ..MergeOptions::default() };
    let error = files.prepare("leaf.avhdx", MergeTarget::Parent, &delete).unwrap_err();
    let Error::Chain(error) = error else { panic!("{error}") };
    assert_eq!(error.kind(), ChainErrorKind::UndeterminedFiles, "{error}");
    let ignore = MergeOptions { ignore_undetermined: true, ..delete };
    let planned = files.prepare("leaf.avhdx", MergeTarget::Parent, &ignore).unwrap();
    assert!(matches!(planned, Planned::AlreadyMerged(_)), "{planned:?}");
}

/// A merge of `leaf.avhdx` into `base.vhdx`, which then was moved to another folder. A relinked child shows that it
/// holds the data.
fn merged_into_a_moved_target() -> (Files, AlreadyMerged) {
    let files = Files::new();
    let base = Image::dynamic(4 * MIB, 1 << 20);
    let leaf = Image::child_of(&base, "base.vhdx", 1 << 20);
    let child = Image::child_of(&leaf, "leaf.avhdx", 1 << 20);
    for (name, image) in [("base.vhdx", base), ("leaf.avhdx", leaf), ("child.avhdx", child)] {
        fs::write(files.path(name), image.build()).unwrap();
    }
    fs::remove_file(files.path("middle.avhdx")).unwrap();
    files.ready(MergeTarget::Parent).execute(&HostFiles, &NoProgress).unwrap();
    // The search for dependent disks finds the target in its new folder; the chain does not open from there.
    let moved = files.path("moved");
    fs::create_dir(&moved).unwrap();
    fs::rename(files.path("base.vhdx"), moved.join("base.vhdx")).unwrap();
    let (leaf, resolver, options) =
        (files.path("leaf.avhdx"), FolderResolver::default(), MergeOptions::default());
    let folders = [moved.clone()];
    let planned =
        MergePlan::prepare(&leaf, MergeTarget::Parent, &resolver, &folders, &options, &NoProgress).unwrap();
    let Planned::AlreadyMerged(found) = planned else { panic!("{planned:?}") };
    assert!(found.may_delete());
    assert_eq!(found.target(), Some(&*moved.join("base.vhdx")));
    (files, found)
}

#[test]
fn layers_on_which_an_undetermined_file_may_depend_are_not_deleted() {
    let (files, found) = merged_into_a_moved_target();
    fs::write(files.path("damaged.avhdx"), b"vhdxfile").unwrap();
    let error = found.delete(&HostFiles, &MergeOptions::default()).unwrap_err();
    assert_eq!(error.chain_error().unwrap().kind(), ChainErrorKind::UndeterminedFiles, "{error}");
    assert!(files.path("leaf.avhdx").exists());
    let ignore = MergeOptions { ignore_undetermined: true, ..MergeOptions::default() };
    assert_eq!(found.delete(&HostFiles, &ignore).unwrap().deleted, [files.path("leaf.avhdx")]);
    assert!(!files.path("leaf.avhdx").exists());
}

/// The target was restored from a backup, or a machine was started from it: it no longer proves that it has the data.
#[test]
fn layers_are_not_deleted_if_the_target_has_changed_since() {
    let (files, found) = merged_into_a_moved_target();
    files.write_to("moved/base.vhdx", 0);
    let error = found.delete(&HostFiles, &MergeOptions::default()).unwrap_err();
    assert_eq!(error.path(), Some(&*files.path("moved/base.vhdx")));
    assert!(matches!(error.without_path(), Error::Conflict(Conflict::StalePlan)), "{error}");
    fs::remove_file(files.path("moved/base.vhdx")).unwrap();
    found.delete(&HostFiles, &MergeOptions::default()).unwrap_err();
    assert!(files.path("leaf.avhdx").exists());
}

/// Files of the host that record each sync and deletion.
#[derive(Default)]
struct Recorded(Arc<Mutex<Vec<(&'static str, PathBuf)>>>);

struct RecordedFile(Arc<dyn Storage>, PathBuf, Recorded);

impl Recorded {
    fn add(&self, what: &'static str, path: &Path) {
        self.0.lock().unwrap().push((what, path.to_owned()));
    }
}

impl ReadAt for RecordedFile {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }
}

impl Storage for RecordedFile {
    fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.2.add("sync", &self.1);
        self.0.sync()
    }
}

impl MergeFiles for Recorded {
    fn open(&self, path: &Path) -> Result<OpenFile> {
        let mut file = HostFiles.open(path)?;
        file.storage = Arc::new(RecordedFile(file.storage, path.to_owned(), Self(self.0.clone())));
        Ok(file)
    }

    fn delete(&self, file: &FileState) -> Result<()> {
        self.add("delete", &file.path);
        HostFiles.delete(file)
    }

    fn relatives(&self, folders: &[PathBuf]) -> Result<Relatives> {
        HostFiles.relatives(folders)
    }
}

/// The target may be a fresh copy, which so far only the host's cache holds.
#[test]
fn the_target_and_the_relinked_child_are_synced_before_layers_are_deleted() {
    let (files, found) = merged_into_a_moved_target();
    let recorded = Recorded::default();
    found.delete(&recorded, &MergeOptions::default()).unwrap();
    let events = recorded.0.lock().unwrap();
    let first = |event: (&'static str, &str)| {
        let event = (event.0, files.path(event.1));
        events.iter().position(|found| *found == event).unwrap_or_else(|| panic!("{event:?} in {events:?}"))
    };
    let deleted = first(("delete", "leaf.avhdx"));
    assert!(
        first(("sync", "moved/base.vhdx")) < deleted && first(("sync", "child.avhdx")) < deleted,
        "{events:?}"
    );
}

#[test]
fn a_leaf_into_which_a_merge_is_incomplete_is_refused() {
    let files = Files::new();
    let leaf = vhdx::Vhdx::open(files.path("leaf.avhdx")).unwrap().data_write_guid();
    let half_merged =
        Image { data_write_guid: MergeId::new(None, leaf).guid(), ..Image::dynamic(4 * MIB, 1 << 20) };
    let child = Image::child_of(&half_merged, "half.vhdx", 1 << 20);
    fs::write(files.path("half.vhdx"), half_merged.build()).unwrap();
    fs::write(files.path("lowest.avhdx"), child.build()).unwrap();
    // It has no parent either. The merge to complete is what matters.
    let error = files.refused("half.vhdx", MergeTarget::Parent);
    assert_eq!(error.kind(), ChainErrorKind::HalfMerged, "{error}");
    assert!(error.is_certain());
    let unfinished = error.unfinished();
    assert_eq!((error.path(), unfinished.len()), (&*files.path("half.vhdx"), 1));
    assert_eq!(unfinished[0].merged, Some(files.path("lowest.avhdx")));
}

#[test]
fn only_an_ancestor_can_be_the_target() {
    let files = Files::new();
    for other in ["leaf.avhdx", "other.vhdx"] {
        fs::write(files.path("other.vhdx"), Image::dynamic(4 * MIB, 1 << 20).build()).unwrap();
        let error = files.refused("leaf.avhdx", MergeTarget::Ancestor(&files.path(other)));
        assert_eq!(error.kind(), ChainErrorKind::NotAnAncestor, "{error}");
    }
    let error = files.prepare("base.vhdx", MergeTarget::Parent, &MergeOptions::default()).unwrap_err();
    let expected = InvalidArgument::MergeTarget { target: 1, layers: 1 };
    assert!(matches!(error, Error::InvalidArgument(found) if found == expected));
}

#[test]
fn undetermined_files_are_refused_or_reported() {
    let files = Files::new();
    let damaged = files.path("damaged.avhdx");
    fs::write(&damaged, b"vhdxfile").unwrap();
    let error = files.refused("leaf.avhdx", MergeTarget::Parent);
    assert_eq!(error.kind(), ChainErrorKind::UndeterminedFiles, "{error}");
    let options = MergeOptions { ignore_undetermined: true, ..MergeOptions::default() };
    let planned = files.prepare("leaf.avhdx", MergeTarget::Parent, &options).unwrap();
    let Planned::Ready(plan) = planned else { panic!("{planned:?}") };
    assert_eq!(plan.undetermined().iter().map(|(path, _)| path).collect::<Vec<_>>(), [&damaged]);
}

#[test]
fn a_file_that_changes_after_the_plan_makes_it_stale() {
    let files = Files::new();
    let plan = files.ready(MergeTarget::Parent);
    files.write_to("leaf.avhdx", 2 * MIB);
    let error = plan.execute(&HostFiles, &NoProgress).unwrap_err();
    let Error::InFile { path, error: source, .. } = error else { panic!("{error}") };
    assert_eq!(path, files.path("leaf.avhdx"));
    assert!(matches!(*source, Error::Conflict(Conflict::StalePlan)), "{source}");
}
