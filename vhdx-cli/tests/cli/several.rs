//! `check` and `info` with several files and folders.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::images::{Family, family};
use crate::run;

/// Returns a family, with a damaged file two folders deeper and a file that is not a disk.
fn estate() -> Family {
    let family = family();
    fs::create_dir_all(family.path("deep/er")).unwrap();
    let mut bytes = fs::read(family.base()).unwrap();
    bytes[64 << 10..][..128 << 10].fill(0);
    fs::write(family.path("deep/er/damaged"), bytes).unwrap();
    fs::write(family.path("notes.txt"), "notes").unwrap();
    family
}

fn results(document: &Value) -> Vec<(String, Value)> {
    let results = document["results"].as_array().unwrap().iter();
    results
        .map(|result| (result["path"].as_str().unwrap().to_owned(), result["error"]["kind"].clone()))
        .collect()
}

fn text_of(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_folder_stands_for_every_disk_in_it_and_its_subfolders() {
    let family = estate();
    let damaged = ["deep", "er", "damaged"].iter().fold(family.path(""), |path, name| path.join(name));
    let folder = family.folder.path();
    let checked = run!("check", folder, "--json").exits(1);
    let document = checked.json();
    assert_eq!(document["ok"], false);
    let paths = [family.base(), damaged.clone(), family.leaf(), family.mid()].map(|path| text_of(&path));
    assert_eq!(results(&document), paths.clone().map(|path| (path, Value::Null)));
    let valid: Vec<&Value> =
        document["results"].as_array().unwrap().iter().map(|one| &one["valid"]).collect();
    assert_eq!(valid, [&json!(true), &json!(false), &json!(true), &json!(true)]);
    // Each result is the document that the file has on its own.
    let alone = run!("check", damaged, "--json").exits(1).json();
    let mut one = document["results"][1].clone();
    assert_eq!(one.as_object_mut().unwrap().remove("path"), Some(json!(damaged)));
    assert_eq!(one.as_object_mut().unwrap().remove("error"), Some(Value::Null));
    assert_eq!(one, alone);

    let info = run!("info", folder, "--json").exits(3);
    let kinds: Vec<Value> = results(&info.json()).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(kinds, [Value::Null, json!("corrupt"), Value::Null, Value::Null]);
    assert_eq!(info.error()["path"], json!(damaged));
    let text = run!("info", folder).exits(3);
    for path in [family.base(), family.leaf(), family.mid()] {
        assert!(text.text().contains(&format!("{}:\n", path.display())), "{}", text.text());
    }
    assert!(text.text().ends_with("4 files, 1 with errors\n"), "{}", text.text());
    assert!(text.stderr.contains("damaged"), "{}", text.stderr);
    run!("check", folder, "--chain", "--json").exits(1);
}

#[test]
fn several_files_exit_with_the_largest_code() {
    let family = estate();
    let (damaged, nowhere) = (family.path("deep/er/damaged"), family.path("nowhere.vhdx"));
    let qcow2 = family.path("disk.qcow2");
    fs::write(&qcow2, b"QFI\xfb").unwrap();
    let sound = run!("check", family.base(), family.leaf(), "--json").exits(0).json();
    assert_eq!((&sound["ok"], sound["results"].as_array().unwrap().len()), (&json!(true), 2));
    run!("check", family.base(), damaged).exits(1);
    run!("check", damaged, qcow2, family.base()).exits(4);
    let all = run!("check", nowhere, damaged, qcow2, family.base(), "--json").exits(6);
    let expected = [json!("io"), Value::Null, json!("unsupported"), Value::Null];
    let kinds: Vec<Value> = results(&all.json()).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(kinds, expected);
    // The same errors are on stderr, one per line.
    let errors: Vec<Value> = all.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let paths: Vec<&Value> = errors.iter().map(|error| &error["error"]["path"]).collect();
    assert_eq!(paths, [&json!(nowhere), &json!(qcow2)]);
    let text = run!("check", nowhere, damaged, qcow2, family.base()).exits(6);
    assert!(
        text.text().contains(&format!("{}:\nvalid: 1 file checked", family.base().display())),
        "{}",
        text.text()
    );
    assert!(text.text().ends_with("4 files, 3 with errors\n"), "{}", text.text());
    run!("info", damaged, qcow2).exits(4);
}

#[test]
fn one_file_has_the_usual_answer() {
    let family = family();
    let info = run!("info", family.base(), "--json").exits(0).json();
    assert_eq!((&info["path"], info.get("results")), (&json!(family.base()), None));
    let check = run!("check", family.base(), "--json").exits(0).json();
    assert_eq!((&check["valid"], check.get("path"), check.get("error")), (&json!(true), None, None));
}

/// A folder that is not mounted must not look like a folder of sound disks.
#[test]
fn a_folder_without_disks_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "notes").unwrap();
    for command in ["check", "info"] {
        let error = run!(command, folder.path(), "--json").exits(6).error();
        assert_eq!(error["path"], json!(folder.path()));
        assert!(error["message"].as_str().unwrap().contains("no disk in this folder"), "{error}");
    }
}

#[test]
fn parents_are_named_for_one_file_only() {
    let family = family();
    let refused =
        run!("check", family.leaf(), family.mid(), "--chain", "--parent", family.base()).exits(2).stderr;
    assert!(refused.contains("of one FILE"), "{refused}");
    run!("check", family.folder.path(), "--chain", "--parent", family.base()).exits(2);
    run!("check", family.leaf(), family.mid(), "--chain", "--parent-dir", family.folder.path()).exits(0);
}

#[cfg(unix)]
#[test]
fn links_and_several_names_of_a_file_count_once() {
    let family = family();
    fs::hard_link(family.base(), family.path("zz.vhdx")).unwrap();
    std::os::unix::fs::symlink(family.mid(), family.path("link.avhdx")).unwrap();
    std::os::unix::fs::symlink("nowhere", family.path("gone.avhdx")).unwrap();
    let document = run!("check", family.folder.path(), "--json").exits(6).json();
    let paths =
        [family.base(), family.path("gone.avhdx"), family.leaf(), family.mid()].map(|path| text_of(&path));
    let found: Vec<String> = results(&document).into_iter().map(|(path, _)| path).collect();
    assert_eq!(found, paths);
}
