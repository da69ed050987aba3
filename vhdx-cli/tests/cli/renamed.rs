//! Merge targets that were renamed or moved without the record of their prune.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::images::images;
use crate::prune_machines::{problems, prune, tree_of};
use crate::run;
use crate::tree_machines::{Host, set_modified};

const MACHINE: &str = "282874FC-59D6-4F30-BC04-5FDD909C82E0";
const RECORD: &str = "base.vhdx.vhdx-pruned";
/// 2020-09-13: long before any prune.
const LONG_AGO: u64 = 1_600_000_000;

/// Returns the only message and fix for a file.
fn problem(tree: &Value, file: &str) -> (String, String) {
    let [problem] = &problems(tree, file)[..] else { panic!("{file}: {tree:#}") };
    problem.clone()
}

fn rename(host: &Host, from: &str, to: &str) {
    fs::rename(host.disk(from), host.disk(to)).unwrap();
}

fn assert_deleted(tree: &Value, checkpoint: &str) {
    let found = problems(tree, checkpoint);
    let is_deleted = |message: &str| message.contains("a checkpoint that a prune deleted");
    assert!(found.iter().any(|(message, _)| is_deleted(message)), "{found:#?}");
}

/// Checks that the whole chain is known to be merged into a disk.
fn assert_merged_into(host: &Host, tree: &Value, disk: &PathBuf) {
    let (message, fix) = problem(tree, &format!("{MACHINE}.vmcx"));
    assert!(message.contains("leaf.avhdx\", which a prune merged into"), "{message}");
    assert!(fix.contains(&format!("choose \"{}\"", disk.display())), "{fix}");
    for file in ["first.vmcx", "second.vmcx"] {
        assert!(problem(tree, file).0.contains("a checkpoint that a prune deleted"), "{tree:#}");
    }
    assert_eq!(tree["machines"][0]["drives"][0]["disk"], json!(disk));
    assert!(!host.text().contains("checkpoint \"before"), "no disk has the state of a deleted checkpoint");
}

#[test]
fn a_renamed_target_keeps_its_record() {
    let host = Host::new();
    prune(&host, "--all", 0);
    rename(&host, "base.vhdx", "other.vhdx");
    let tree = tree_of(&host);
    assert_merged_into(&host, &tree, &host.disk("other.vhdx"));
    let (message, fix) = problem(&tree, RECORD);
    assert!(
        message.contains(&format!("renamed or moved to \"{}\"", host.disk("other.vhdx").display())),
        "{message}"
    );
    let new = host.disk("other.vhdx.vhdx-pruned");
    assert!(fix.contains(&format!("rename this file to \"{}\"", new.display())), "{fix}");
    let report = run!("report", host.folder(), "--json").json();
    assert!(report.to_string().contains("its disk was renamed or moved"), "{report:#}");
    // The administrator follows the fix.
    fs::rename(host.disk(RECORD), new).unwrap();
    let tree = tree_of(&host);
    assert_merged_into(&host, &tree, &host.disk("other.vhdx"));
    assert_eq!(tree["problems"].as_array().unwrap().len(), 3, "{tree:#}");
}

/// The base was renamed before the prune, and got its old name after it. An old checkpoint names that.
#[test]
fn a_target_that_gets_an_older_name_does_not_have_the_state_of_that_name() {
    let host = Host::new();
    host.configure("Snapshots/first", "before", "1f", LONG_AGO, "base.vhdx");
    rename(&host, "base.vhdx", "renamed 24.vhdx");
    run!("prune", host.folder(), "--all", "--yes").exits(0);
    assert!(!host.disk("leaf.avhdx").exists());
    rename(&host, "renamed 24.vhdx", "base.vhdx");
    let tree = tree_of(&host);
    assert_merged_into(&host, &tree, &host.disk("base.vhdx"));
    assert!(problem(&tree, "renamed 24.vhdx.vhdx-pruned").0.contains("was renamed or moved to "), "{tree:#}");
}

/// The names in the record are relative to the folder in which it lies.
#[test]
fn a_moved_target_keeps_its_record() {
    let host = Host::new();
    prune(&host, "--all", 0);
    fs::create_dir(host.path("moved")).unwrap();
    let moved = host.path("moved").join("base.vhdx");
    fs::rename(host.disk("base.vhdx"), &moved).unwrap();
    let tree = tree_of(&host);
    assert_merged_into(&host, &tree, &moved);
    let (_, fix) = problem(&tree, RECORD);
    assert!(fix.starts_with("move ") && fix.contains("search both folders"), "{fix}");
    // The machine was changed before the disk was moved.
    host.configure(&format!("Virtual Machines/{MACHINE}"), "server", "1", 0, "base.vhdx");
    let tree = tree_of(&host);
    assert_eq!(tree["machines"][0]["drives"][0]["disk"], json!(null));
    let (message, _) = problem(&tree, &format!("{MACHINE}.vmcx"));
    assert!(message.contains("probably renamed or moved to"), "{message}");
}

#[test]
fn a_target_that_was_renamed_with_its_record_is_found_by_its_old_name() {
    let host = Host::new();
    prune(&host, "--all", 0);
    host.configure(&format!("Virtual Machines/{MACHINE}"), "server", "1", 0, "base.vhdx");
    rename(&host, "base.vhdx", "other.vhdx");
    rename(&host, RECORD, "other.vhdx.vhdx-pruned");
    let tree = tree_of(&host);
    let (message, fix) = problem(&tree, &format!("{MACHINE}.vmcx"));
    assert!(message.contains("base.vhdx\", which was probably renamed or moved to"), "{message}");
    assert!(fix.contains("other.vhdx"), "{fix}");
    // It can be a copy with a copy of the record, so it is not yet the disk of the machine.
    assert_eq!(tree["machines"][0]["drives"][0]["disk"], json!(null));
    for file in ["first.vmcx", "second.vmcx"] {
        assert!(problem(&tree, file).0.contains("a checkpoint that a prune deleted"), "{tree:#}");
    }
    let [(message, fix)] = &problems(&tree, "other.vhdx")[..] else { panic!("{tree:#}") };
    assert!(message.contains("named by no configuration"), "{message}");
    assert!(fix.contains("before the problem of") || fix.contains("solve"), "{fix}");
}

/// Writes the base with the DataWriteGuid that it gets when a machine uses it.
fn change(host: &Host, name: &str) {
    let base = images().base;
    vhdx_testkit::Image { data_write_guid: Uuid::from_u128(5), ..base }
        .sparse()
        .write_to(&host.disk(name))
        .unwrap();
}

/// A machine has used the renamed disk, so nothing proves that it is the target. It may have the newest state.
#[test]
fn a_disk_that_may_be_the_target_does_not_have_the_state_of_a_checkpoint() {
    let host = Host::new();
    host.configure("Snapshots/first", "before", "1f", LONG_AGO, "base.vhdx");
    rename(&host, "base.vhdx", "24.vhdx");
    run!("prune", host.folder(), "--all", "--yes").exits(0);
    fs::remove_file(host.disk("24.vhdx")).unwrap();
    change(&host, "base.vhdx");
    let tree = tree_of(&host);
    let (message, fix) = problem(&tree, "24.vhdx.vhdx-pruned");
    let disk = host.disk("base.vhdx");
    assert!(message.contains(&format!("\"{}\" may be that disk", disk.display())), "{message}");
    assert!(fix.starts_with(&format!("do not delete \"{}\"", disk.display())), "{fix}");
    assert!(fix.contains("base.vhdx.vhdx-pruned"), "{fix}");
    let checkpoints = tree["machines"][0]["checkpoints"].as_array().into_iter().flatten();
    let mut checkpoints = checkpoints.chain(tree["lone_checkpoints"].as_array().unwrap());
    assert!(checkpoints.all(|checkpoint| checkpoint["disks"] == json!([])), "{tree:#}");
    assert!(!host.text().contains("checkpoint \"before"));
    // The administrator gives the record the name of the disk.
    rename(&host, "24.vhdx.vhdx-pruned", RECORD);
    assert_deleted(&tree_of(&host), "first.vmcx");
    // A disk that was last changed before the prune is not the target.
    rename(&host, RECORD, "24.vhdx.vhdx-pruned");
    set_modified(&host.disk("base.vhdx"), LONG_AGO + 1);
    assert_eq!(problems(&tree_of(&host), "24.vhdx.vhdx-pruned"), []);
}

/// The administrator put the merged disk aside, and restored an older copy in its place.
#[test]
fn an_older_copy_does_not_hide_the_renamed_target() {
    let host = Host::new();
    let older = host.path("older.vhdx");
    fs::copy(host.disk("base.vhdx"), &older).unwrap();
    prune(&host, "--all", 0);
    rename(&host, "base.vhdx", "aside.vhdx");
    fs::rename(&older, host.disk("base.vhdx")).unwrap();
    let tree = tree_of(&host);
    assert_eq!(tree["machines"][0]["drives"][0]["disk"], json!(host.disk("aside.vhdx")));
    let older = problems(&tree, "base.vhdx");
    assert!(older.iter().any(|(message, _)| message.contains("is an older copy")), "{tree:#}");
    assert_eq!(problems(&tree, RECORD), [], "it is beside the copy that it explains");
}

/// Another disk of the same machine got the name of the target.
#[test]
fn a_disk_with_the_name_of_the_target_is_not_taken_for_it() {
    let host = Host::new();
    prune(&host, "--keep-last=1", 0);
    rename(&host, "base.vhdx", "aside.vhdx");
    rename(&host, "leaf.avhdx", "base.vhdx");
    let tree = tree_of(&host);
    let of_second = problems(&tree, "second.vmcx");
    let target = host.disk("aside.vhdx");
    let expected = format!("mid.avhdx\", which a prune merged into \"{}\"", target.display());
    assert!(of_second.iter().any(|(message, _)| message.contains(&expected)), "{of_second:#?}");
    assert!(problem(&tree, RECORD).0.contains("aside.vhdx"), "{tree:#}");
    assert_deleted(&tree, "first.vmcx");
    assert!(!host.text().contains("checkpoint \"before"), "the newest disk is not the state of a checkpoint");
}

/// Nothing says which of two copies the machine uses.
#[test]
fn a_record_belongs_to_none_of_several_copies() {
    let host = Host::new();
    prune(&host, "--all", 0);
    fs::copy(host.disk("base.vhdx"), host.disk("copy.vhdx")).unwrap();
    rename(&host, "base.vhdx", "other.vhdx");
    let tree = tree_of(&host);
    assert_eq!(tree["machines"][0]["drives"][0]["disk"], Value::Null);
    let (message, _) = problem(&tree, &format!("{MACHINE}.vmcx"));
    assert!(message.contains("which was not found"), "{message}");
    // A copy beside the record is its target.
    rename(&host, "copy.vhdx", "base.vhdx");
    assert_eq!(tree_of(&host)["machines"][0]["drives"][0]["disk"], json!(host.disk("base.vhdx")));
}

/// The next prune takes over what the record says, and writes it beside the disk.
#[test]
fn a_renamed_target_is_pruned_again() {
    let host = Host::new();
    prune(&host, "--keep-last=1", 0);
    rename(&host, "base.vhdx", "other.vhdx");
    run!("prune", host.folder(), "--all", "--yes").exits(0);
    let tree = tree_of(&host);
    assert_merged_into(&host, &tree, &host.disk("other.vhdx"));
    assert_eq!(problems(&tree, RECORD), [], "{tree:#}");
    assert!(host.disk("other.vhdx.vhdx-pruned").exists());
}

/// Any disk in the folder may be the target of a record that cannot be read.
#[test]
fn a_damaged_record_without_its_target_is_a_reason_to_keep_checkpoints() {
    let host = Host::new();
    prune(&host, "--name=before*", 0);
    rename(&host, "base.vhdx", "other.vhdx");
    let record = fs::read(host.disk(RECORD)).unwrap();
    fs::write(host.disk(RECORD), "x").unwrap();
    let done = prune(&host, "--all", 1);
    assert_eq!(done["kept"][0]["reason"], "damaged_record", "{done:#}");
    assert!(problem(&tree_of(&host), RECORD).0.contains("is not a readable record"));
    fs::write(host.disk(RECORD), record).unwrap();
    prune(&host, "--all", 0);
}

/// A copy of a target, with a copy of its record, is not the target.
#[test]
fn a_copy_with_its_record_does_not_replace_a_missing_disk() {
    let host = Host::new();
    prune(&host, "--all", 0);
    host.configure(&format!("Virtual Machines/{MACHINE}"), "server", "1", 0, "leaf_2.avhdx");
    run!("create", host.disk("mid_2.avhdx"), "--parent", host.disk("base.vhdx")).exits(0);
    run!("create", host.disk("leaf_2.avhdx"), "--parent", host.disk("mid_2.avhdx")).exits(0);
    run!("prune", host.folder(), "--all", "--yes").exits(0);
    host.configure(&format!("Virtual Machines/{MACHINE}"), "server", "1", 0, "base.vhdx");
    fs::copy(host.disk("base.vhdx"), host.disk("copy.vhdx")).unwrap();
    fs::copy(host.disk(RECORD), host.disk("copy.vhdx.vhdx-pruned")).unwrap();
    fs::remove_file(host.disk("base.vhdx")).unwrap();
    let tree = tree_of(&host);
    assert_eq!(tree["machines"][0]["drives"][0]["disk"], json!(null));
    let found = problems(&tree, &format!("{MACHINE}.vmcx"));
    assert!(found.iter().any(|(message, _)| message.contains("base.vhdx\"")), "{found:?}");
}
