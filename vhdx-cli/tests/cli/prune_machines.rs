//! A prune of the disks of machines, and what `tree` says about their configurations afterwards.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::run;
use crate::tree_machines::{FIRST, HOUR, Host};

/// Prunes a host, and returns the JSON document.
fn prune(host: &Host, selection: &str, code: i32) -> Value {
    run!("prune", host.folder(), "--yes", "--json", selection).exits(code).json()
}

/// Returns the message and the fix of each problem of a file.
fn problems(tree: &Value, file: &str) -> Vec<(String, String)> {
    let all = tree["problems"].as_array().unwrap().iter();
    let text = |problem: &Value, key: &str| problem[key].as_str().unwrap().to_owned();
    all.filter(|problem| text(problem, "path").ends_with(file))
        .map(|problem| (text(problem, "message"), text(problem, "fix")))
        .collect()
}

/// Returns the checkpoint of a disk.
fn checkpoint(tree: &Value, disk: &Path) -> Value {
    let mut disks = tree["disks"].as_array().unwrap().iter();
    disks.find(|of| of["path"] == json!(disk)).unwrap()["checkpoint"].clone()
}

#[test]
fn kept_checkpoints_keep_their_names_and_times() {
    let host = Host::new();
    prune(&host, "--keep-last=1", 0);
    let tree = run!("tree", host.folder(), "--json").exits(0).json();
    let kept = checkpoint(&tree, &host.disk("base.vhdx"));
    assert_eq!((&kept["names"], &kept["time"]), (&json!(["<script>"]), &json!(FIRST + HOUR)));
    assert_eq!((&kept["time_source"], &kept["is_changed"]), (&json!("configuration"), &json!(false)));
    let [(message, fix)] = &problems(&tree, "second.vmcx")[..] else { panic!("{tree:#}") };
    assert!(message.contains("mid.avhdx\", which a prune merged into"), "{message}");
    assert!(fix.contains("vhdx revert DISK --to") && fix.contains("base.vhdx"), "{fix}");
    let [(message, fix)] = &problems(&tree, "first.vmcx")[..] else { panic!("{tree:#}") };
    assert!(message.contains("a checkpoint that a prune deleted"), "{message}");
    assert!(fix.contains("Nothing needs this file"), "{fix}");
    assert_eq!(tree["problems"].as_array().unwrap().len(), 2, "{tree:#}");
    let of_machine = &tree["machines"][0];
    assert_eq!(of_machine["drives"][0]["disk"], json!(host.disk("leaf.avhdx")));
    assert_eq!(of_machine["checkpoints"][0]["disks"], json!([]));
    assert_eq!(of_machine["checkpoints"][1]["disks"], json!([host.disk("base.vhdx")]));
    // The same prune finds nothing more to do, and the checkpoint is found by its name.
    assert_eq!(prune(&host, "--keep-last=1", 0)["merges"], json!([]));
    let again = prune(&host, "--name=<script>", 0);
    assert_eq!(again["merges"][0]["into"], json!(host.disk("base.vhdx")), "{again:#}");
}

#[test]
fn a_machine_is_told_which_disk_has_its_state() {
    let host = Host::new();
    // Two prunes: the second one merges the target of the first.
    prune(&host, "--keep-last=1", 0);
    prune(&host, "--all", 0);
    let tree = run!("tree", host.folder(), "--json").exits(0).json();
    let machine = "282874FC-59D6-4F30-BC04-5FDD909C82E0.vmcx";
    let [(message, fix)] = &problems(&tree, machine)[..] else { panic!("{tree:#}") };
    assert!(message.contains("leaf.avhdx\", which a prune merged into"), "{message}");
    assert!(fix.starts_with("choose ") && fix.contains("base.vhdx"), "{fix}");
    for file in ["first.vmcx", "second.vmcx"] {
        let [(message, _)] = &problems(&tree, file)[..] else { panic!("{tree:#}") };
        assert!(message.contains("a checkpoint that a prune deleted"), "{message}");
    }
    assert_eq!(tree["problems"].as_array().unwrap().len(), 3, "{tree:#}");
    assert_eq!(tree["machines"][0]["drives"][0]["disk"], json!(host.disk("base.vhdx")));
    // The administrator follows the fix, and deletes the configurations.
    host.configure("Virtual Machines/282874FC-59D6-4F30-BC04-5FDD909C82E0", "server", "1", 0, "base.vhdx");
    for file in ["first", "second"] {
        fs::remove_file(host.path(&format!("Snapshots/{file}.vmcx"))).unwrap();
    }
    assert_eq!(run!("tree", host.folder(), "--json").exits(0).json()["problems"], json!([]));
}

#[test]
fn a_record_is_not_needed() {
    let host = Host::new();
    prune(&host, "--keep-last=1", 0);
    let record = host.disk("base.vhdx.vhdx-pruned");
    for damaged in ["", "my notes", "target x\n"] {
        fs::write(&record, damaged).unwrap();
        let tree = run!("tree", host.folder(), "--json").exits(0).json();
        let problems = problems(&tree, "second.vmcx");
        assert!(problems.iter().any(|(message, _)| message.contains("which was not found")), "{problems:#?}");
    }
}

/// A disk that depends on the newest found one may be in a folder that was not named.
#[test]
fn a_family_with_a_newer_disk_elsewhere_is_kept() {
    let elsewhere = tempfile::tempdir().unwrap();
    let hosts = [
        // The machine uses a disk that was not found.
        (|_: &Host| ()) as fn(&Host),
        // The configuration of the machine is elsewhere, too.
        |host| fs::remove_dir_all(host.path("Virtual Machines")).unwrap(),
        // The file was copied without its time.
        |host| crate::tree_machines::set_modified(&host.disk("mid.avhdx"), FIRST + 1000 * HOUR),
    ];
    for (number, change) in hosts.into_iter().enumerate() {
        let host = Host::new();
        change(&host);
        let moved = elsewhere.path().join(format!("{number}.avhdx"));
        fs::copy(host.disk("leaf.avhdx"), moved).unwrap();
        fs::remove_file(host.disk("leaf.avhdx")).unwrap();
        let done = prune(&host, "--all", 1);
        assert_eq!(done["merges"], json!([]), "{number}");
        assert_eq!(done["kept"][0]["reason"], "newer_disk_missing", "{number}: {done:#}");
        let message = done["kept"][0]["message"].as_str().unwrap();
        assert!(message.contains("a newer disk of its family was not found"), "{message}");
        // With its folder, nothing is kept.
        let all = run!("prune", host.folder(), elsewhere.path(), "--all", "--dry-run", "--json").json();
        assert_eq!(all["kept"], json!([]), "{number}: {all:#}");
        fs::remove_file(elsewhere.path().join(format!("{number}.avhdx"))).unwrap();
    }
}
