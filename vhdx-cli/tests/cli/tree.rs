//! `tree` links files by GUID and reports problems.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::images::family;
use crate::run;

fn by_path(tree: &Value) -> BTreeMap<String, Value> {
    let disks = tree["disks"].as_array().unwrap();
    disks.iter().map(|disk| (disk["path"].as_str().unwrap().to_owned(), disk.clone())).collect()
}

#[test]
fn renamed_files_are_linked_by_guid() {
    let family = family();
    let [base, mid, leaf] = ["x1", "x2", "x3"].map(|name| family.path(name));
    std::fs::rename(family.base(), &base).unwrap();
    std::fs::rename(family.mid(), &mid).unwrap();
    std::fs::rename(family.leaf(), &leaf).unwrap();

    let tree = run!("tree", family.folder.path(), "--json").exits(0).json();
    let disks = by_path(&tree);
    let disk = |path: &std::path::Path| disks[path.to_str().unwrap()].clone();
    assert_eq!(disks.len(), 3);
    assert_eq!((&disk(&base)["parent"], &disk(&base)["link"]), (&Value::Null, &json!("base")));
    assert_eq!((&disk(&mid)["parent"], &disk(&mid)["link"]), (&json!(base), &json!("ok")));
    assert_eq!(disk(&leaf)["parent"], json!(mid));
    assert_eq!(disk(&base)["children"], json!([mid]));
    assert_eq!(disk(&leaf)["children"], json!([]));
    assert_eq!(disk(&leaf)["type"], "differencing");
    assert_eq!(disk(&leaf)["virtual_size"], crate::images::SIZE);
    assert_eq!(disk(&leaf)["file_size"], leaf.metadata().unwrap().len());
    assert_eq!(disk(&leaf)["allocated"], vhdx::allocated_bytes(&leaf).unwrap());
    assert_eq!(disk(&leaf)["data_write_guid"], family.images.leaf.data_write_guid.to_string());
    assert_eq!(tree["orphans"], json!([]));
    let stale =
        tree["problems"].as_array().unwrap().iter().find(|problem| problem["path"] == json!(leaf)).unwrap();
    assert!(!stale["message"].as_str().unwrap().is_empty() && !stale["fix"].as_str().unwrap().is_empty());
    assert!(!disk(&leaf)["problems"].as_array().unwrap().is_empty());
}

#[cfg(unix)]
#[test]
fn renamed_files_come_with_the_command_that_merges_them() {
    let family = family();
    let untouched = run!("tree", family.folder.path()).exits(0).text();
    assert!(!untouched.contains("vhdx merge"), "{untouched}");
    let [base, mid, leaf] = ["x 1", "it's", "x3"].map(|name| family.path(name));
    std::fs::rename(family.base(), &base).unwrap();
    std::fs::rename(family.mid(), &mid).unwrap();
    std::fs::rename(family.leaf(), &leaf).unwrap();
    std::fs::write(family.path("notes.txt"), b"notes").unwrap();

    let text = run!("tree", family.folder.path()).exits(0).text();
    assert!(text.contains("1 other file is not a VHDX"), "{text}");
    let commands: Vec<&str> = text.lines().filter(|line| line.contains("vhdx merge")).collect();
    let [command] = commands[..] else { panic!("{text}") };
    let new = family.path("NEW.vhdx");
    let command = command.trim().strip_prefix("vhdx").unwrap().replace("NEW.vhdx", new.to_str().unwrap());
    let script = format!("{}{command}", env!("CARGO_BIN_EXE_vhdx"));
    assert!(std::process::Command::new("sh").args(["-c", &script]).status().unwrap().success(), "{script}");
    run!("compare", leaf, new, "--parent", mid, "--parent", base).exits(0);
    std::fs::remove_file(&new).unwrap();

    let reparents: Vec<&str> =
        text.lines().filter_map(|line| line.trim().strip_prefix("vhdx reparent")).collect();
    assert_eq!(reparents.len(), 2, "{text}");
    for reparent in reparents {
        let script = format!("{} reparent{reparent}", env!("CARGO_BIN_EXE_vhdx"));
        assert!(
            std::process::Command::new("sh").args(["-c", &script]).status().unwrap().success(),
            "{script}"
        );
    }
    run!("check", leaf, "--chain").exits(0);
    let mended = run!("tree", family.folder.path()).exits(0).text();
    assert!(!mended.contains("vhdx reparent") && !mended.contains("fix: "), "{mended}");
}

#[test]
fn an_orphan_is_reported_with_the_missing_guid() {
    let family = family();
    std::fs::remove_file(family.base()).unwrap();
    let tree = run!("tree", family.folder.path(), "--json").exits(0).json();
    assert_eq!(tree["orphans"], json!([family.mid()]));
    assert_eq!(by_path(&tree)[family.mid().to_str().unwrap()]["link"], "missing");
    let guid = family.images.base.data_write_guid.to_string();
    let problems = tree["problems"].as_array().unwrap();
    assert!(
        problems.iter().any(|problem| problem["message"].as_str().unwrap().contains(&guid)),
        "{problems:?}"
    );
}

#[test]
fn a_forest_is_drawn() {
    let family = family();
    let sibling = vhdx_testkit::Image::child_of(&family.images.base, "base.vhdx", 1 << 20);
    let sibling = vhdx_testkit::Image { data_write_guid: uuid::Uuid::from_u128(9), ..sibling };
    crate::images::write(&sibling, &family.path("sibling.avhdx"));
    std::fs::write(family.path("noise.vhdx"), b"noise").unwrap();
    let text = run!("tree", family.folder.path()).exits(0).text();
    let lines: Vec<&str> = text.lines().skip(1).map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(lines[0], family.base().to_str().unwrap());
    assert_eq!(lines[1].trim_end(), "├─ mid.avhdx", "{text}");
    assert!(text.lines().nth(3).unwrap().starts_with("│  └─ leaf.avhdx"), "{text}");
    assert_eq!(lines[3].trim_end(), "└─ sibling.avhdx", "{text}");
    for word in ["dynamic base", "checkpoint", "leaf", "UTC", "6 MiB", "problems:", "noise.vhdx", "fix: "] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn a_folder_without_disks() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run!("tree", folder.path()).exits(0).text(), "no disks found\n");
    let json = run!("tree", folder.path(), "--json").exits(0).json();
    let expected = json!({
        "disks": [], "machines": [], "lone_checkpoints": [], "orphans": [], "others": 0, "other_files": [],
        "problems": [], "size_differences": [],
    });
    assert_eq!(json, expected);
}

#[test]
fn other_files_are_named_by_content_or_name() {
    let family = family();
    let gzip = b"\x1f\x8b\x08".as_slice();
    let qcow2 = b"QFI\xfb".as_slice();
    for (name, bytes) in [
        ("a.vmcx", b"x".as_slice()),
        ("b.VMRS", b""),
        ("c.vhds", b"x"),
        ("base.vhdx.rct", b"x"),
        ("base.vhdx.mrt", b"x"),
        ("d.iso", b"x"),
        ("e.iso", gzip),
        ("old.avhdx.gz", gzip),
        ("f.qcow2", qcow2),
        ("g", qcow2),
        ("notes.txt", b"notes"),
        ("h.qcow2", b"no image"),
    ] {
        std::fs::write(family.path(name), bytes).unwrap();
    }
    let tree = run!("tree", family.folder.path(), "--json").exits(0).json();
    let expected = [
        ("a.vmcx", "machine configuration"),
        ("b.VMRS", "machine state"),
        ("base.vhdx.mrt", "change tracking"),
        ("base.vhdx.rct", "change tracking"),
        ("c.vhds", "VHD set"),
        ("d.iso", "optical disc"),
        ("e.iso", "gzip"),
        ("f.qcow2", "QCOW2"),
        ("g", "QCOW2"),
        ("old.avhdx.gz", "gzip"),
    ];
    assert_eq!(
        tree["other_files"],
        json!(expected.map(|(name, kind)| json!({ "path": family.path(name), "kind": kind })))
    );
    assert_eq!(tree["others"], 12);
    let text = run!("tree", family.folder.path()).exits(0).text();
    for (name, words) in [
        ("a.vmcx", "the configuration of a virtual machine"),
        ("b.VMRS", "the memory and device state"),
        ("c.vhds", "a VHD set"),
        ("base.vhdx.rct", "Hyper-V's change tracking"),
        ("d.iso", "an optical disc"),
        ("g", "a QCOW2 image"),
    ] {
        let line = format!("- {} is {words}", family.path(name).display());
        assert!(text.contains(&line), "{line}: {text}");
    }
    assert!(!text.contains("notes.txt") && !text.contains("h.qcow2"), "{text}");
}

/// A disk whose start was overwritten is still recognized as a disk, under any name.
#[test]
fn a_disk_that_has_lost_its_start_is_listed_as_damaged() {
    let family = family();
    let lost = family.path("lost");
    let mut bytes = std::fs::read(family.base()).unwrap();
    bytes[..4096].fill(0);
    std::fs::write(&lost, bytes).unwrap();
    let tree = run!("tree", family.folder.path(), "--json").exits(0).json();
    let problems = tree["problems"].as_array().unwrap();
    let problem = problems.iter().find(|problem| problem["path"] == json!(lost)).unwrap();
    assert!(problem["message"].as_str().unwrap().contains("not a readable VHDX"), "{problem}");
    assert_eq!(tree["others"], 0);
    let refused = run!("merge", family.leaf()).exits(5).stderr;
    assert!(refused.contains("lost"), "{refused}");
}
