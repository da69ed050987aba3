//! Files that were restored from a backup made before a prune.

use std::fs::{self, File};
use std::path::Path;

use serde_json::json;

use crate::prune_machines::{checkpoint, problems, prune, tree_of};
use crate::run;
use crate::tree_machines::{FIRST, Host};

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
    let modified = fs::metadata(from).unwrap().modified().unwrap();
    File::options().append(true).open(to).unwrap().set_modified(modified).unwrap();
}

fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

/// Files from a backup have the states from before the prune. The record that was left beside them does not count.
#[test]
fn restored_files_are_what_their_configurations_say() {
    let (host, backup) = (Host::new(), tempfile::tempdir().unwrap());
    let names = ["base.vhdx", "mid.avhdx", "leaf.avhdx"];
    names.iter().for_each(|name| copy(&host.disk(name), &backup.path().join(name)));
    for prunes in [&["before*"][..], &["<script>", "before*"], &["before*", "<script>"]] {
        prunes.iter().for_each(|name| drop(prune(&host, &format!("--name={name}"), 0)));
        names.iter().for_each(|name| copy(&backup.path().join(name), &host.disk(name)));
        let tree = tree_of(&host);
        assert_eq!(tree["problems"], json!([]), "{prunes:?}");
        let first = checkpoint(&tree, &host.disk("base.vhdx"));
        assert_eq!((&first["names"], &first["time"]), (&json!(["before \u{1b}[31mupdate\n"]), &json!(FIRST)));
    }
}

/// The record says which prune merged the parent. The present disks do not need the restored file.
#[test]
fn a_file_from_a_backup_made_before_a_prune_is_explained() {
    let (host, backup) = (Host::new(), tempfile::tempdir().unwrap());
    let names = ["base.vhdx", "mid.avhdx", "leaf.avhdx"];
    names.iter().for_each(|name| copy(&host.disk(name), &backup.path().join(name)));
    prune(&host, "--all", 0);
    let restored = |name: &str| {
        copy(&backup.path().join(name), &host.disk(name));
        let tree = tree_of(&host);
        let found = problems(&tree, name);
        let lost = found.into_iter().find(|(message, _)| message.starts_with("lacks its parent")).unwrap();
        fs::remove_file(host.disk(name)).unwrap();
        lost
    };
    let (message, fix) = restored("leaf.avhdx");
    let expected = format!(
        "lacks its parent {}: a prune merged the parent into {} and deleted it",
        quoted(&host.disk("mid.avhdx")),
        quoted(&host.disk("base.vhdx"))
    );
    assert!(message.starts_with(&expected), "{message}");
    let time = ". Time of the prune: 20";
    assert!(message.contains(time) && message.ends_with(" UTC"), "{message}");
    let kept_disks = "The disks that the prune kept do not need a restored file";
    for part in [kept_disks, "to another folder", "Use one backup made before that prune", "do not link"] {
        assert!(fix.contains(part), "{fix}");
    }
    // The file itself was merged, too.
    assert!(fix.contains(&format!("choose {} in its settings", quoted(&host.disk("base.vhdx")))), "{fix}");

    let (message, fix) = restored("mid.avhdx");
    assert!(message.contains("into the parent") && message.contains("content is different now"), "{message}");
    assert!(fix.contains("do not link this file to") && !fix.contains("choose"), "{fix}");

    // The parent is known by its name, although its GUID is not.
    let older = vhdx_testkit::Image {
        parent_locator: Some(vec![
            ("parent_linkage".to_owned(), format!("{{{}}}", uuid::Uuid::from_u128(77))),
            ("relative_path".to_owned(), r".\mid.avhdx".to_owned()),
        ]),
        ..crate::images::images().leaf
    };
    older.sparse().write_to(&backup.path().join("leaf.avhdx")).unwrap();
    assert!(restored("leaf.avhdx").0.contains("which was probably the parent"));
}

/// A disk that the prune did not find can need the state that the target has now.
#[test]
fn a_disk_that_a_prune_did_not_find_is_not_lost() {
    let (host, elsewhere) = (Host::new(), tempfile::tempdir().unwrap());
    let hidden = elsewhere.path().join("other.avhdx");
    run!("create", host.disk("other.avhdx"), "--parent", host.disk("mid.avhdx")).exits(0);
    copy(&host.disk("other.avhdx"), &hidden);
    fs::remove_file(host.disk("other.avhdx")).unwrap();
    let state = elsewhere.path().join("state.vhdx");
    run!("merge", host.disk("mid.avhdx"), "--output", &state).exits(0);
    prune(&host, "--name=before*", 0);
    let other = host.disk("other.avhdx");
    copy(&hidden, &other);
    let found = problems(&tree_of(&host), "other.avhdx");
    let (_, fix) = found.iter().find(|(message, _)| message.contains("and deleted it")).unwrap();
    assert!(fix.contains("If this file was not restored, keep it"), "{fix}");
    assert!(fix.contains("has exactly the content that") && fix.contains("link only the copies"), "{fix}");
    // The administrator links copies. The disk reads as before the prune.
    let copies = tempfile::tempdir().unwrap();
    let (base, leaf) = (copies.path().join("base.vhdx"), copies.path().join("other.avhdx"));
    copy(&host.disk("base.vhdx"), &base);
    copy(&other, &leaf);
    run!("reparent", &leaf, "--parent", &base, "--ignore-id-mismatch").exits(0);
    run!("compare", &leaf, &state).exits(0);
    // A machine has used the target: now it has other data.
    let record = fs::read_to_string(host.disk("base.vhdx.vhdx-pruned")).unwrap();
    let guid = record.lines().next().unwrap().strip_prefix("target ").unwrap().to_owned();
    let changed = record.replacen(&guid, &uuid::Uuid::from_u128(5).to_string(), 1);
    fs::write(host.disk("base.vhdx.vhdx-pruned"), changed).unwrap();
    let found = problems(&tree_of(&host), "other.avhdx");
    let (_, fix) = found.iter().find(|(message, _)| message.contains("and deleted it")).unwrap();
    assert!(fix.contains("do not link this file") && !fix.contains("link only the copies"), "{fix}");
}

/// The whole chain must come from one backup.
#[test]
fn a_chain_that_was_restored_in_part_needs_its_other_files() {
    let (host, backup) = (Host::new(), tempfile::tempdir().unwrap());
    let names = ["base.vhdx", "mid.avhdx", "leaf.avhdx"];
    names.iter().for_each(|name| copy(&host.disk(name), &backup.path().join(name)));
    prune(&host, "--all", 0);
    ["base.vhdx", "leaf.avhdx"].iter().for_each(|name| copy(&backup.path().join(name), &host.disk(name)));
    let found = problems(&tree_of(&host), "leaf.avhdx");
    let (_, fix) = found.iter().find(|(message, _)| message.contains("which a prune deleted")).unwrap();
    let base = quoted(&host.disk("base.vhdx"));
    let mid = quoted(&host.disk("mid.avhdx"));
    assert!(fix.starts_with(&format!("restore {mid} from the backup of {base}")), "{fix}");
    let [(message, fix)] = &problems(&tree_of(&host), "base.vhdx")[..] else { panic!() };
    assert!(message.contains(&format!("is an older copy: a prune merged {mid} into this file")), "{message}");
    assert!(fix.contains(&format!("restore {mid} from the backup of this copy to the same place")), "{fix}");
    // The administrator does that.
    copy(&backup.path().join("mid.avhdx"), &host.disk("mid.avhdx"));
    for file in ["base.vhdx", "leaf.avhdx"] {
        assert_eq!(problems(&tree_of(&host), file), [], "{file}");
    }
    run!("check", host.disk("leaf.avhdx"), "--chain").exits(0);
}

/// A machine changed the target after the prune, so the prune is not the cause.
#[test]
fn a_target_that_was_changed_after_a_prune_is_no_pruned_parent() {
    let host = Host::new();
    prune(&host, "--name=before*", 0);
    let record = fs::read_to_string(host.disk("base.vhdx.vhdx-pruned")).unwrap();
    let disk = record.lines().find_map(|line| line.strip_prefix("disk ")).unwrap();
    let images = crate::images::images();
    let changed = vhdx_testkit::Image { data_write_guid: uuid::Uuid::from_u128(5), ..images.base };
    assert_eq!(changed.virtual_disk_id.to_string(), disk);
    changed.sparse().write_to(&host.disk("base.vhdx")).unwrap();
    let found = problems(&tree_of(&host), "leaf.avhdx");
    assert!(found.iter().any(|(message, _)| message.contains("no file that could be read")), "{found:#?}");
}

/// A kept checkpoint that the prune only relinked is restored over the relinked file.
#[test]
fn a_restored_file_on_which_disks_depend_is_needed() {
    let (host, backup) = (Host::new(), tempfile::tempdir().unwrap());
    run!("create", host.disk("new.avhdx"), "--parent", host.disk("leaf.avhdx")).exits(0);
    copy(&host.disk("leaf.avhdx"), &backup.path().join("leaf.avhdx"));
    prune(&host, "--name=before*", 0);
    let pruned = backup.path().join("pruned.vhdx");
    run!("merge", host.disk("new.avhdx"), "--output", &pruned).exits(0);
    copy(&backup.path().join("leaf.avhdx"), &host.disk("leaf.avhdx"));
    let found = problems(&tree_of(&host), "leaf.avhdx");
    let (_, fix) = found.iter().find(|(message, _)| message.contains("and deleted it")).unwrap();
    assert!(fix.starts_with("Other disks here depend on this file, so do not delete it"), "{fix}");
    assert!(!fix.contains("do not need"), "{fix}");
    // The fix is right: linked to the target, the disks read as before.
    run!("reparent", host.disk("leaf.avhdx"), "--parent", host.disk("base.vhdx"), "--ignore-id-mismatch")
        .exits(0);
    run!("compare", host.disk("new.avhdx"), &pruned).exits(0);
}

/// A copy of the machine in another folder has the same GUIDs and names, and was not pruned.
#[test]
fn a_prune_is_not_the_cause_in_another_folder() {
    let host = Host::new();
    let copies = host.path("copy/Virtual Hard Disks");
    fs::create_dir_all(&copies).unwrap();
    for name in ["base.vhdx", "leaf.avhdx"] {
        copy(&host.disk(name), &copies.join(name));
    }
    // The copy has been in use since, so it is no longer a duplicate.
    let leaf =
        vhdx_testkit::Image { data_write_guid: uuid::Uuid::from_u128(9), ..crate::images::images().leaf };
    leaf.sparse().write_to(&copies.join("leaf.avhdx")).unwrap();
    run!("prune", host.path("Virtual Hard Disks"), "--all", "--yes", "--any-extension").exits(0);
    let tree = tree_of(&host);
    let of_copy: Vec<_> = tree["problems"].as_array().unwrap().iter().collect();
    let lost = of_copy.iter().find(|problem| problem["path"] == json!(copies.join("leaf.avhdx"))).unwrap();
    let (message, fix) = (lost["message"].as_str().unwrap(), lost["fix"].as_str().unwrap());
    assert!(message.contains("no file that could be read here") && !message.contains("prune"), "{message}");
    assert!(fix.starts_with("find an unchanged copy") && !fix.contains("in its settings"), "{fix}");
}

/// Nothing depends on the target, so only the record shows that data is missing.
#[test]
fn an_old_copy_over_a_merge_target_is_a_problem() {
    let (host, backup) = (Host::new(), tempfile::tempdir().unwrap());
    let old = backup.path().join("base.vhdx");
    copy(&host.disk("base.vhdx"), &old);
    prune(&host, "--all", 0);
    copy(&old, &host.disk("base.vhdx"));
    let found = problems(&tree_of(&host), "base.vhdx");
    let (message, fix) = found.iter().find(|(message, _)| message.contains("is an older copy")).unwrap();
    for name in ["mid.avhdx", "leaf.avhdx"] {
        assert!(message.contains(&quoted(&host.disk(name))), "{message}");
    }
    assert!(fix.starts_with("keep all files as they are, and do not start a virtual machine"), "{fix}");
    let report = run!("report", host.folder(), "--json").exits(0).json();
    let findings = report["findings"].as_array().unwrap();
    assert!(
        findings.iter().any(|finding| finding["kind"] == "orphan" && finding["severity"] == "critical"),
        "{report:#}"
    );
}

/// The whole chain was restored, and the folder is given by a relative path.
#[test]
fn a_chain_that_was_restored_as_a_whole_is_no_problem_by_any_path() {
    let (folder, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join("t").join(name).components().collect::<std::path::PathBuf>();
    fs::create_dir_all(at("Tpl")).unwrap();
    fs::create_dir_all(at("vm")).unwrap();
    crate::images::images().base.sparse().write_to(&at("Tpl/base.vhdx")).unwrap();
    run!("create", at("vm/m.avhdx"), "--parent", at("Tpl/base.vhdx")).exits(0);
    run!("create", at("vm/l.avhdx"), "--parent", at("vm/m.avhdx")).exits(0);
    let names = ["Tpl/base.vhdx", "vm/m.avhdx", "vm/l.avhdx"];
    let saved = |name: &str| backup.path().join(name.replace('/', "-"));
    names.iter().for_each(|name| copy(&at(name), &saved(name)));
    let vhdx = |args: &[&str]| {
        let mut command = crate::run::command();
        crate::run::ran(crate::run::output(command.current_dir(folder.path()).args(args)))
    };
    vhdx(&["prune", "t", "--all", "--yes"]).exits(0);
    names.iter().for_each(|name| copy(&saved(name), &at(name)));
    for roots in ["t", "t/Tpl"] {
        let tree = vhdx(&["tree", roots, "--json"]).exits(0).json();
        let problems = tree["problems"].as_array().unwrap();
        assert!(
            !problems.iter().any(|of| of["message"].as_str().unwrap().contains("older copy")),
            "{tree:#}"
        );
    }
}

/// A copy from before two prunes needs the files that both deleted, and nothing is merged into it before.
#[test]
fn an_old_copy_needs_the_files_of_all_later_prunes() {
    let (host, backup) = (Host::new(), tempfile::tempdir().unwrap());
    let old = backup.path().join("base.vhdx");
    copy(&host.disk("base.vhdx"), &old);
    prune(&host, "--name=before*", 0);
    prune(&host, "--name=<script>", 0);
    copy(&old, &host.disk("base.vhdx"));
    let found = problems(&tree_of(&host), "base.vhdx");
    let (message, _) = found.iter().find(|(message, _)| message.contains("is an older copy")).unwrap();
    for name in ["mid.avhdx", "leaf.avhdx"] {
        assert!(message.contains(&quoted(&host.disk(name))), "{message}");
    }
    run!("create", host.disk("n1.avhdx"), "--parent", host.disk("base.vhdx")).exits(0);
    run!("create", host.disk("n2.avhdx"), "--parent", host.disk("n1.avhdx")).exits(0);
    let done = prune(&host, "--all", 1);
    assert_eq!((&done["merges"], &done["kept"][0]["reason"]), (&json!([]), &json!("older_copy")), "{done:#}");
}

/// A new file has the name of a file that a prune deleted.
#[test]
fn a_name_alone_does_not_prove_what_a_prune_did() {
    let host = Host::new();
    fs::remove_dir_all(host.path("Snapshots")).unwrap();
    fs::remove_dir_all(host.path("Virtual Machines")).unwrap();
    prune(&host, "--name=base.vhdx", 0);
    let (c1, mid, k) = (host.disk("c1.avhdx"), host.disk("mid.avhdx"), host.disk("k.avhdx"));
    fs::remove_file(host.disk("leaf.avhdx")).unwrap();
    run!("create", &c1, "--parent", host.disk("base.vhdx")).exits(0);
    run!("create", &mid, "--parent", &c1).exits(0);
    run!("create", &k, "--parent", &mid).exits(0);
    run!("create", host.disk("c2.avhdx"), "--parent", &c1).exits(0);
    fs::remove_file(&mid).unwrap();
    let found = problems(&tree_of(&host), "k.avhdx");
    let (_, fix) = found.iter().find(|(message, _)| message.contains("was probably the parent")).unwrap();
    assert!(!fix.contains("in its settings instead"), "{fix}");
    let done = prune(&host, "--all", 1);
    assert_eq!(done["merges"], json!([]), "{done:#}");
    assert!(done["kept"].as_array().unwrap().iter().all(|kept| kept["reason"] == "missing_link"), "{done:#}");
}
