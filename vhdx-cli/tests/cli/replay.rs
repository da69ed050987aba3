//! `replay` applies a dirty log and changes nothing else.

use std::fs;

use serde_json::json;
use vhdx_testkit::DirtyLog;

use crate::images::{family, write};
use crate::run;

#[test]
fn a_dirty_log_is_applied() {
    let mut family = family();
    let log = DirtyLog { seed: 5, entries: 3, stale: 1, runs: 20, closed: false };
    family.images.leaf.log = Some(log);
    write(&family.images.leaf, &family.leaf());
    let (leaf, raw) = (family.leaf(), family.path("disk.raw"));
    let before = family.files();
    assert_eq!(run!("info", leaf, "--json").exits(0).json()["log"]["state"], "dirty");

    let plan = run!("replay", leaf, "--dry-run", "--json").exits(0).json();
    let expected =
        [("dry_run", json!(true)), ("path", json!(leaf)), ("log", json!("dirty")), ("entries", json!(3))];
    for (key, value) in &expected {
        assert_eq!(plan[key], *value, "{key}");
    }
    assert!(plan["bytes_written"].as_u64().unwrap() >= 4096, "{plan}");
    assert_eq!(plan["file_size"], fs::metadata(&leaf).unwrap().len());
    let text = run!("replay", leaf, "--dry-run").exits(0).text();
    assert!(text.contains("would be replayed: 3"), "{text}");
    assert_eq!(family.files(), before, "a dry run touches nothing");

    let bytes = fs::read(&leaf).unwrap();
    let text = run!("replay", leaf).exits(0).text();
    assert!(text.contains("log entries replayed: 3; the log is clean now"), "{text}");
    fs::write(&leaf, bytes).unwrap();
    let mut done = run!("replay", leaf, "--json").exits(0).json();
    assert_eq!(done["dry_run"], false);
    done["dry_run"] = json!(true);
    assert_eq!(done, plan, "the dry run announced what was done");
    assert_eq!(
        run!("info", leaf, "--json").exits(0).json()["log"],
        json!({ "state": "clean", "entries": 0 })
    );
    run!("check", leaf, "--chain").exits(0);
    run!("convert", leaf, raw).exits(0);
    assert!(fs::read(&raw).unwrap() == family.content);
}

#[test]
fn a_clean_file_is_left_alone() {
    let family = family();
    let before = family.files();
    let text = run!("replay", family.leaf()).exits(0).text();
    assert!(text.contains("nothing to replay"), "{text}");
    let json = run!("replay", family.leaf(), "--json").exits(0).json();
    assert_eq!(
        (&json["log"], &json["entries"], &json["bytes_written"]),
        (&json!("clean"), &json!(0), &json!(0))
    );
    assert_eq!(json["file_size"], fs::metadata(family.leaf()).unwrap().len());
    assert_eq!(family.files(), before);
}

#[test]
fn files_that_cannot_be_replayed_are_refused() {
    let family = family();
    run!("replay", family.path("absent.vhdx")).exits(6);
    run!("replay", family.folder.path()).exits(2);
    let garbage = family.path("garbage.vhdx");
    fs::write(&garbage, vec![7; 4 << 20]).unwrap();
    run!("replay", garbage).exits(3);
    run!("replay", garbage, "--dry-run").exits(3);
    assert!(fs::read(&garbage).unwrap() == vec![7; 4 << 20]);
}
