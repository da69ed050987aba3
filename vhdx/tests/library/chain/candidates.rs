//! The search for a parent opens only some files, and reports why it did not use the others.

use std::fs;

use vhdx::format::parent_locator::{ABSOLUTE_WIN32_PATH, PARENT_LINKAGE2, RELATIVE_PATH, VOLUME_PATH};
use vhdx::{Chain, ChainErrorKind, ErrorKind, FolderResolver, Guid};

use super::{BASE, Folder, beside, chain_error, child, disk, leaf, parent_of};

#[test]
fn a_damaged_candidate_is_a_reason_and_does_not_hide_the_right_one() {
    let folder = Folder::new();
    let stored = [(RELATIVE_PATH, r".\a\base.vhdx"), (ABSOLUTE_WIN32_PATH, r"C:\b\base.vhdx")];
    let leaf = folder.put("leaf.avhdx", &leaf(&stored));
    let damaged = folder.put("a/base.vhdx", &disk(BASE));
    fs::write(&damaged, "no disk").unwrap();
    let error = Chain::open(&leaf, &beside()).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Corrupt, Some(damaged.as_path())));

    folder.put("b/base.vhdx", &disk(Guid::from_u128(5)));
    let error = chain_error(Chain::open(&leaf, &beside()));
    assert_eq!(error.kind(), ChainErrorKind::Mismatch, "{error}");
    assert_eq!(error.unreadable(), [damaged]);
    folder.put("b/base.vhdx", &disk(BASE));
    Chain::open(&leaf, &beside()).unwrap();
}

/// After a merge the second linkage of a child names what was merged, which may be called as its parent is.
#[test]
fn what_a_merge_has_left_over_counts_if_nothing_else_does() {
    let merged = Guid::from_u128(7);
    let second = merged.braced().to_string();
    let folder = Folder::new();
    let stored = [(PARENT_LINKAGE2, second.as_str()), (RELATIVE_PATH, r"..\gone\base.vhdx")];
    let leaf = folder.put("vm/leaf.avhdx", &leaf(&stored));
    let dead = child(merged, BASE, &[(RELATIVE_PATH, r".\below.vhdx")]);
    folder.put("merged/below.vhdx", &disk(BASE));
    let dead_path = folder.put("merged/base.vhdx", &dead).canonicalize().unwrap();
    fs::create_dir(folder.path("disks")).unwrap();
    let folders = FolderResolver {
        folders: ["merged", "disks"].map(|name| folder.path(name)).into(),
        ..FolderResolver::default()
    };
    let parent = || Chain::open(&leaf, &folders).unwrap().layers()[1].path().unwrap().canonicalize().unwrap();
    assert_eq!(parent(), dead_path);
    let base = folder.put("disks/base.vhdx", &disk(BASE)).canonicalize().unwrap();
    assert_eq!(parent(), base);
    // A copy from before the merge names the parent that was.
    folder.put("merged/base.vhdx", &child(merged, Guid::from_u128(99), &[]));
    assert_eq!(parent(), base);
    let in_place = folder.put("gone/base.vhdx", &dead).canonicalize().unwrap();
    folder.put("gone/below.vhdx", &disk(BASE));
    assert_eq!(parent(), in_place);
}

/// While a merge goes on, the second linkage of what is merged names what changes, and the first one an old copy of it.
#[test]
fn what_is_being_merged_into_counts_before_an_old_copy() {
    let changing = Guid::from_u128(7);
    let second = changing.braced().to_string();
    let folder = Folder::new();
    let stored = [(PARENT_LINKAGE2, second.as_str()), (RELATIVE_PATH, r"..\moved\base.vhdx")];
    let leaf = folder.put("vm/leaf.avhdx", &leaf(&stored));
    let changing = folder.put("b/base.vhdx", &disk(changing)).canonicalize().unwrap();
    for old in ["a", "c"] {
        folder.put(&format!("{old}/base.vhdx"), &disk(BASE));
        let folders = [old.min("b"), old.max("b")].map(|name| folder.path(name)).into();
        let folders = FolderResolver { folders, ..FolderResolver::default() };
        assert_eq!(parent_of(&Chain::open(&leaf, &folders).unwrap()), changing, "{old}");
    }
}

#[test]
fn nothing_outside_of_the_allowed_folders_is_opened() {
    let folder = Folder::new();
    let outside = folder.put("outside/base.vhdx", &disk(BASE));
    let absolute = outside.to_str().unwrap();
    for stored in [
        absolute,
        r"C:\vm\..\..\outside\base.vhdx",
        r"\\.\PhysicalDrive0",
        r"C:\CON",
        "base.vhdx\0",
        r"C:\\",
        "..",
        "/",
    ] {
        for key in [ABSOLUTE_WIN32_PATH, VOLUME_PATH] {
            let leaf = folder.put("vm/leaf.avhdx", &leaf(&[(key, stored)]));
            let error = chain_error(Chain::open(leaf, &beside()));
            assert_eq!(error.kind(), ChainErrorKind::MissingParent, "{stored:?}: {error}");
        }
    }
}

#[test]
#[cfg(unix)]
fn only_regular_files_are_opened() {
    use super::named;
    let folder = Folder::new();
    let leaf = folder.put("leaf.avhdx", &leaf(&[(RELATIVE_PATH, "base.vhdx")]));
    let base = folder.path("base.vhdx");
    std::os::unix::fs::symlink("/dev/zero", &base).unwrap();
    let is_refused = || {
        let error = chain_error(Chain::open(&leaf, &beside()));
        let message = error.to_string();
        assert!(
            message.contains(r#"base.vhdx" exists, but cannot be used: this is not a regular file"#),
            "{message}"
        );
        assert_eq!(error.kind(), ChainErrorKind::MissingParent, "{error}");
        let (child, looked_for, unusable) = (error.path(), error.looked_for(), error.unusable());
        assert_eq!((child, looked_for), (&*leaf, std::slice::from_ref(&base)));
        assert_eq!(unusable.len(), 1);
        assert_eq!((&unusable[0].0, unusable[0].1.kind()), (&base, ErrorKind::InvalidArgument));
        // The file that the caller named is wrong in itself.
        let error = Chain::open(&leaf, &named(&[&base])).unwrap_err();
        assert_eq!((error.kind(), error.path()), (ErrorKind::InvalidArgument, Some(base.as_path())));
    };
    is_refused();
    fs::remove_file(&base).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&base).status().unwrap().success());
    is_refused();
    fs::remove_file(&base).unwrap();
    fs::create_dir(&base).unwrap();
    is_refused();
}

#[test]
#[cfg(unix)]
fn damage_tells_more_than_what_cannot_be_used() {
    let folder = Folder::new();
    let stored = [(RELATIVE_PATH, r".\a\base.vhdx"), (ABSOLUTE_WIN32_PATH, r"C:\b\base.vhdx")];
    let leaf = folder.put("leaf.avhdx", &leaf(&stored));
    fs::create_dir(folder.path("a")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path("a/base.vhdx")).unwrap();
    let error = chain_error(Chain::open(&leaf, &beside()));
    assert_eq!(error.kind(), ChainErrorKind::MissingParent, "{error}");
    let found: Vec<_> = error.unusable().iter().map(|(path, error)| (path.clone(), error.kind())).collect();
    assert_eq!(found, [(folder.path("a/base.vhdx"), ErrorKind::Io)]);
    let damaged = folder.put("b/base.vhdx", &disk(BASE));
    fs::write(&damaged, "no disk").unwrap();
    let error = Chain::open(&leaf, &beside()).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Corrupt, Some(damaged.as_path())));
}

#[test]
#[cfg(unix)]
fn the_parent_of_a_linked_child_lies_beside_either() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    let real = folder.put("store/vm/leaf.avhdx", &leaf(&[(RELATIVE_PATH, r"..\disks\base.vhdx")]));
    let base = folder.put("store/disks/base.vhdx", &disk(BASE)).canonicalize().unwrap();
    fs::create_dir_all(folder.path("here/vm")).unwrap();
    let link = folder.path("here/vm/leaf.avhdx");
    symlink(&real, &link).unwrap();
    assert_eq!(parent_of(&Chain::open(&link, &beside()).unwrap()), base);

    let nearer = folder.put("here/disks/base.vhdx", &disk(BASE)).canonicalize().unwrap();
    assert_eq!(parent_of(&Chain::open(&link, &beside()).unwrap()), nearer);

    // A linked folder is one folder, whatever it is called.
    fs::remove_file(&base).unwrap();
    symlink(folder.path("store/vm"), folder.path("linked")).unwrap();
    let error = chain_error(Chain::open(folder.path("linked/leaf.avhdx"), &beside()));
    assert_eq!(error.kind(), ChainErrorKind::MissingParent, "{error}");
    assert_eq!(error.folders(), [folder.path("linked")]);
}
