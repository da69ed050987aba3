//! A prune of the disks of machines, and what `tree` says about their configurations afterwards.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::run;
use crate::tree_machines::{FIRST, HOUR, Host};

/// Prunes a host, and returns the JSON document.
pub(crate) fn prune(host: &Host, selection: &str, code: i32) -> Value {
    run!("prune", host.folder(), "--yes", "--json", selection).exits(code).json()
}

pub(crate) fn tree_of(host: &Host) -> Value {
    run!("tree", host.folder(), "--json").exits(0).json()
}

/// Returns the message and the fix of each problem of a file.
pub(crate) fn problems(tree: &Value, file: &str) -> Vec<(String, String)> {
    let all = tree["problems"].as_array().unwrap().iter();
    let text = |problem: &Value, key: &str| problem[key].as_str().unwrap().to_owned();
    all.filter(|problem| text(problem, "path").ends_with(file))
        .map(|problem| (text(problem, "message"), text(problem, "fix")))
        .collect()
}

/// Returns the checkpoint of a disk.
pub(crate) fn checkpoint(tree: &Value, disk: &Path) -> Value {
    let mut disks = tree["disks"].as_array().unwrap().iter();
    disks.find(|of| of["path"] == json!(disk)).unwrap()["checkpoint"].clone()
}

#[test]
fn kept_checkpoints_keep_their_names_and_times() {
    let host = Host::new();
    prune(&host, "--keep-last=1", 0);
    let tree = tree_of(&host);
    let kept = checkpoint(&tree, &host.disk("base.vhdx"));
    assert_eq!((&kept["names"], &kept["time"]), (&json!(["<script>"]), &json!(FIRST + HOUR)));
    assert_eq!((&kept["time_source"], &kept["is_changed"]), (&json!("configuration"), &json!(false)));
    let [(message, fix)] = &problems(&tree, "second.vmcx")[..] else { panic!("{tree:#}") };
    assert!(message.contains("mid.avhdx\", which a prune merged into"), "{message}");
    assert!(fix.contains("vhdx revert DISK --to") && fix.contains("base.vhdx"), "{fix}");
    let [(message, fix)] = &problems(&tree, "first.vmcx")[..] else { panic!("{tree:#}") };
    assert!(message.contains("a checkpoint that a prune deleted"), "{message}");
    assert!(fix.contains("Otherwise you can delete this file"), "{fix}");
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
    let tree = tree_of(&host);
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
    // Every prune says so until the machine is changed: the answer of the first one may be lost.
    let again = prune(&host, "--all", 0);
    assert_eq!(again["machines_to_change"][0]["use"], json!(host.disk("base.vhdx")), "{again:#}");
    let text = run!("prune", host.folder(), "--all", "--yes").exits(0).text();
    assert!(text.lines().any(|line| line.starts_with("Next: ") && line.contains("leaf.avhdx")), "{text}");
    // The administrator follows the fix, and deletes the configurations.
    host.configure("Virtual Machines/282874FC-59D6-4F30-BC04-5FDD909C82E0", "server", "1", 0, "base.vhdx");
    for file in ["first", "second"] {
        fs::remove_file(host.path(&format!("Snapshots/{file}.vmcx"))).unwrap();
    }
    assert_eq!(tree_of(&host)["problems"], json!([]));
}

#[test]
fn a_record_is_not_needed() {
    let host = Host::new();
    prune(&host, "--keep-last=1", 0);
    let record = host.disk("base.vhdx.vhdx-pruned");
    for damaged in ["", "my notes", "target x\n"] {
        fs::write(&record, damaged).unwrap();
        let tree = tree_of(&host);
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
        assert_eq!(done["kept"][0]["reason"], "machine_not_found", "{number}: {done:#}");
        let message = done["kept"][0]["message"].as_str().unwrap();
        assert!(
            message.contains("was not found") && message.contains("depend on this checkpoint"),
            "{message}"
        );
        // With its folder, nothing is kept.
        let all = run!("prune", host.folder(), elsewhere.path(), "--all", "--dry-run", "--json").json();
        assert_eq!(all["kept"], json!([]), "{number}: {all:#}");
        fs::remove_file(elsewhere.path().join(format!("{number}.avhdx"))).unwrap();
    }
}

/// A file that was first a target has another state since. Only the configurations from before mean the deleted one.
#[test]
fn a_deleted_checkpoint_stays_deleted_when_its_file_is_merged() {
    let host = Host::new();
    prune(&host, "--name=<script>", 0);
    assert!(host.disk("mid.avhdx.vhdx-pruned").exists());
    prune(&host, "--name=before*", 0);
    assert!(!host.disk("mid.avhdx.vhdx-pruned").exists(), "its file is gone");
    let tree = tree_of(&host);
    for file in ["first.vmcx", "second.vmcx"] {
        let [(message, _)] = &problems(&tree, file)[..] else { panic!("{tree:#}") };
        assert!(message.contains("a checkpoint that a prune deleted"), "{message}");
    }
    assert_eq!(tree["machines"][0]["drives"][0]["disk"], json!(host.disk("base.vhdx")));
}

/// The clock of the host may have been ahead of that of the prune.
#[test]
fn a_checkpoint_from_the_future_stays_deleted() {
    let host = Host::new();
    let tomorrow = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 24 * HOUR;
    host.configure("Snapshots/first", "before", "1f", tomorrow, "base.vhdx");
    assert_ne!(prune(&host, "--name=before", 0)["merges"], json!([]));
    assert_eq!(prune(&host, "--name=before", 0)["merges"], json!([]));
    assert_eq!(checkpoint(&tree_of(&host), &host.disk("base.vhdx"))["names"], json!(["<script>"]));
    // The same with a target that has no children any more.
    let host = Host::new();
    host.configure("Snapshots/second", "<script>", "2f", tomorrow, "mid.avhdx");
    prune(&host, "--name=<script>", 0);
    run!("revert", host.disk("mid.avhdx"), "--to", "<script>", "--dry-run").exits(2);
    prune(&host, "--name=before*", 0);
    let message = &problems(&tree_of(&host), "second.vmcx")[0].0;
    assert!(message.contains("a checkpoint that a prune deleted"), "{message}");
}

/// The configuration of a machine names the disk that it uses now, however old the machine is.
#[test]
fn a_machine_that_was_changed_after_a_prune_is_told_again() {
    for created in [0, FIRST - 1000 * HOUR] {
        let host = Host::new();
        let machine = "Virtual Machines/282874FC-59D6-4F30-BC04-5FDD909C82E0";
        prune(&host, "--name=<script>", 0);
        host.configure(machine, "server", "1", created, "mid.avhdx");
        prune(&host, "--name=before*", 0);
        let again = prune(&host, "--all", 0);
        assert_eq!(again["machines_to_change"][0]["use"], json!(host.disk("base.vhdx")), "{again:#}");
    }
}

/// A merge would replace the record, which can perhaps be restored.
#[test]
fn a_damaged_record_is_a_reason_to_keep_checkpoints() {
    let host = Host::new();
    prune(&host, "--name=before*", 0);
    let record = host.disk("base.vhdx.vhdx-pruned");
    fs::write(&record, "x").unwrap();
    let done = prune(&host, "--all", 1);
    assert_eq!(done["kept"][0]["reason"], "damaged_record", "{done:#}");
    assert_eq!(fs::read_to_string(&record).unwrap(), "x");
    let twice = run!("tree", host.folder(), host.folder(), "--json").exits(0).json();
    assert_eq!(problems(&twice, "base.vhdx.vhdx-pruned").len(), 1, "{twice:#}");
    fs::remove_file(record).unwrap();
    prune(&host, "--all", 0);
}

/// A command that selects by the name of a file deletes one state, and not the next ones when it runs again.
#[test]
fn a_file_name_means_the_state_that_was_frozen_in_it() {
    for is_damaged in [false, true] {
        let host = Host::new();
        fs::remove_dir_all(host.path("Snapshots")).unwrap();
        fs::remove_dir_all(host.path("Virtual Machines")).unwrap();
        run!("create", host.disk("new.avhdx"), "--parent", host.disk("leaf.avhdx")).exits(0);
        assert_eq!(prune(&host, "--name=base.vhdx", 0)["selected"].as_array().unwrap().len(), 1);
        if is_damaged {
            fs::write(host.disk("base.vhdx.vhdx-pruned"), "x").unwrap();
            let message = &problems(&tree_of(&host), "base.vhdx.vhdx-pruned")[0].0;
            assert!(message.contains("not a readable record or journal of a prune"), "{message}");
        }
        assert_eq!(prune(&host, "--name=base.vhdx", 0)["selected"], json!([]));
        let selected = prune(&host, "--name=mid.avhdx", 0)["selected"].clone();
        assert_eq!(selected.as_array().unwrap().len(), usize::from(!is_damaged), "{selected:#}");
        assert_eq!(prune(&host, "--name=mid.avhdx", 0)["selected"], json!([]));
    }
}

/// A newer disk is named like the ones that no configuration names.
#[test]
fn a_disk_that_a_missing_one_may_depend_on_is_kept() {
    let host = Host::new();
    fs::remove_dir_all(host.path("Snapshots")).unwrap();
    let machine = "Virtual Machines/282874FC-59D6-4F30-BC04-5FDD909C82E0";
    host.configure(machine, "server", "1", 0, "leaf_6E7F0F5A-6EDE-4C2B-9F43-1E5A8E1A5B0C.avhdx");
    let done = prune(&host, "--all", 1);
    let kept: Vec<&str> =
        done["kept"].as_array().unwrap().iter().map(|kept| kept["reason"].as_str().unwrap()).collect();
    // The missing disk can depend on any ancestor of the leaf.
    assert_eq!(kept, ["newer_disk_missing", "newer_disk_missing"], "{done:#}");
    assert_eq!(done["selected"], json!([]), "{done:#}");
}

/// The newest disk of a chain moves to another file. A disk with children must not be started from there either.
#[test]
fn a_machine_that_uses_a_disk_with_children_keeps_it() {
    let host = Host::new();
    let machine = "Virtual Machines/282874FC-59D6-4F30-BC04-5FDD909C82E0";
    host.configure(machine, "server", "1", 0, "mid.avhdx");
    let done = prune(&host, "--all", 0);
    assert_eq!(done["merges"], json!([]), "{done:#}");
    for kept in done["kept"].as_array().unwrap() {
        assert_eq!(kept["reason"], "used_by_machine");
    }
}

/// The configuration is beside the folder of disks, which is the only one that is named.
#[test]
fn a_folder_of_disks_is_pruned_with_the_configurations_beside_it() {
    let host = Host::new();
    let disks = host.path("Virtual Hard Disks");
    let machine = "Virtual Machines/282874FC-59D6-4F30-BC04-5FDD909C82E0";
    host.configure(machine, "server", "1", 0, "mid.avhdx");
    let plan = run!("prune", &disks, "--dry-run", "--json", "--all").exits(0).json();
    assert_eq!(plan["merges"], json!([]), "{plan:#}");
    host.configure(machine, "server", "1", 0, "leaf.avhdx");
    let text = run!("prune", &disks, "--dry-run", "--all").exits(0).text();
    assert!(text.contains("machine \"server\""), "{text}");
    assert!(!text.contains("no configuration of a machine was found"), "{text}");
    fs::remove_dir_all(host.path("Virtual Machines")).unwrap();
    let text = run!("prune", &disks, "--dry-run", "--all").exits(0).text();
    assert!(text.contains("\nno configuration of a machine was found"), "{text}");
}

/// After an older checkpoint was applied, nothing depends on the disk that a newer one froze.
#[test]
fn a_checkpoint_without_children_can_be_applied() {
    let host = Host::new();
    fs::remove_file(host.disk("leaf.avhdx")).unwrap();
    run!("create", host.disk("new.avhdx"), "--parent", host.disk("base.vhdx")).exits(0);
    let machine = "Virtual Machines/282874FC-59D6-4F30-BC04-5FDD909C82E0";
    host.configure(machine, "server", "1", 0, "new.avhdx");
    let json =
        run!("revert", host.disk("new.avhdx"), "--to", "<script>", "--dry-run", "--json").exits(0).json();
    assert_eq!(json["checkpoint"], json!(host.disk("mid.avhdx")));
}

/// A machine that uses a disk with children gets a child of it. That disk must stay.
#[test]
fn a_checkpoint_that_is_the_disk_itself_must_stay() {
    let host = Host::new();
    let text = run!("revert", host.disk("mid.avhdx"), "--to", "<script>").exits(0).text();
    let line =
        text.lines().find(|line| line.starts_with("Do not delete")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("mid.avhdx") && line.contains("the new disk"), "{line}");
    assert!(!text.contains("Delete it only"), "{text}");
}

/// A name is shown without control characters, and found as it is shown.
#[test]
fn a_checkpoint_is_found_by_the_name_that_is_shown() {
    let host = Host::new();
    let shown = r"Before \u{1b}[31mupdate\n";
    let json = run!("revert", host.disk("leaf.avhdx"), "--to", shown, "--dry-run", "--json").exits(0).json();
    assert_eq!(json["checkpoint"], json!(host.disk("base.vhdx")));
    run!("revert", host.disk("leaf.avhdx"), "--to", "before \\u{1b}", "--dry-run").exits(2);
}
