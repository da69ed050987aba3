//! What `tree`, `report` and `prune` say after a revert has deleted the old disk.

use std::fs;

use serde_json::{Value, json};

use crate::prune_machines::{checkpoint, problems, prune, tree_of};
use crate::run;
use crate::tree_machines::Host;

const MACHINE: &str = "282874FC-59D6-4F30-BC04-5FDD909C82E0";

/// Reverts a disk to a checkpoint, and deletes it.
fn revert(host: &Host, old: &str, to: &str, new: &str) -> Value {
    let (old, new) = (host.disk(old), host.disk(new));
    run!("revert", old, "--to", to, "--delete-old", "--output", new, "--json").exits(0).json()
}

/// Checks that the only problem of the machine is that it must use a disk, which it is joined to.
fn assert_must_use(host: &Host, new: &str) -> Value {
    let tree = tree_of(host);
    let new = host.disk(new);
    let [(message, fix)] = &problems(&tree, &format!("{MACHINE}.vmcx"))[..] else { panic!("{tree:#}") };
    let expected = format!("which a revert deleted: the machine must use \"{}\" instead", new.display());
    assert!(message.contains("leaf.avhdx\", ") && message.ends_with(&expected), "{message}");
    let choose = format!("choose \"{}\" in the settings of the machine", new.display());
    assert!(fix.starts_with(&choose), "{fix}");
    assert_eq!(tree["machines"][0]["drives"][0]["disk"], json!(new));
    tree
}

#[test]
fn a_machine_is_told_which_disk_replaces_the_deleted_one() {
    let host = Host::new();
    let plan = run!(
        "revert",
        host.disk("leaf.avhdx"),
        "--to",
        "<script>",
        "--delete-old",
        "--output",
        host.disk("new.avhdx"),
        "--dry-run"
    );
    let text = plan.exits(0).text();
    let record = host.disk("new.avhdx.vhdx-pruned");
    assert!(text.contains(&format!("would leave: {}", record.display())), "{text}");
    assert!(!record.exists());
    let done = revert(&host, "leaf.avhdx", "<script>", "new.avhdx");
    assert_eq!(done["record"], json!(record));
    let tree = assert_must_use(&host, "new.avhdx");
    assert_eq!(tree["problems"].as_array().unwrap().len(), 1, "{tree:#}");
    let names = ["first", "second"].map(|file| host.path(&format!("Snapshots/{file}.vmcx")));
    for (number, path) in names.iter().enumerate() {
        assert_eq!(tree["machines"][0]["checkpoints"][number]["config"], json!(path));
    }
    assert_eq!(checkpoint(&tree, &host.disk("mid.avhdx"))["names"], json!(["<script>"]));
    let report = run!("report", host.folder(), "--json").json();
    assert!(report.to_string().contains("which a revert deleted"), "{report:#}");
    // The machine uses the new disk, as if its configuration named it.
    let plan = run!("prune", host.folder(), "--all", "--dry-run", "--json").exits(0).json();
    assert_eq!((&plan["kept"], plan["selected"].as_array().unwrap().len()), (&json!([]), 2), "{plan:#}");
    assert_eq!(plan["machines_to_change"][0]["use"], json!(host.disk("new.avhdx")));
    // The administrator follows the fix.
    host.configure(&format!("Virtual Machines/{MACHINE}"), "server", "1", 0, "new.avhdx");
    assert_eq!(tree_of(&host)["problems"], json!([]));
}

#[test]
fn a_revert_that_keeps_the_old_disk_leaves_no_record() {
    let host = Host::new();
    let new = host.disk("new.avhdx");
    let done = run!("revert", host.disk("leaf.avhdx"), "--to", "<script>", "--output", &new, "--json");
    assert_eq!(done.exits(0).json()["record"], Value::Null);
    assert!(!host.disk("new.avhdx.vhdx-pruned").exists());
}

#[test]
fn the_last_of_several_reverts_counts() {
    let host = Host::new();
    revert(&host, "leaf.avhdx", "<script>", "new.avhdx");
    revert(&host, "new.avhdx", "base.vhdx", "again.avhdx");
    assert!(!host.disk("new.avhdx.vhdx-pruned").exists(), "its disk is gone");
    assert_must_use(&host, "again.avhdx");
    // The machine was changed in between.
    host.configure(&format!("Virtual Machines/{MACHINE}"), "server", "1", 0, "new.avhdx");
    let tree = tree_of(&host);
    let [(message, _)] = &problems(&tree, &format!("{MACHINE}.vmcx"))[..] else { panic!("{tree:#}") };
    assert!(message.contains("new.avhdx\", which a revert deleted") && message.contains("again.avhdx"));
}

/// The merge target has the state of the new disk.
#[test]
fn a_prune_after_a_revert_leads_the_machine_to_its_target() {
    let host = Host::new();
    revert(&host, "leaf.avhdx", "<script>", "new.avhdx");
    prune(&host, "--name=<script>", 0);
    assert!(!host.disk("new.avhdx").exists());
    assert_must_use(&host, "mid.avhdx");
    prune(&host, "--all", 0);
    let tree = assert_must_use(&host, "base.vhdx");
    for file in ["first.vmcx", "second.vmcx"] {
        assert!(problems(&tree, file)[0].0.contains("a checkpoint that a prune deleted"), "{tree:#}");
    }
}

/// The newest state was merged into a disk that a revert then deleted.
#[test]
fn a_revert_after_a_prune_leads_the_machine_to_the_new_disk() {
    let host = Host::new();
    prune(&host, "--name=<script>", 0);
    revert(&host, "mid.avhdx", "base.vhdx", "new.avhdx");
    assert!(!host.disk("mid.avhdx.vhdx-pruned").exists());
    assert_must_use(&host, "new.avhdx");
}

/// The record leads only machines to the new disk. It has not the state of a checkpoint of the old one.
#[test]
fn a_checkpoint_of_the_deleted_disk_is_missing() {
    let host = Host::new();
    revert(&host, "leaf.avhdx", "<script>", "new.avhdx");
    host.configure("Snapshots/third", "third", "3f", 0, "leaf.avhdx");
    let tree = assert_must_use(&host, "new.avhdx");
    let (message, _) = &problems(&tree, "third.vmcx")[0];
    assert!(message.contains("leaf.avhdx\", which was not found"), "{message}");
    assert_eq!(tree["machines"][0]["checkpoints"].as_array().unwrap().len(), 3);
    assert!(!host.text().contains("checkpoint \"third\""));
}

/// Without the old disk, the record counts, even if the new disk was renamed. With it, the record says nothing.
#[test]
fn a_record_says_nothing_about_a_disk_that_exists() {
    let host = Host::new();
    let old = host.path("saved.avhdx");
    fs::copy(host.disk("leaf.avhdx"), &old).unwrap();
    revert(&host, "leaf.avhdx", "<script>", "new.avhdx");
    fs::rename(host.disk("new.avhdx"), host.disk("renamed.avhdx")).unwrap();
    assert_must_use(&host, "renamed.avhdx");
    fs::rename(host.disk("renamed.avhdx"), host.disk("new.avhdx")).unwrap();
    fs::rename(old, host.disk("leaf.avhdx")).unwrap();
    let tree = tree_of(&host);
    assert_eq!(tree["machines"][0]["drives"][0]["disk"], json!(host.disk("leaf.avhdx")));
    assert_eq!(problems(&tree, &format!("{MACHINE}.vmcx")), []);
}

/// The name of the record is too long, but not that of the new disk.
#[cfg(unix)]
#[test]
fn without_a_record_the_old_disk_is_not_deleted() {
    let host = Host::new();
    let new = host.disk(&format!("{}.avhdx", "n".repeat(240)));
    let done = run!("revert", host.disk("leaf.avhdx"), "--to", "<script>", "--delete-old", "--output", &new)
        .exits(6);
    assert!(new.exists() && host.disk("leaf.avhdx").exists());
    assert!(done.stderr.contains("leaf.avhdx was not deleted, because the record"), "{}", done.stderr);
}

/// The record of a disk that was renamed may lie there.
#[test]
fn the_record_of_another_disk_is_not_replaced() {
    let host = Host::new();
    let record = host.disk("new.avhdx.vhdx-pruned");
    fs::write(&record, "x").unwrap();
    let new = host.disk("new.avhdx");
    let refused = run!("revert", host.disk("leaf.avhdx"), "--to", "<script>", "--output", &new).exits(6);
    assert!(refused.stderr.contains("new.avhdx.vhdx-pruned") && refused.stderr.contains("--output"));
    assert!(!new.exists() && fs::read(&record).unwrap() == b"x");
}
