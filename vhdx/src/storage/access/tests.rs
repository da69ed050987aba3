//! A file that replaces another one grants no access that the old file denied.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vhdx_testkit::shared;

use super::*;
use crate::storage::{IfExists, NewFile};

struct Old {
    folder: TempDir,
    path: PathBuf,
}

/// Makes a file with this mode, to be replaced.
fn old(mode: u32) -> Old {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhdx");
    fs::write(&path, b"old").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    Old { folder, path }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o7777
}

impl Old {
    /// Returns the temporary file beside the old one.
    fn part(&self) -> PathBuf {
        let mut entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.find(|path| path.extension().is_some_and(|extension| extension == "part")).unwrap()
    }

    fn replace(&self) {
        NewFile::create(&self.path, IfExists::Replace).unwrap().commit().unwrap();
        assert_eq!(fs::read(&self.path).unwrap(), b"");
    }
}

#[test]
fn the_mode_is_kept_without_the_bits_that_make_programs_privileged() {
    for (before, after) in [(0o600, 0o600), (0o640, 0o640), (0o666, 0o666), (0o6755, 0o755), (0o1604, 0o604)]
    {
        let old = old(before);
        old.replace();
        assert_eq!(mode(&old.path), after, "{before:o}");
    }
}

#[test]
fn nobody_else_may_read_the_file_while_it_is_written() {
    for before in [0o600, 0o644, 0o666] {
        let old = old(before);
        let file = NewFile::create(&old.path, IfExists::Replace).unwrap();
        assert_eq!(mode(&old.part()), 0o600, "{before:o}");
        file.commit().unwrap();
        assert_eq!(mode(&old.path), before);
    }
}

/// During a long copy, the owner may narrow the permissions of the old file, or delete it.
#[test]
fn the_permissions_are_read_again_at_the_commit() {
    let narrowed = old(0o644);
    let file = NewFile::create(&narrowed.path, IfExists::Replace).unwrap();
    fs::set_permissions(&narrowed.path, Permissions::from_mode(0o600)).unwrap();
    file.commit().unwrap();
    assert_eq!(mode(&narrowed.path), 0o600);

    let deleted = old(0o640);
    let file = NewFile::create(&deleted.path, IfExists::Replace).unwrap();
    fs::remove_file(&deleted.path).unwrap();
    file.commit().unwrap();
    assert_eq!(mode(&deleted.path), 0o640);

    let appeared = old(0o600);
    let aside = appeared.folder.path().join("aside");
    fs::rename(&appeared.path, &aside).unwrap();
    let file = NewFile::create(&appeared.path, IfExists::Replace).unwrap();
    fs::rename(&aside, &appeared.path).unwrap();
    file.commit().unwrap();
    assert_eq!(mode(&appeared.path), 0o600);
}

#[test]
fn the_file_behind_a_link_keeps_its_mode() {
    let old = old(0o600);
    let link = old.folder.path().join("link.vhdx");
    std::os::unix::fs::symlink(&old.path, &link).unwrap();
    NewFile::create(&link, IfExists::Replace).unwrap().commit().unwrap();
    assert!(link.is_symlink());
    assert_eq!((mode(&old.path), fs::read(&old.path).unwrap()), (0o600, Vec::new()));
}

#[test]
fn the_owner_and_the_group_are_kept() {
    let old = old(0o640);
    if !may_chown(&old.path, 12_345, 23_456) {
        return;
    }
    old.replace();
    let found = old.path.metadata().unwrap();
    assert_eq!((found.uid(), found.gid(), mode(&old.path)), (12_345, 23_456, 0o640));
}

/// Changes the owner and the group. Reports the test as skipped, and returns `false`, if this user may not.
fn may_chown(path: &Path, owner: u32, group: u32) -> bool {
    match std::os::unix::fs::chown(path, Some(owner), Some(group)) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            shared::say_skipped("this user cannot give files to others");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_mode_without_its_group_or_its_list_grants_nothing_new() {
    let access = |mode| Access { owner: 1, group: 1, mode, acl: None, label: None };
    for (before, without_group) in
        [(0o600, 0o600), (0o640, 0o600), (0o644, 0o644), (0o664, 0o644), (0o604, 0o600), (0o667, 0o666)]
    {
        assert_eq!(access(before).mode_that_remains(true, true), before);
        assert_eq!(access(before).mode_that_remains(false, true), without_group, "{before:o}");
        assert_eq!(access(before).mode_that_remains(true, false), before & 0o700);
        assert_eq!(access(before).mode_that_remains(false, false), before & 0o700);
    }
}

#[cfg(target_os = "linux")]
mod lists {
    use super::*;

    /// Returns a list: owner `rw-`, user 12345 with these permissions, group `---`, mask `rw-`, others `---`.
    fn list(user: u16) -> Vec<u8> {
        const NOBODY: u32 = u32::MAX;
        let entries = [
            (0x01, 6, NOBODY),
            (0x02, user, 12_345),
            (0x04, 0, NOBODY),
            (0x10, 6, NOBODY),
            (0x20, 0, NOBODY),
        ];
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            bytes.extend(u16::to_le_bytes(tag));
            bytes.extend(u16::to_le_bytes(permissions));
            bytes.extend(u32::to_le_bytes(id));
        }
        bytes
    }

    fn may_have_list(path: &Path, name: &str, list: &[u8]) -> bool {
        match rustix::fs::setxattr(path, name, list, rustix::fs::XattrFlags::empty()) {
            Ok(()) => true,
            Err(rustix::io::Errno::OPNOTSUPP) => {
                shared::say_skipped("this file system has no access control lists");
                false
            }
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn the_list_is_kept() {
        let old = old(0o600);
        if !may_have_list(&old.path, attributes::ACL, &list(4)) {
            return;
        }
        assert_eq!(mode(&old.path), 0o660, "the group's permissions are the mask");
        old.replace();
        assert_eq!(attributes::get(&old.path, attributes::ACL).unwrap(), Some(list(4)));
        assert_eq!(mode(&old.path), 0o660);
    }

    /// New files inherit a list from the folder. A file that replaces another one must not keep it.
    #[test]
    fn a_list_of_the_folder_does_not_widen_the_file() {
        let old = old(0o660);
        if !may_have_list(old.folder.path(), "system.posix_acl_default", &list(6)) {
            return;
        }
        let file = NewFile::create(&old.path, IfExists::Replace).unwrap();
        assert_eq!(mode(&old.part()), 0o600, "nobody in the list may read the file while it is written");
        file.commit().unwrap();
        assert_eq!(attributes::get(&old.path, attributes::ACL).unwrap(), None);
        assert_eq!(mode(&old.path), 0o660);
    }

    /// The mask must not become the group's permissions, for example on a file system without lists.
    #[test]
    fn a_list_that_cannot_be_kept_leaves_the_owner() {
        let old = old(0o600);
        let mut file = fs::File::create(old.folder.path().join("new")).unwrap();
        io::Write::write_all(&mut file, b"new").unwrap();
        file.set_permissions(Permissions::from_mode(0o600)).unwrap();
        let access = Access::of(&old.path).unwrap().unwrap();
        let access = Access { mode: 0o664, acl: Some(b"no list".to_vec()), ..access };
        access.apply_to(&file).unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o600);
    }
}
