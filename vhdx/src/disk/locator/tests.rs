use std::fs;

use tempfile::TempDir;

use super::*;
use crate::format::parent_locator::MAX_ENTRIES;
use crate::rules::{Rule, Severity};
use crate::units::FileOffset;
use crate::violation::Violations;

const GUID: Uuid = Uuid::from_u128(0x0E38_2594_BDB1_4949_B894_DA2D_8231_2C32);
const BRACED: &str = "{0e382594-bdb1-4949-b894-da2d82312c32}";
const ZERO: &str = "{00000000-0000-0000-0000-000000000000}";

fn folder_with(files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, []).unwrap();
    }
    folder
}

fn locator(entries: &[(&str, &str)]) -> ParentLocator {
    ParentLocator { entries: entries.iter().map(|&(key, value)| (key.into(), value.into())).collect() }
}

/// Returns the rules that a locator breaks, except for notes.
fn complaints(locator: &ParentLocator) -> Vec<Rule> {
    let mut violations = Violations::new();
    let read = ParentLocator::validate(&locator.encode(), FileOffset::new(0), &mut violations);
    assert_eq!(read.as_ref(), Some(locator));
    let telling = violations.as_slice().iter().filter(|violation| violation.severity() > Severity::Note);
    telling.map(|violation| violation.rule).collect()
}

fn link(child: &Path, parent: &Path) -> ParentLocator {
    NewLink::new(child, parent, GUID).locator().unwrap()
}

fn reason(error: Error) -> InvalidArgument {
    match error {
        Error::InvalidArgument(argument) => argument,
        error => panic!("{error}"),
    }
}

#[test]
#[cfg(not(windows))]
fn a_new_child_stores_the_known_paths_in_the_order_of_windows() {
    let folder = folder_with(&["base.vhdx"]);
    let made = link(&folder.path().join("new.avhdx"), &folder.path().join("base.vhdx"));
    let expected =
        locator(&[(PARENT_LINKAGE, BRACED), (RELATIVE_PATH, r".\base.vhdx"), (PARENT_LINKAGE2, ZERO)]);
    assert_eq!(made, expected);
    assert_eq!(complaints(&made), []);
    assert_eq!(made.linkages(), [GUID]);
}

#[test]
#[cfg(windows)]
fn a_new_child_on_windows_stores_the_absolute_path_too() {
    let folder = folder_with(&["base.vhdx"]);
    let base = folder.path().join("base.vhdx");
    let made = link(&folder.path().join("new.avhdx"), &base);
    let absolute = base.canonicalize().unwrap().to_str().unwrap().replace(r"\\?\", "");
    assert_eq!(absolute.get(1..3), Some(r":\"), "{absolute}");
    let paths = [(ABSOLUTE_WIN32_PATH, absolute.as_str()), (RELATIVE_PATH, r".\base.vhdx")];
    let expected = [&[(PARENT_LINKAGE, BRACED)], &paths[..], &[(PARENT_LINKAGE2, ZERO)]].concat();
    assert_eq!(made, locator(&expected));
    assert_eq!(complaints(&made), []);
}

#[test]
fn the_relative_path_leads_from_folder_to_folder() {
    let folder = folder_with(&["a/b/child.avhdx", "a/base.vhdx", "c d/é.vhdx", "a/b/e/base.vhdx"]);
    let at = |path: &str| folder.path().join(path);
    for (child, parent, expected) in [
        ("a/b/child.avhdx", "a/base.vhdx", r"..\base.vhdx"),
        ("a/b/child.avhdx", "c d/é.vhdx", r"..\..\c d\é.vhdx"),
        ("a/b/child.avhdx", "a/b/e/base.vhdx", r".\e\base.vhdx"),
        ("a/b/new.avhdx", "a/b/../base.vhdx", r"..\base.vhdx"),
        ("a/b/../new.avhdx", "a/base.vhdx", r".\base.vhdx"),
    ] {
        assert_eq!(link(&at(child), &at(parent)).get(RELATIVE_PATH), Some(expected), "{child} {parent}");
    }
}

#[test]
#[cfg(unix)]
fn links_are_followed_on_both_sides() {
    let folder = folder_with(&["real/child.avhdx", "store/base.vhdx"]);
    let at = |path: &str| folder.path().join(path);
    fs::create_dir(at("links")).unwrap();
    std::os::unix::fs::symlink("../real/child.avhdx", at("links/child.avhdx")).unwrap();
    std::os::unix::fs::symlink("../store/base.vhdx", at("links/parent.vhdx")).unwrap();
    let made = link(&at("links/child.avhdx"), &at("links/parent.vhdx"));
    assert_eq!(made.get(RELATIVE_PATH), Some(r"..\store\base.vhdx"));
}

#[test]
#[cfg(unix)]
fn names_that_windows_cannot_have_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    for name in ["a:b.vhdx", r"a\b.vhdx", "NUL", "base ", "what?.vhdx", "x/a|b/base.vhdx"] {
        let folder = folder_with(&[name]);
        let parent = folder.path().join(name);
        let error = NewLink::new(&folder.path().join("new.avhdx"), &parent, GUID).locator().unwrap_err();
        assert_eq!(reason(error), InvalidArgument::ParentPath(parent.canonicalize().unwrap()));
    }
    let folder = folder_with(&[]);
    let parent = folder.path().join(OsStr::from_bytes(b"base\xff.vhdx"));
    fs::write(&parent, []).unwrap();
    let error = NewLink::new(&folder.path().join("new.avhdx"), &parent, GUID).locator().unwrap_err();
    assert!(matches!(reason(error), InvalidArgument::ParentPath(_)));
}

/// A disk that is not a file of the host has a name, too.
#[test]
#[cfg(not(windows))]
fn a_parent_that_does_not_exist_is_linked_by_its_name() {
    let made = link(Path::new("/none/a/child.avhdx"), Path::new("/none/b/base.vhdx"));
    assert_eq!(made.get(RELATIVE_PATH), Some(r"..\b\base.vhdx"));
    let error = NewLink::new(Path::new("child.avhdx"), Path::new("none.vhdx"), GUID).locator().unwrap_err();
    assert_eq!(reason(error), InvalidArgument::ParentPath("none.vhdx".into()));
}

#[test]
#[cfg(not(windows))]
fn stored_paths_stay_only_where_they_end_in_the_parents_name() {
    const VOLUME: &str = r"\\?\Volume{5e0bd954-71b2-4bff-a928-082af7ab0f8f}\VMs\base.vhdx";
    let folder = folder_with(&["base.vhdx"]);
    let (child, parent) = (folder.path().join("child.avhdx"), folder.path().join("base.vhdx"));
    let old = locator(&[
        ("vendor", "x"),
        (VOLUME_PATH, VOLUME),
        (ABSOLUTE_WIN32_PATH, r"C:\VMs\mid.avhdx"),
        (RELATIVE_PATH, r".\mid.avhdx"),
        (PARENT_LINKAGE, ZERO),
    ]);
    let known = locator(&[(ABSOLUTE_WIN32_PATH, r"\\?\D:\x\BASE.vhdx"), (VOLUME_PATH, r"\\?\Volume{1}\no")]);
    let new = NewLink { old: Some(&old), ..NewLink::new(&child, &parent, GUID) };
    let expected = |absolute: Option<&str>| {
        let mut entries = vec![(PARENT_LINKAGE, BRACED)];
        entries.extend(absolute.map(|path| (ABSOLUTE_WIN32_PATH, path)));
        let rest = [(RELATIVE_PATH, r".\base.vhdx"), (VOLUME_PATH, VOLUME), (PARENT_LINKAGE2, ZERO)];
        locator(&[&entries[..], &rest, &[("vendor", "x")]].concat())
    };
    let made = new.locator().unwrap();
    assert_eq!(made, expected(None));
    assert_eq!(complaints(&made), []);
    let made = NewLink { known: Some(&known), ..new }.locator().unwrap();
    assert_eq!(made, expected(Some(r"\\?\D:\x\BASE.vhdx")));
    assert_eq!(complaints(&made), []);
}

/// macOS stores names with decomposed letters, Windows with composed letters.
#[test]
#[cfg(not(windows))]
fn a_stored_path_that_is_composed_ends_in_a_decomposed_name() {
    for (name, stored) in
        [("\u{fc}.vhdx", "C:\\VMs\\u\u{308}.vhdx"), ("u\u{308}.vhdx", "C:\\VMs\\\u{dc}.VHDX")]
    {
        let folder = folder_with(&[name]);
        let (child, parent) = (folder.path().join("child.avhdx"), folder.path().join(name));
        let old = locator(&[(ABSOLUTE_WIN32_PATH, stored), (RELATIVE_PATH, r".\old.vhdx")]);
        let made = NewLink { old: Some(&old), ..NewLink::new(&child, &parent, GUID) }.locator().unwrap();
        assert_eq!(made.get(ABSOLUTE_WIN32_PATH), Some(stored));
    }
}

#[test]
fn changed_linkages_keep_all_other_entries() {
    let second = Uuid::from_u128(7);
    let old = locator(&[("vendor", "x"), (PARENT_LINKAGE, ZERO), (RELATIVE_PATH, "base.vhdx")]);
    let made = with_linkages(&old, GUID, second).unwrap();
    let mut expected = old.clone();
    expected.entries[1].1 = BRACED.to_owned();
    expected.entries.push((PARENT_LINKAGE2.to_owned(), second.braced().to_string()));
    assert_eq!(made, expected);
    assert_eq!(made.linkages(), [GUID, second]);
    let made = with_linkages(&made, second, Uuid::nil()).unwrap();
    assert_eq!((made.linkages(), made.entries.len()), (vec![second], 4));
}

#[test]
fn a_full_locator_rejects_a_new_key() {
    let mut full = locator(&[(PARENT_LINKAGE, ZERO), (RELATIVE_PATH, "base.vhdx")]);
    full.entries.extend((2..MAX_ENTRIES).map(|n| (n.to_string(), "x".to_owned())));
    let error = with_linkages(&full, GUID, Uuid::nil()).unwrap_err();
    assert_eq!(reason(error), InvalidArgument::ParentLocator);
    full.entries.pop();
    assert_eq!(complaints(&with_linkages(&full, GUID, Uuid::nil()).unwrap()), []);
}
