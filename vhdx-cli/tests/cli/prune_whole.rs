//! `prune` deletes a checkpoint of several disks with all of them, or none of them.

use std::fs;

use serde_json::{Value, json};

use crate::report::estate::Estate;
use crate::run;

const MIB: u64 = 1 << 20;

/// A machine with two disks and three checkpoints.
fn machine() -> Estate {
    let estate = Estate::new();
    let system = [("s.vhdx", 40), ("s_1.avhdx", 30), ("s_2.avhdx", 20), ("s_3.avhdx", 10)];
    let data = [("d.vhdx", 40), ("d_1.avhdx", 30), ("d_2.avhdx", 20), ("d_3.avhdx", 10)];
    estate.chain("vm", 4 * MIB, &system);
    estate.chain("vm", 4 * MIB, &data);
    estate.configuration("Virtual Machines/1.vmcx", "web", 50, &[r"vm\s_3.avhdx", r"vm\d_3.avhdx"]);
    estate.configuration("Snapshots/1.vmcx", "first", 40, &[r"vm\s.vhdx", r"vm\d.vhdx"]);
    estate.configuration("Snapshots/2.vmcx", "second", 30, &[r"vm\s_1.avhdx", r"vm\d_1.avhdx"]);
    estate.configuration("Snapshots/3.vmcx", "third", 20, &[r"vm\s_2.avhdx", r"vm\d_2.avhdx"]);
    estate
}

/// Plans, and returns the plan.
fn plan(estate: &Estate, selection: &[&str], code: i32) -> Value {
    let folder = estate.0.path().to_str().unwrap();
    run::vhdx(["prune", folder, "--dry-run", "--json"].into_iter().chain(selection.iter().copied()))
        .exits(code)
        .json()
}

fn name(path: &Value) -> String {
    path.as_str().unwrap().rsplit(['/', '\\']).next().unwrap().to_owned()
}

fn selected(plan: &Value) -> Vec<String> {
    let mut names: Vec<String> =
        plan["selected"].as_array().unwrap().iter().map(|of| name(&of["path"])).collect();
    names.sort();
    names
}

/// Returns the reason to keep each file, and whether it is a failure.
fn kept(plan: &Value) -> Vec<(String, &str, bool)> {
    let kept = plan["kept"].as_array().unwrap().iter();
    let mut kept: Vec<(String, &str, bool)> = kept
        .map(|of| (name(&of["path"]), of["reason"].as_str().unwrap(), of["is_failure"] == true))
        .collect();
    kept.sort();
    kept
}

fn owned<'a>(kept: &[(&str, &'a str, bool)]) -> Vec<(String, &'a str, bool)> {
    kept.iter().map(|(name, reason, is_failure)| ((*name).to_owned(), *reason, *is_failure)).collect()
}

#[test]
fn whole_checkpoints_are_deleted() {
    let estate = machine();
    assert_eq!(selected(&plan(&estate, &["--name=second"], 0)), ["d_1.avhdx", "s_1.avhdx"]);
    assert_eq!(plan(&estate, &["--all"], 0)["kept"], json!([]));
}

/// One file was moved, and the search does not find it.
#[test]
fn a_missing_link_keeps_the_other_disk() {
    let estate = machine();
    fs::remove_file(estate.path("vm/d_2.avhdx")).unwrap();
    let plan = plan(&estate, &["--older-than=25d"], 1);
    // The file before the gap, `d_1.avhdx`, has no child.
    let expected = [
        ("d.vhdx", "missing_link", true),
        ("s.vhdx", "other_disk_kept", true),
        ("s_1.avhdx", "other_disk_kept", true),
        ("s_2.avhdx", "not_old_enough", false),
    ];
    assert_eq!(kept(&plan), owned(&expected), "{plan:#}");
    assert_eq!(plan["merges"], json!([]));
    let message = plan["kept"].as_array().unwrap().iter().find(|of| name(&of["path"]) == "s.vhdx").unwrap();
    let message = message["message"].as_str().unwrap();
    assert!(message.starts_with("is kept together with ") && message.contains("d.vhdx"), "{message}");
    let text = run!("prune", estate.0.path(), "--older-than=25d", "--yes").exits(1).text();
    let heading = "kept: 2 checkpoints with another disk that is kept. A checkpoint of several disks is deleted on all \
                   of these disks, or on none\n";
    assert!(text.contains(heading), "{text}");
    assert!(text.contains("    s.vhdx \"first\", other disk d.vhdx\n"), "{text}");
    assert!(estate.path("vm/s_1.avhdx").exists(), "nothing was merged");
}

/// The configuration of a checkpoint names a file that was moved. The disk is still linked by its GUID.
#[test]
fn a_moved_disk_keeps_the_others_and_is_kept() {
    let estate = machine();
    fs::create_dir(estate.path("moved")).unwrap();
    fs::rename(estate.path("vm/d_1.avhdx"), estate.path("moved/d_1.avhdx")).unwrap();
    let plan = plan(&estate, &["--all"], 1);
    let kept = kept(&plan);
    for file in ["s_1.avhdx", "d_1.avhdx"] {
        assert!(kept.contains(&(file.to_owned(), "other_disk_missing", true)), "{plan:#}");
    }
    let text = run!("prune", estate.0.path(), "--all", "--dry-run").exits(1).text();
    assert!(text.contains("with another disk that was not found. A checkpoint"), "{text}");
    assert!(text.contains("2.vmcx names C:\\vm\\vm\\d_1.avhdx, which was not found\n"), "{text}");
    fs::rename(estate.path("moved/d_1.avhdx"), estate.path("vm/d_1.avhdx")).unwrap();
    assert_eq!(self::plan(&estate, &["--all"], 0)["kept"], json!([]));
}

/// One of two disks was searched, so the checkpoint may still be whole elsewhere.
#[test]
fn a_disk_in_another_folder_keeps_the_others() {
    let estate = machine();
    for file in ["d.vhdx", "d_1.avhdx", "d_2.avhdx", "d_3.avhdx"] {
        fs::remove_file(estate.path("vm").join(file)).unwrap();
    }
    let plan = plan(&estate, &["--name=second"], 1);
    assert!(kept(&plan).contains(&("s_1.avhdx".to_owned(), "other_disk_missing", true)), "{plan:#}");
    // A single disk is a checkpoint as a whole.
    estate.configuration("Snapshots/2.vmcx", "second", 30, &[r"vm\s_1.avhdx"]);
    assert_eq!(selected(&self::plan(&estate, &["--name=second"], 0)), ["s_1.avhdx"]);
}

/// The second disk cannot be reverted any more if its checkpoint is deleted.
#[test]
fn a_machine_with_one_reverted_disk_keeps_its_checkpoints() {
    let estate = machine();
    run!("revert", estate.path("vm/s_3.avhdx"), "--to", estate.path("vm/s_1.avhdx"), "--delete-old").exits(0);
    let plan = plan(&estate, &["--name=second"], 1);
    assert_eq!(selected(&plan), Vec::<String>::new());
    assert!(kept(&plan).contains(&("d_1.avhdx".to_owned(), "unfinished_revert", true)), "{plan:#}");
    let second = estate.path("vm/d_1.avhdx");
    run!("revert", estate.path("vm/d_3.avhdx"), "--to", second, "--delete-old").exits(0);
    // Each has the new disk and the next checkpoint as children.
    let kept_now = self::plan(&estate, &["--name=second"], 0);
    for file in ["d_1.avhdx", "s_1.avhdx"] {
        assert!(kept(&kept_now).contains(&(file.to_owned(), "several_children", false)), "{kept_now:#}");
    }
    assert_eq!(selected(&self::plan(&estate, &["--name=first"], 0)), ["d.vhdx", "s.vhdx"]);
}

/// The newest file of one disk is elsewhere, so that the disk that the last checkpoint froze has no child.
#[test]
fn a_missing_newest_disk_keeps_the_other_disk() {
    let estate = machine();
    fs::remove_file(estate.path("vm/d_3.avhdx")).unwrap();
    let plan = plan(&estate, &["--name=third"], 1);
    assert_eq!(selected(&plan), Vec::<String>::new());
    assert!(kept(&plan).contains(&("s_2.avhdx".to_owned(), "other_disk_kept", true)), "{plan:#}");
}

/// A frozen disk without children is as it must be, but only Hyper-V can delete its state.
#[test]
fn a_frozen_disk_without_children_keeps_the_other_disk() {
    let estate = machine();
    fs::remove_file(estate.path("vm/d_3.avhdx")).unwrap();
    estate.configuration("Virtual Machines/1.vmcx", "web", 50, &[r"vm\s_3.avhdx"]);
    let plan = plan(&estate, &["--all"], 0);
    assert_eq!(selected(&plan), ["d.vhdx", "d_1.avhdx", "s.vhdx", "s_1.avhdx"]);
    assert_eq!(kept(&plan), owned(&[("s_2.avhdx", "other_disk_kept", false)]));
    let text = run!("prune", estate.0.path(), "--all", "--yes").exits(0).text();
    assert!(text.contains("the state of that disk can be deleted only in Hyper-V\n  "), "{text}");
    assert!(text.contains("s_2.avhdx \"third\", other disk d_2.avhdx\n"), "{text}");
    // The kept checkpoint is still whole after the merges.
    assert_eq!(self::plan(&estate, &["--all"], 0)["merges"], json!([]));
}

#[test]
fn several_children_keep_the_other_disk() {
    let estate = Estate::new();
    let data = estate.chain("vm", 4 * MIB, &[("d.vhdx", 40), ("d_1.avhdx", 30), ("d_2.avhdx", 20)]);
    estate.chain("vm", 4 * MIB, &[("s.vhdx", 40), ("s_1.avhdx", 30), ("s_2.avhdx", 20)]);
    estate.child(&data[1], "d_1.avhdx", "vm/d_lab.avhdx", 5);
    estate.configuration("Virtual Machines/1.vmcx", "web", 50, &[r"vm\s_2.avhdx", r"vm\d_2.avhdx"]);
    estate.configuration("Snapshots/1.vmcx", "first", 40, &[r"vm\s.vhdx", r"vm\d.vhdx"]);
    estate.configuration("Snapshots/2.vmcx", "second", 30, &[r"vm\s_1.avhdx", r"vm\d_1.avhdx"]);
    let plan = plan(&estate, &["--all"], 0);
    assert_eq!(selected(&plan), ["d.vhdx", "s.vhdx"]);
    let expected = [("d_1.avhdx", "several_children", false), ("s_1.avhdx", "other_disk_kept", false)];
    assert_eq!(kept(&plan), owned(&expected));
}

/// One disk has a newer checkpoint that the other one does not have.
#[test]
fn the_newest_of_one_disk_keeps_the_other_disk() {
    let estate = Estate::new();
    estate.chain("vm", 4 * MIB, &[("s.vhdx", 40), ("s_1.avhdx", 30), ("s_2.avhdx", 20)]);
    let data = [("d.vhdx", 40), ("d_1.avhdx", 30), ("d_2.avhdx", 20), ("d_3.avhdx", 10)];
    estate.chain("vm", 4 * MIB, &data);
    estate.configuration("Virtual Machines/1.vmcx", "web", 50, &[r"vm\s_2.avhdx", r"vm\d_3.avhdx"]);
    estate.configuration("Snapshots/1.vmcx", "first", 40, &[r"vm\s.vhdx", r"vm\d.vhdx"]);
    estate.configuration("Snapshots/2.vmcx", "second", 30, &[r"vm\s_1.avhdx", r"vm\d_1.avhdx"]);
    estate.configuration("Snapshots/3.vmcx", "third", 20, &[r"vm\d_2.avhdx"]);
    let plan = plan(&estate, &["--keep-last=1"], 0);
    assert_eq!(selected(&plan), ["d.vhdx", "s.vhdx"]);
    let expected = [
        ("d_1.avhdx", "other_disk_kept", false),
        ("d_2.avhdx", "newest", false),
        ("s_1.avhdx", "newest", false),
    ];
    assert_eq!(kept(&plan), owned(&expected));
    let text = run!("prune", estate.0.path(), "--keep-last=1", "--yes").exits(0).text();
    let line =
        "d_1.avhdx \"second\", other disk s_1.avhdx, which is one of the newest checkpoints of its family\n";
    assert!(text.contains(line), "{text}");
    assert_eq!(self::plan(&estate, &["--keep-last=1"], 0)["merges"], json!([]));
}

/// A program uses one of the disks.
#[cfg(unix)] // On Windows, a locked disk cannot be read, so nothing is known about it.
#[test]
fn a_lock_keeps_the_other_disk() {
    let estate = machine();
    let lock = vhdx::FileStorage::open_exclusive(&estate.path("vm/d_3.avhdx")).unwrap();
    let plan = plan(&estate, &["--name=third"], 1);
    let kept_of = |name: &str| kept(&plan).into_iter().find(|(of, ..)| of == name).unwrap();
    assert_eq!(kept_of("d_2.avhdx").1, "refused", "{plan:#}");
    assert_eq!(kept_of("s_2.avhdx"), ("s_2.avhdx".to_owned(), "other_disk_kept", true));
    run!("prune", estate.0.path(), "--name=third", "--yes").exits(1);
    assert!(estate.path("vm/s_3.avhdx").exists());
    drop(lock);
    run!("prune", estate.0.path(), "--name=third", "--yes").exits(0);
    assert!(!estate.path("vm/s_3.avhdx").exists() && !estate.path("vm/d_3.avhdx").exists());
}

/// All disks of a checkpoint count, in `report` too.
#[test]
fn the_sizes_of_all_disks_are_added() {
    let estate = machine();
    let all = plan(&estate, &["--name=first"], 0);
    let sizes: Vec<u64> =
        all["selected"].as_array().unwrap().iter().map(|of| of["size"].as_u64().unwrap()).collect();
    let [one, other] = sizes[..] else { panic!("{all:#}") };
    let larger = |limit: u64| format!("--larger-than={limit}");
    assert!(one + other - 1 > one.max(other));
    let limit = larger(one + other - 1);
    assert_eq!(selected(&plan(&estate, &["--name=first", &limit], 0)), ["d.vhdx", "s.vhdx"]);
    let none = plan(&estate, &["--name=first", &larger(one + other)], 0);
    assert_eq!(selected(&none), Vec::<String>::new());
    let report = run!("report", estate.0.path(), &limit, "--json").exits(1).json();
    let findings = report["findings"].as_array().unwrap().iter();
    let large = findings.filter(|of| of["kind"] == "large_checkpoint").map(|of| name(&of["path"]));
    let large: Vec<String> = large.collect();
    assert!(["d.vhdx", "s.vhdx"].iter().all(|name| large.iter().any(|of| of == name)), "{large:?}");
    run!("report", estate.0.path(), larger(one + other), "--json").exits(0);
}

/// A restored file lacks its parent, so the other states of its checkpoint cannot be deleted with it.
#[test]
fn a_restored_disk_is_not_said_to_be_kept() {
    let estate = machine();
    let saved = fs::read(estate.path("vm/d_1.avhdx")).unwrap();
    run!("prune", estate.0.path(), "--all", "--yes").exits(0);
    fs::write(estate.path("vm/d_1.avhdx"), saved).unwrap();
    let tree = run!("tree", estate.0.path(), "--json").exits(0).json();
    let messages: Vec<&str> = tree["problems"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|problem| name(&problem["path"]) == "2.vmcx")
        .map(|problem| problem["message"].as_str().unwrap())
        .collect();
    let [message] = messages[..] else { panic!("{tree:#}") };
    assert!(message.ends_with("in part: its other disks were not found, or cannot be used"), "{message}");
}
