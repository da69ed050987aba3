//! `cp`.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::{Fixture, documents};
use crate::run;

/// Returns all names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_is_copied_to_a_name_into_a_folder_and_to_stdout() {
    let fixture = Fixture::new(|folder| {
        documents(folder);
        let file = fs::File::options().write(true).open(folder.join("docs/a.txt")).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
    });
    let Some(fixture) = fixture else { return };
    let a = fixture.place("docs/a.txt");
    let (new, folder) = (fixture.path("new"), fixture.path("folder"));
    fs::create_dir(&folder).unwrap();
    let text = run!("cp", &a, &new).exits(0).text();
    assert_eq!(text, "1 file and 0 folders copied, 12 bytes\n");
    assert_eq!(fs::read(&new).unwrap(), b"content of a");
    let modified = new.metadata().unwrap().modified().unwrap();
    assert_eq!(modified, UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    let json = run!("cp", "--json", &a, fixture.place("root file"), &folder).exits(0).json();
    assert_eq!((&json["files"], &json["bytes"]), (&2.into(), &12.into()));
    assert_eq!(names(&folder), ["a.txt", "root file"]);
    assert_eq!(run!("cp", &a, "-").exits(0).stdout, b"content of a");
}

#[test]
fn a_folder_is_copied_with_its_content() {
    let Some(fixture) = Fixture::new(documents) else { return };
    let folder = fixture.path("folder");
    let error = run!("cp", "--json", fixture.place("docs"), &folder).exits(2).error();
    assert!(error["hint"].as_str().unwrap().contains("-r"), "{error}");
    assert!(!folder.exists());
    run!("cp", "-r", fixture.place("docs"), &folder).exits(0);
    assert_eq!(names(&folder), ["a.txt", "old letters"]);
    assert_eq!(fs::read(folder.join("old letters/Grüße.txt")).unwrap().len(), 100_000);
    // The root folder has no name: its content is copied.
    let whole = fixture.path("whole");
    fs::create_dir(&whole).unwrap();
    let json = run!("cp", "-r", "--json", fixture.place(""), &whole).exits(0).json();
    assert_eq!((&json["files"], &json["folders"]), (&3.into(), &2.into()));
    assert_eq!(names(&whole), ["docs", "root file"]);
}

#[test]
fn an_existing_file_is_replaced_only_by_force() {
    let Some(fixture) = Fixture::new(documents) else { return };
    let (a, new) = (fixture.place("docs/a.txt"), fixture.path("new"));
    fs::write(&new, "mine").unwrap();
    let ran = run!("cp", &a, &new).exits(6);
    assert!(ran.stderr.contains("exists") && ran.stderr.contains("--force"), "{}", ran.stderr);
    assert_eq!(fs::read(&new).unwrap(), b"mine");
    run!("cp", "--force", &a, &new).exits(0);
    assert_eq!(fs::read(&new).unwrap(), b"content of a");
    // A file that exists does not stop the others.
    let folder = fixture.path("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.txt"), "mine").unwrap();
    let json = run!("cp", "-r", "--json", fixture.place("docs"), fixture.place("docs/a.txt"), &folder)
        .exits(6)
        .json();
    assert_eq!((&json["files"], json["failed"].as_array().unwrap().len()), (&2.into(), 1));
    assert_eq!(fs::read(folder.join("a.txt")).unwrap(), b"mine");
    assert!(names(&folder).iter().all(|name| !name.ends_with(".part")));
}

#[test]
fn wrong_places_and_destinations_are_usage_errors() {
    let Some(fixture) = Fixture::new(documents) else { return };
    let a = fixture.place("docs/a.txt");
    run!("cp", fixture.disk(), "-").exits(2);
    run!("cp", &a, &a, fixture.path("absent")).exits(2);
    run!("cp", &a, &a, "-").exits(2);
    run!("cp", &a, fixture.path("absent/new")).exits(6);
    run!("cp", fixture.place("absent"), fixture.path("new")).exits(6);
    assert!(!fixture.path("new").exists());
}

#[test]
#[cfg(unix)]
fn a_stopped_copy_leaves_no_file() {
    use std::process::Stdio;

    let Some(fixture) = Fixture::new(|folder| {
        fs::write(folder.join("large"), "x".repeat(6 << 20)).unwrap();
    }) else {
        return;
    };
    let folder = fixture.path("folder");
    fs::create_dir(&folder).unwrap();
    for round in 0..10 {
        let mut command = crate::run::command();
        command.args(["cp", "--force", &fixture.place("large")]).arg(&folder);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(round * 4));
        crate::run::interrupt(&child);
        child.wait().unwrap();
        let names = names(&folder);
        assert!(names.is_empty() || names == ["large"], "{names:?}");
        if !names.is_empty() {
            assert_eq!(folder.join("large").metadata().unwrap().len(), 6 << 20);
        }
    }
}
