//! `ls`.

use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{Fixture, documents};
use crate::run;

fn names(list: &Value, key: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|file| file[key].as_str().unwrap().to_owned()).collect()
}

#[test]
fn files_are_listed_with_size_and_time() {
    let fixture = Fixture::new(|folder| {
        documents(folder);
        let file = fs::File::options().write(true).open(folder.join("docs/a.txt")).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
    });
    let Some(fixture) = fixture else { return };
    let root = run!("ls", "--json", fixture.disk()).exits(0).json();
    assert_eq!(names(&root, "name"), ["docs", "root file"]);
    assert_eq!((&root[0]["type"], &root[1]["type"]), (&json!("folder"), &json!("file")));
    for path in ["docs", "/docs/", "DOCS", "docs/../docs/."] {
        let docs = run!("ls", "--json", fixture.disk(), path).exits(0).json();
        let a = json!({ "name": "a.txt", "type": "file", "size": 12, "modified": 1_000_000_000 });
        assert_eq!(docs[0], a);
    }
    let text = run!("ls", fixture.disk(), r"docs\a.txt").exits(0).text();
    assert_eq!(text, "file  12  2001-09-09 01:46  a.txt\n");
    let all = run!("ls", "-R", "--json", fixture.disk()).exits(0).json();
    let paths = ["docs", "docs/a.txt", "docs/old letters", "docs/old letters/Grüße.txt", "root file"];
    assert_eq!(names(&all, "path"), paths);
}

#[test]
fn a_raw_image_and_a_checkpoint_are_read_too() {
    let Some(fixture) = Fixture::new(documents) else { return };
    let checkpoint = fixture.path("checkpoint.avhdx");
    run!("create", &checkpoint, "--parent", fixture.disk()).exits(0);
    for disk in [checkpoint, fixture.path("disk.raw")] {
        let root = run!("ls", "--json", disk).exits(0).json();
        assert_eq!(names(&root, "name"), ["docs", "root file"]);
    }
}

#[test]
fn a_missing_path_and_a_disk_without_files_are_errors() {
    let Some(fixture) = Fixture::new(documents) else { return };
    for path in ["absent", "docs/absent", "root file/x"] {
        let error = run!("ls", "--json", fixture.disk(), path).exits(6).error();
        assert!(error["message"].as_str().unwrap().contains("not found"), "{error}");
    }
    let empty = fixture.path("empty.vhdx");
    run!("create", &empty, "--size", "16M").exits(0);
    let error = run!("ls", "--json", &empty).exits(4).error();
    assert!(error["message"].as_str().unwrap().contains("no file system"), "{error}");
}
