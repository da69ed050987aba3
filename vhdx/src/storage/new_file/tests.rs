use super::*;

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn reason(error: &Error) -> InvalidArgument {
    match error {
        Error::InvalidArgument(argument) => argument.clone(),
        Error::InFile { error, .. } => reason(error),
        error => panic!("{error}"),
    }
}

#[test]
fn a_committed_file_is_complete_and_an_uncommitted_one_absent() {
    let folder = tempfile::tempdir().unwrap();
    let destination = folder.path().join("disk.vhdx");
    let file = NewFile::create(&destination, IfExists::Fail).unwrap();
    file.write_all_at(b"content", FileOffset::new(0)).unwrap();
    let name = names(folder.path()).pop().unwrap();
    assert!(name.starts_with(".disk.vhdx.") && name.ends_with(".part"), "{name}");
    drop(file);
    assert!(names(folder.path()).is_empty());

    let file = NewFile::create(&destination, IfExists::Fail).unwrap();
    file.write_all_at(b"content", FileOffset::new(0)).unwrap();
    file.commit().unwrap();
    assert_eq!(names(folder.path()), ["disk.vhdx"]);
    assert_eq!(fs::read(&destination).unwrap(), b"content");
}

#[cfg(unix)]
#[test]
fn the_file_has_the_permissions_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (folder.path().join("ours"), folder.path().join("other"));
    NewFile::create(&ours, IfExists::Fail).unwrap().commit().unwrap();
    fs::write(&other, b"").unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&other));
}

#[cfg(windows)]
#[test]
fn the_file_is_neither_sparse_nor_temporary() {
    use std::os::windows::fs::MetadataExt;
    use windows_sys::Win32::Storage::FileSystem::{FILE_ATTRIBUTE_SPARSE_FILE, FILE_ATTRIBUTE_TEMPORARY};
    let folder = tempfile::tempdir().unwrap();
    let destination = folder.path().join("disk.vhdx");
    let file = NewFile::create(&destination, IfExists::Fail).unwrap();
    file.set_len(1 << 20).unwrap();
    file.zero_range(FileOffset::new(0), 1 << 19).unwrap();
    file.punch_hole(FileOffset::new(1 << 18), 1 << 17).unwrap();
    file.commit().unwrap();
    let attributes = destination.metadata().unwrap().file_attributes();
    assert_eq!(attributes & (FILE_ATTRIBUTE_SPARSE_FILE | FILE_ATTRIBUTE_TEMPORARY), 0);
}

#[test]
fn an_existing_file_is_only_replaced_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let destination = folder.path().join("disk.vhdx");
    fs::write(&destination, b"precious").unwrap();
    let error = NewFile::create(&destination, IfExists::Fail).unwrap_err();
    assert_eq!(error.conflict(), Some(&Conflict::DestinationExists));
    assert_eq!(fs::read(&destination).unwrap(), b"precious");

    NewFile::create(&destination, IfExists::Replace).unwrap().commit().unwrap();
    assert_eq!(fs::read(&destination).unwrap(), b"");
}

#[test]
fn a_file_that_was_created_meanwhile_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let destination = folder.path().join("disk.vhdx");
    let file = NewFile::create(&destination, IfExists::Fail).unwrap();
    fs::write(&destination, b"precious").unwrap();
    assert_eq!(file.commit().unwrap_err().conflict(), Some(&Conflict::DestinationExists));
    assert_eq!(names(folder.path()), ["disk.vhdx"]);
    assert_eq!(fs::read(&destination).unwrap(), b"precious");
}

#[test]
fn a_file_that_is_in_use_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let destination = folder.path().join("disk.vhdx");
    fs::write(&destination, b"precious").unwrap();
    let file = NewFile::create(&destination, IfExists::Replace).unwrap();
    let user = FileStorage::open_exclusive(&destination).unwrap();
    for refused in [NewFile::create(&destination, IfExists::Replace).map(drop), file.commit()] {
        let error = refused.unwrap_err();
        assert!(error.to_string().contains("cannot lock"), "{error}");
    }
    drop(user);
    assert_eq!(names(folder.path()), ["disk.vhdx"]);
    assert_eq!(fs::read(&destination).unwrap(), b"precious");
    NewFile::create(&destination, IfExists::Replace).unwrap().commit().unwrap();
}

#[test]
fn a_folder_is_refused_as_destination() {
    let folder = tempfile::tempdir().unwrap();
    for if_exists in [IfExists::Fail, IfExists::Replace] {
        let error = NewFile::create(folder.path(), if_exists).unwrap_err();
        assert_eq!(reason(&error), InvalidArgument::NotARegularFile);
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_is_refused_as_destination() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link.vhdx");
    std::os::unix::fs::symlink(folder.path().join("absent"), &link).unwrap();
    for if_exists in [IfExists::Fail, IfExists::Replace] {
        let error = NewFile::create(&link, if_exists).unwrap_err();
        assert_eq!(reason(&error), InvalidArgument::NotARegularFile);
    }
}

#[test]
fn a_source_is_refused_as_destination_under_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let (source, link) = (folder.path().join("source"), folder.path().join("link"));
    fs::write(&source, b"").unwrap();
    fs::hard_link(&source, &link).unwrap();
    let identity = FileStorage::open(&source).unwrap().identity().unwrap();
    let error = NewFile::ensure_no_source(&link, [identity]).unwrap_err();
    assert_eq!(reason(&error), InvalidArgument::DestinationIsSource);

    fs::write(folder.path().join("other"), b"").unwrap();
    NewFile::ensure_no_source(&folder.path().join("other"), [identity]).unwrap();
    NewFile::ensure_no_source(&folder.path().join("absent"), [identity]).unwrap();
}

#[test]
fn a_long_name_still_fits() {
    let folder = tempfile::tempdir().unwrap();
    let name = "ä".repeat(127);
    NewFile::create(&folder.path().join(&name), IfExists::Fail).unwrap().commit().unwrap();
    assert_eq!(names(folder.path()), [name]);
}

#[test]
fn a_name_that_only_a_folder_can_have_is_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let destination = folder.path().join("new.vhdx").join("");
    for refused in [
        NewFile::ensure_can_create(&destination, IfExists::Fail),
        NewFile::create(&destination, IfExists::Replace).map(drop),
    ] {
        assert_eq!(refused.unwrap_err().kind(), crate::error::ErrorKind::InvalidArgument);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
