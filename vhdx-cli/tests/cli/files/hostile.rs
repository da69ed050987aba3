//! Names and links that lead out of the destination.

use std::fs;
use std::path::Path;

use super::Fixture;
#[cfg(unix)]
use super::documents;
use crate::run;

/// Replaces a long name by one of the same length. Its checksum is that of the short name, which stays.
fn rename(bytes: &mut [u8], old: &str, new: &str) {
    let units = |name: &str| name.encode_utf16().collect::<Vec<_>>();
    let (old, new) = (units(old), units(new));
    assert!(old.len() == new.len() && old.len() <= 5, "the first five letters are together");
    let encoded = |units: &[u16]| units.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<_>>();
    let (old, new) = (encoded(&old), encoded(&new));
    let at = bytes.windows(old.len()).position(|found| found == old).unwrap();
    bytes[at..at + new.len()].copy_from_slice(&new);
}

#[test]
fn names_that_lead_elsewhere_are_not_copied() {
    let fixture = Fixture::new(|folder| {
        for name in ["Qq", "Ww", "VvXab", "YyXcd"] {
            fs::create_dir(folder.join(name)).unwrap();
            fs::write(folder.join(name).join("evil"), "evil").unwrap();
        }
        fs::write(folder.join("UuXef"), "evil").unwrap();
        fs::write(folder.join("good"), "good").unwrap();
    });
    let Some(fixture) = fixture else { return };
    fixture.patch(|bytes| {
        // Two letters would also match within longer names, so the end of the name is part of the pattern.
        rename(bytes, "Qq\0", "..\0");
        rename(bytes, "Ww\0", ".\0\0");
        rename(bytes, "VvXab", "../ab");
        rename(bytes, "YyXcd", "/tmp/");
        rename(bytes, "UuXef", "a/../");
    });
    let folder = fixture.path("in/folder");
    fs::create_dir_all(&folder).unwrap();
    let json = run!("cp", "-r", "--json", fixture.place("/"), &folder).exits(4).json();
    assert_eq!(json["failed"].as_array().unwrap().len(), 5, "{json}");
    assert_eq!(json["files"], 1);
    let names = |folder: &Path| fs::read_dir(folder).unwrap().count();
    assert_eq!((names(&folder), names(&fixture.path("in"))), (1, 1));
    let text = run!("ls", fixture.disk()).exits(0).text();
    assert!(text.contains("../ab"), "{text}");
}

#[test]
#[cfg(unix)]
fn links_in_the_destination_are_not_followed() {
    use std::os::unix::fs::symlink;

    let Some(fixture) = Fixture::new(documents) else { return };
    let (folder, outside) = (fixture.path("folder"), fixture.path("outside"));
    fs::create_dir(&folder).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("a.txt"), "mine").unwrap();
    symlink(&outside, folder.join("docs")).unwrap();
    for force in ["--json", "--force"] {
        run!("cp", "-r", force, fixture.place("docs"), &folder).exits(6);
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read(outside.join("a.txt")).unwrap(), b"mine");
    // A link in the place of a file is replaced itself.
    let linked = fixture.path("linked");
    fs::create_dir(&linked).unwrap();
    symlink(outside.join("a.txt"), linked.join("a.txt")).unwrap();
    run!("cp", fixture.place("docs/a.txt"), &linked).exits(6);
    run!("cp", "--force", fixture.place("docs/a.txt"), &linked).exits(0);
    assert_eq!(fs::read(outside.join("a.txt")).unwrap(), b"mine");
    assert_eq!(fs::read(linked.join("a.txt")).unwrap(), b"content of a");
    assert!(linked.join("a.txt").symlink_metadata().unwrap().is_file());
}

#[test]
fn the_disk_and_new_copies_are_never_replaced() {
    let fixture = Fixture::new(|folder| {
        fs::create_dir(folder.join("b")).unwrap();
        fs::write(folder.join("disk.vhdx"), "one").unwrap();
        fs::write(folder.join("b/disk.vhdx"), "other").unwrap();
    });
    let Some(fixture) = fixture else { return };
    let before = fs::read(fixture.disk()).unwrap();
    run!("cp", "--force", fixture.place("disk.vhdx"), fixture.disk()).exits(6);
    run!("cp", "--force", fixture.place("disk.vhdx"), fixture.disk().parent().unwrap()).exits(6);
    assert!(fs::read(fixture.disk()).unwrap() == before);
    let folder = fixture.path("folder");
    fs::create_dir(&folder).unwrap();
    run!("cp", "--force", fixture.place("disk.vhdx"), fixture.place("b/disk.vhdx"), &folder).exits(6);
    assert_eq!(fs::read(folder.join("disk.vhdx")).unwrap(), b"one");
}

#[test]
#[cfg(unix)]
fn only_regular_files_are_replaced() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    use std::os::unix::net::UnixListener;

    let Some(fixture) = Fixture::new(documents) else { return };
    let (a, socket, link) = (fixture.place("docs/a.txt"), fixture.path("socket"), fixture.path("link"));
    let _listener = UnixListener::bind(&socket).unwrap();
    symlink(&socket, &link).unwrap();
    for place in [&socket, &link] {
        for options in [&["cp", "--json"][..], &["cp", "--json", "--force"]] {
            let ran = crate::run::vhdx(
                options.iter().map(std::ffi::OsStr::new).chain([a.as_ref(), place.as_os_str()]),
            );
            let error = ran.exits(6).error();
            assert!(error["message"].as_str().unwrap().contains("socket"), "{error}");
            assert!(error["hint"].is_null(), "{error}");
        }
    }
    assert!(socket.symlink_metadata().unwrap().file_type().is_socket());
    assert!(link.symlink_metadata().unwrap().is_symlink());
    // A link that leads nowhere is replaced as one to a file is.
    let dangling = fixture.path("dangling");
    symlink(fixture.path("absent"), &dangling).unwrap();
    run!("cp", &a, &dangling).exits(6);
    run!("cp", "--force", &a, &dangling).exits(0);
    assert!(dangling.symlink_metadata().unwrap().is_file() && !fixture.path("absent").exists());
}

#[test]
fn a_folder_inside_itself_ends() {
    let Some(fixture) = Fixture::new(|folder| {
        fs::create_dir_all(folder.join("LOOP/INNER")).unwrap();
        fs::write(folder.join("LOOP/FILE"), "content").unwrap();
    }) else {
        return;
    };
    fixture.patch(|bytes| {
        let entry = |bytes: &[u8], name: &[u8]| bytes.windows(11).position(|found| found == name).unwrap();
        let (outer, inner) = (entry(bytes, b"LOOP       "), entry(bytes, b"INNER      "));
        bytes.copy_within(outer + 26..outer + 28, inner + 26);
    });
    let folder = fixture.path("folder");
    fs::create_dir(&folder).unwrap();
    let json = run!("cp", "-r", "--json", fixture.place("/"), &folder).exits(3).json();
    assert_eq!(json["failed"].as_array().unwrap().len(), 1, "{json}");
    run!("ls", "-R", fixture.disk()).exits(3);
}
