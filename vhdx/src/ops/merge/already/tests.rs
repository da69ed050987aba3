use super::*;
use crate::disk::{FolderResolver, inspect_chain};
use crate::family::find_relatives;
use crate::ops::merge::files::{HostFiles, OpenFile};
use crate::ops::merge::testing::{base, child, open, relatives};
use crate::progress::NoProgress;
use crate::units::MIB;
use std::fs;
use std::path::Path;
use vhdx_testkit::{Image, windows_locator};

/// Makes a folder with a target, the target's child, the merged disk and a child of it.
///
/// `change` may change all but the target.
fn family(change: impl FnOnce([&mut Image; 3])) -> tempfile::TempDir {
    let target = base(MIB);
    let mut target_child = child(&target);
    let mut leaf = child(&target_child);
    leaf.parent_locator = Some(windows_locator(target_child.data_write_guid, Uuid::nil(), "lowest.avhdx"));
    let mut grandchild = child(&leaf);
    // The linkages that a merge of an earlier version leaves.
    target_child.parent_locator = Some(windows_locator(Uuid::nil(), Uuid::nil(), "target.vhdx"));
    grandchild.parent_locator =
        Some(windows_locator(target.data_write_guid, leaf.data_write_guid, "target.vhdx"));
    change([&mut leaf, &mut target_child, &mut grandchild]);
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("target.vhdx", target),
        ("lowest.avhdx", target_child),
        ("leaf.avhdx", leaf),
        ("top.avhdx", grandchild),
    ];
    for (name, image) in files {
        fs::write(folder.path().join(name), image.build()).unwrap();
    }
    folder
}

fn found_in(folder: &Path) -> Option<AlreadyMerged> {
    let layers = inspect_chain(folder.join("leaf.avhdx"), &FolderResolver::default()).unwrap();
    already_merged(&layers, &find_relatives(&[folder.to_owned()], &NoProgress).unwrap())
}

#[test]
fn layers_of_a_completed_merge_can_be_deleted() {
    let folder = family(|_| ());
    let found = found_in(folder.path()).unwrap();
    let paths: Vec<_> = found.layers.iter().map(|state| state.path.clone()).collect();
    assert_eq!(paths, ["leaf.avhdx", "lowest.avhdx"].map(|name| folder.path().join(name)));
    assert_eq!(found.relinked.len(), 1);
    assert_eq!(found.relinked[0].path, folder.path().join("top.avhdx"));
    assert!(found.remaining_children.is_empty() && found.may_delete());
}

/// Adds a child of the merged disk that was relinked to another relinked child.
fn add_child_of_relinked(folder: &Path) {
    let guid = |name: &str| open_guid(&folder.join(name));
    let locator = windows_locator(guid("top.avhdx"), guid("leaf.avhdx"), "top.avhdx");
    let second = Image { parent_locator: Some(locator), ..Image::dynamic(MIB, 1 << 20) };
    fs::write(folder.join("second.avhdx"), second.build()).unwrap();
}

#[test]
fn a_target_that_is_also_a_relinked_child_is_opened_once() {
    let folder = family(|_| ());
    add_child_of_relinked(folder.path());
    let found = found_in(folder.path()).unwrap();
    assert!(found.targets.contains(&found.relinked[1]), "{found:?}");
    let deletion = found.delete(&HostFiles, &MergeOptions::default()).unwrap();
    assert_eq!(deletion.deleted, ["leaf.avhdx", "lowest.avhdx"].map(|name| folder.path().join(name)));
    for name in ["top.avhdx", "second.avhdx", "target.vhdx"] {
        open_guid(&folder.path().join(name));
    }
}

/// The host's files, of which some cannot be deleted.
struct Undeletable(&'static [&'static str]);

impl MergeFiles for Undeletable {
    fn open(&self, path: &Path) -> Result<OpenFile> {
        HostFiles.open(path)
    }

    fn delete(&self, file: &FileState) -> Result<()> {
        match self.0.iter().any(|name| file.path.ends_with(name)) {
            true => Err(Error::io("delete", None, std::io::ErrorKind::PermissionDenied.into())),
            false => HostFiles.delete(file),
        }
    }

    fn relatives(&self, folders: &[PathBuf]) -> Result<Relatives> {
        HostFiles.relatives(folders)
    }
}

#[test]
fn a_second_deletion_is_refused() {
    for (kept, is_stale) in [(&["leaf.avhdx", "lowest.avhdx"][..], true), (&["leaf.avhdx"], false)] {
        let folder = family(|_| ());
        let found = found_in(folder.path()).unwrap();
        let deletion = found.delete(&Undeletable(kept), &MergeOptions::default()).unwrap();
        assert_eq!(deletion.undeleted.len(), kept.len());
        let error = found.delete(&HostFiles, &MergeOptions::default()).unwrap_err();
        assert_eq!(matches!(error.conflict(), Some(Conflict::StalePlan)), is_stale, "{error}");
        assert_eq!(error.io_error().is_some(), !is_stale, "{error}");
        for name in kept {
            assert!(folder.path().join(name).exists(), "{name}");
        }
    }
}

#[test]
fn layers_stay_without_a_relinked_child_whose_parent_was_found() {
    let folder = family(|_| ());
    fs::remove_file(folder.path().join("top.avhdx")).unwrap();
    let found = found_in(folder.path()).unwrap();
    assert!(found.relinked.is_empty() && !found.may_delete());
    let folder = family(|_| ());
    fs::remove_file(folder.path().join("target.vhdx")).unwrap();
    let found = found_in(folder.path()).unwrap();
    assert_eq!(
        found.remaining_children,
        [["top.avhdx", "leaf.avhdx"].map(|name| folder.path().join(name)).into()]
    );
    assert!(!found.may_delete());
}

#[test]
fn a_layer_that_is_a_parent_must_stay() {
    let folder = family(|_| ());
    let other = Image {
        parent_locator: Some(windows_locator(
            open_guid(&folder.path().join("lowest.avhdx")),
            Uuid::nil(),
            "lowest.avhdx",
        )),
        ..Image::dynamic(MIB, 1 << 20)
    };
    fs::write(folder.path().join("other.avhdx"), other.build()).unwrap();
    let found = found_in(folder.path()).unwrap();
    assert_eq!(
        found.remaining_children,
        [["other.avhdx", "lowest.avhdx"].map(|name| folder.path().join(name)).into()]
    );
    assert!(!found.relinked.is_empty() && !found.may_delete());
}

fn open_guid(path: &Path) -> Uuid {
    crate::file::Vhdx::open(path).unwrap().data_write_guid()
}

#[test]
fn other_broken_chains_are_not_completed_merges() {
    let one_is_set = Uuid::from_u128(5);
    for linkages in [(one_is_set, Uuid::nil()), (Uuid::nil(), one_is_set)] {
        let folder = family(|[_, target_child, _]| {
            target_child.parent_locator = Some(windows_locator(linkages.0, linkages.1, "target.vhdx"));
        });
        assert_eq!(found_in(folder.path()), None, "{linkages:?}");
    }
    // The chain breaks before the layer without a parent.
    let folder = family(|[leaf, _, _]| {
        leaf.parent_locator = Some(windows_locator(one_is_set, Uuid::nil(), "lowest.avhdx"));
    });
    assert_eq!(found_in(folder.path()), None);
}

#[test]
fn an_unbroken_chain_is_not_a_completed_merge() {
    let target = base(MIB);
    let layers =
        vec![InspectedLayer { name: "base".into(), vhdx: open(&target), found_by: None, link: Link::Base }];
    assert_eq!(already_merged(&layers, &relatives(Vec::new())), None);
    assert_eq!(already_merged(&[], &relatives(Vec::new())), None);
}
