use std::fs;

use tempfile::TempDir;
use vhdx_testkit::{Image, windows_locator};

use super::*;
use crate::progress::NoProgress;

const MIB: u32 = 1 << 20;

struct Family {
    folder: TempDir,
    base: Image,
    child: Image,
}

impl Family {
    fn new() -> Self {
        let base = Image::dynamic(MIB.into(), MIB);
        let child = Image::child_of(&base, "base.vhdx", MIB);
        let family = Self { folder: tempfile::tempdir().unwrap(), base, child };
        family.put("base.vhdx", &family.base);
        family.put("b.avhdx", &family.child);
        family
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, image: &Image) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), image.build()).unwrap();
    }

    fn find(&self, folders: &[&str]) -> Relatives {
        let folders: Vec<PathBuf> = folders.iter().map(|name| self.path(name)).collect();
        find_relatives(&folders, &NoProgress).unwrap()
    }
}

fn names(disks: &[FileFacts]) -> Vec<&str> {
    disks.iter().map(|disk| disk.path.file_name().unwrap().to_str().unwrap()).collect()
}

#[test]
fn disks_directly_in_the_folders_are_found_under_any_name() {
    let family = Family::new();
    family.put("deeper/child.avhdx", &family.child);
    family.put("no-extension", &family.child);
    fs::write(family.path("notes.txt"), "text").unwrap();
    assert_eq!(names(&family.find(&[""]).disks), ["b.avhdx", "base.vhdx", "no-extension"]);
    let both = family.find(&["", "deeper", "deeper/.."]);
    assert_eq!(names(&both.disks), ["b.avhdx", "base.vhdx", "child.avhdx", "no-extension"]);
    assert_eq!(both.folders, [family.path(""), family.path("deeper")]);
    assert!(both.undetermined.is_empty());
}

#[test]
fn several_names_of_one_file_are_one_disk() {
    let family = Family::new();
    fs::hard_link(family.path("b.avhdx"), family.path("a.avhdx")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("b.avhdx", family.path("0.avhdx")).unwrap();
    assert_eq!(names(&family.find(&[""]).disks), ["a.avhdx", "base.vhdx"]);
}

#[test]
fn children_are_found_by_either_linkage() {
    let mut family = Family::new();
    let (guid, other) = (family.base.data_write_guid, Uuid::from_u128(1));
    for (name, linkage, linkage2) in
        [("second", other, guid), ("other", other, Uuid::nil()), ("zero", Uuid::nil(), Uuid::nil())]
    {
        family.child.parent_locator = Some(windows_locator(linkage, linkage2, "base.vhdx"));
        family.put(name, &family.child);
    }
    let found = family.find(&[""]);
    assert_eq!(
        found.children_of(guid).map(|disk| disk.path.clone()).collect::<Vec<_>>(),
        [family.path("b.avhdx"), family.path("second")]
    );
    assert_eq!(found.children_of(Uuid::nil()).count(), 0);
    let second = found.disks.iter().find(|disk| disk.path.ends_with("second")).unwrap();
    assert_eq!((second.linkage, second.linkage2), (Some(other), Some(guid)));
    let base = found.disks.iter().find(|disk| disk.path.ends_with("base.vhdx")).unwrap();
    assert_eq!((base.linkage, base.data_write_guid), (None, guid));
}

#[test]
fn files_and_folders_that_cannot_be_read_are_undetermined() {
    let family = Family::new();
    fs::write(family.path("broken.vhdx"), "vhdxfile").unwrap();
    let found = family.find(&["", "nowhere"]);
    let paths: Vec<PathBuf> = found.undetermined.iter().map(|file| file.path.clone()).collect();
    assert_eq!(paths, [family.path("broken.vhdx"), family.path("nowhere")]);
    assert_eq!(found.disks.len(), 2);
}

#[test]
fn an_unreadable_file_may_be_a_disk_if_its_name_or_signature_says_so() {
    let family = Family::new();
    let unreadable = |name: &str| {
        let path = family.path(name);
        fs::write(&path, "x").unwrap();
        let error = Arc::new(Error::Cancelled);
        to_undetermined(Problem::Unreadable { path, error }).unwrap().may_be_disk
    };
    let named = ["x.vhdx", "x.AVHDX"].map(unreadable);
    let others = ["x", "x.txt", "vhdx", "x.vhds"].map(unreadable);
    assert_eq!((named, others), ([true; 2], [false; 4]));
    fs::write(family.path("signed"), "vhdxfile").unwrap();
    let found = family.find(&["", "nowhere"]);
    assert_eq!(
        found.undetermined.iter().map(|file| (file.path.clone(), file.may_be_disk)).collect::<Vec<_>>(),
        ["nowhere", "signed", "x.AVHDX", "x.vhdx"].map(|name| (family.path(name), true))
    );
    let Err(Error::Chain(error)) = found.ensure_all_determined(Path::new("child")) else { panic!() };
    let text = error.to_string();
    for name in ["nowhere", "signed", "x.AVHDX", "x.vhdx"] {
        assert!(text.contains(name), "{name}: {text}");
    }
    assert_eq!(error.path(), Path::new("child"));
    let mut found = found;
    found.undetermined.iter_mut().for_each(|file| file.may_be_disk = false);
    found.ensure_all_determined(Path::new("child")).unwrap();
}

fn not_open(path: &Path, operation: &'static str, kind: io::ErrorKind) -> Option<Undetermined> {
    let error = Error::io(operation, None, kind.into()).in_file(path).into();
    to_undetermined(Problem::Unreadable { path: path.to_owned(), error })
}

#[test]
fn a_disk_in_use_is_listed_but_blocks_nothing() {
    let family = Family::new();
    let may_be_disk =
        |operation, kind| not_open(&family.path("b.avhdx"), operation, kind).unwrap().may_be_disk;
    assert!(!may_be_disk("open", io::ErrorKind::ResourceBusy));
    assert!(may_be_disk("open", io::ErrorKind::PermissionDenied));
    assert!(may_be_disk("list", io::ErrorKind::ResourceBusy));
}

#[cfg(windows)]
#[test]
fn a_locked_disk_is_in_use() {
    let family = Family::new();
    let _held = crate::storage::FileStorage::open_exclusive(&family.path("b.avhdx")).unwrap();
    let found = family.find(&[""]);
    let met: Vec<_> = found.undetermined.iter().map(|file| (file.path.clone(), file.may_be_disk)).collect();
    assert_eq!(met, [(family.path("b.avhdx"), false)]);
    found.ensure_all_determined(Path::new("child")).unwrap();
}

#[test]
fn a_deleted_file_is_not_undetermined() {
    let family = Family::new();
    let gone = family.path("gone.avhdx");
    assert!(not_open(&gone, "open", io::ErrorKind::NotFound).is_none());
    assert!(not_open(&gone, "open", io::ErrorKind::PermissionDenied).unwrap().may_be_disk);
    assert!(not_open(&gone, "list", io::ErrorKind::NotFound).unwrap().may_be_disk);
    assert!(not_open(&family.path("b.avhdx"), "open", io::ErrorKind::NotFound).unwrap().may_be_disk);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nowhere", &gone).unwrap();
        assert!(not_open(&gone, "open", io::ErrorKind::NotFound).unwrap().may_be_disk);
    }
}

#[test]
fn empty_files_and_metadata_files_of_macos_are_no_disks() {
    let family = Family::new();
    fs::write(family.path("empty.vhdx"), "").unwrap();
    fs::write(family.path("._b.avhdx"), [0, 5, 0x16, 7]).unwrap();
    fs::create_dir(family.path("folder.vhdx")).unwrap();
    assert!(family.find(&[""]).undetermined.is_empty());
    family.put("._disk.vhdx", &family.child);
    assert_eq!(names(&family.find(&[""]).disks), ["._disk.vhdx", "b.avhdx", "base.vhdx"]);
}

#[cfg(unix)]
#[test]
fn a_broken_link_with_the_name_of_a_disk_may_be_a_disk() {
    let family = Family::new();
    for name in ["gone.avhdx", "gone.txt"] {
        std::os::unix::fs::symlink("nowhere", family.path(name)).unwrap();
    }
    std::os::unix::net::UnixListener::bind(family.path("socket.vhdx")).unwrap();
    let found = family.find(&[""]);
    let paths: Vec<PathBuf> = found.undetermined.iter().map(|file| file.path.clone()).collect();
    assert_eq!(paths, [family.path("gone.avhdx")]);
    assert!(found.undetermined[0].may_be_disk);
    found.ensure_all_determined(Path::new("child")).unwrap_err();
}

/// A file has another format only if it has no signature of a VHDX.
#[test]
fn other_formats_are_no_children_and_damaged_disks_may_be() {
    let family = Family::new();
    let qcow2 = [b"QFI\xfb".as_slice(), &[0; 4096]].concat();
    fs::write(family.path("qcow2.vhdx"), &qcow2).unwrap();
    fs::write(family.path("short.avhdx"), b"\x1f\x8b\x08").unwrap();
    fs::write(family.path("set.vhds"), [7; 4096]).unwrap();
    let mut damaged = family.child.build();
    for place in [64 << 10, 128 << 10, 192 << 10] {
        damaged[place..][..4].fill(0);
    }
    damaged[..qcow2.len()].copy_from_slice(&qcow2);
    fs::write(family.path("damaged.avhdx"), &damaged).unwrap();
    let found = family.find(&[""]);
    let other = |name: &str, format| OtherFormat { path: family.path(name), format };
    assert_eq!(
        found.other_formats,
        [other("qcow2.vhdx", FileFormat::Qcow2), other("short.avhdx", FileFormat::Gzip)]
    );
    let undetermined: Vec<_> =
        found.undetermined.iter().map(|file| (file.path.clone(), file.may_be_disk)).collect();
    assert_eq!(undetermined, [(family.path("damaged.avhdx"), true)]);
    found.ensure_all_determined(Path::new("child")).unwrap_err();
}
