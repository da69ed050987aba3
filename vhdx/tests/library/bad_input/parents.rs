//! Parents that lie where nothing may be opened, or are no disks at all.

use std::fs;
use std::path::{Path, PathBuf};

use vhdx::format::parent_locator as keys;
use vhdx::{Chain, ChainError, ChainErrorKind, Error, FolderResolver, Guid};
use vhdx_testkit::{Image, windows_locator};

use super::{child, sample};
use crate::common::folder;

fn open(path: &Path) -> Result<Chain, Error> {
    Chain::open(path, &FolderResolver::default())
}

fn chain_error(error: Error) -> ChainError {
    match error {
        Error::Chain(error) => error,
        other => panic!("{other:?}"),
    }
}

fn write(folder: &Path, name: &str, image: &Image) -> PathBuf {
    let path = folder.join(name);
    image.sparse().write_to(&path).unwrap();
    path
}

fn with_path(path: &str) -> Image {
    let linkage = sample().data_write_guid.braced().to_string();
    let entries = [(keys::PARENT_LINKAGE, linkage.as_str()), (keys::RELATIVE_PATH, path)];
    let entries = entries.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Image { parent_locator: Some(entries.into()), ..child() }
}

#[test]
fn a_file_that_names_itself() {
    let folder = folder();
    let mut own = child();
    own.parent_locator = Some(windows_locator(own.data_write_guid, Guid::nil(), "own.avhdx"));
    let path = write(folder.path(), "own.avhdx", &own);
    let error = chain_error(open(&path).unwrap_err());
    assert_eq!(error.kind(), ChainErrorKind::Cycle, "{error:?}");
}

#[test]
fn two_files_that_name_each_other() {
    let folder = folder();
    let (mut a, mut b) = (child(), child());
    b.data_write_guid = Guid::from_u128(0xb);
    a.parent_locator = Some(windows_locator(b.data_write_guid, Guid::nil(), "b.avhdx"));
    b.parent_locator = Some(windows_locator(a.data_write_guid, Guid::nil(), "a.avhdx"));
    let path = write(folder.path(), "a.avhdx", &a);
    write(folder.path(), "b.avhdx", &b);
    let error = chain_error(open(&path).unwrap_err());
    assert_eq!(error.kind(), ChainErrorKind::Cycle, "{error:?}");
}

/// Checks that the file in the parent's place is named as the reason.
fn is_missing(child: &Path) {
    let error = chain_error(open(child).unwrap_err());
    assert_eq!(error.kind(), ChainErrorKind::MissingParent, "{error:?}");
    let unusable = error.unusable();
    assert!(unusable.len() == 1 && unusable[0].0.ends_with("base.vhdx"), "{error}");
}

#[test]
fn a_folder_is_no_parent() {
    let folder = folder();
    let path = write(folder.path(), "child.avhdx", &with_path(r".\base.vhdx"));
    fs::create_dir(folder.path().join("base.vhdx")).unwrap();
    is_missing(&path);
}

#[cfg(unix)]
#[test]
fn a_pipe_or_a_device_does_not_hang() {
    use vhdx::ErrorKind;
    let folder = folder();
    let pipe = folder.path().join("base.vhdx");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let path = write(folder.path(), "child.avhdx", &with_path(r".\base.vhdx"));
    is_missing(&path);
    let error = open(&pipe).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::InvalidArgument, Some(pipe.as_path())));
    assert_eq!(open(Path::new("/dev/zero")).unwrap_err().kind(), ErrorKind::InvalidArgument);

    fs::remove_file(&pipe).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &pipe).unwrap();
    is_missing(&path);
}

/// The right parent, in a folder that nobody allowed: it is not opened, however it is named.
#[test]
fn absolute_paths_lead_nowhere() {
    let (inside, outside) = (folder(), folder());
    let parent = write(outside.path(), "base.vhdx", &sample());
    let unix = parent.to_str().unwrap().to_owned();
    let windows = format!(r"\\?\C:{}", unix.replace('/', "\\"));
    for name in [&unix, &windows, &windows.replace(r"\\?\", "")] {
        let path = write(inside.path(), "child.avhdx", &with_path(name));
        let error = chain_error(open(&path).unwrap_err());
        assert_eq!(error.kind(), ChainErrorKind::MissingParent, "{error:?}");
        let (expected, looked_for) = (error.expected(), error.looked_for());
        assert_eq!(expected, &[sample().data_write_guid]);
        assert!(looked_for.iter().all(|path| path.starts_with(inside.path())), "{looked_for:?}");

        let allowed =
            FolderResolver { folders: vec![outside.path().to_owned()], ..FolderResolver::default() };
        Chain::open(&path, &allowed).unwrap();
    }
}

#[test]
fn the_wrong_file_in_the_right_place() {
    let folder = folder();
    let path = write(folder.path(), "child.avhdx", &with_path(r".\base.vhdx"));
    let other = Image { data_write_guid: Guid::from_u128(1), ..sample() };
    let parent = write(folder.path(), "base.vhdx", &other);
    let error = chain_error(open(&path).unwrap_err());
    assert_eq!(error.kind(), ChainErrorKind::Mismatch, "{error:?}");
    assert_eq!((error.path(), error.parent()), (&*path, Some(&*parent)));
    let guids = (error.expected(), error.found());
    assert_eq!(guids, (&[sample().data_write_guid][..], Some(Guid::from_u128(1))));
}

#[test]
fn a_zero_linkage_matches_no_file() {
    let folder = folder();
    let mut orphan = child();
    orphan.parent_locator = Some(windows_locator(Guid::nil(), Guid::nil(), "base.vhdx"));
    let path = write(folder.path(), "child.avhdx", &orphan);
    write(folder.path(), "base.vhdx", &Image { data_write_guid: Guid::nil(), ..sample() });
    let error = chain_error(open(&path).unwrap_err());
    assert_eq!(error.kind(), ChainErrorKind::MissingParent, "{error:?}");
}

#[test]
fn another_sector_size_does_not_fit() {
    let folder = folder();
    let path = write(folder.path(), "child.avhdx", &with_path(r".\base.vhdx"));
    write(folder.path(), "base.vhdx", &Image { logical_sector_size: 4096, ..sample() });
    let error = chain_error(open(&path).unwrap_err());
    assert_eq!(error.kind(), ChainErrorKind::SectorSize, "{error:?}");
    assert_eq!(error.sector_sizes(), Some((512, 4096)));
}
