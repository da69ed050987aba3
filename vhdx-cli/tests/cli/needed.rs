//! What was not found may need a disk: `prune` keeps it, and `tree` does not advise to move it away.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::images::images;
use crate::prune_machines::prune;
use crate::run;
use crate::tree_machines::Host;

fn create(disk: &Path, parent: &Path) {
    run!("create", disk, "--parent", parent).exits(0);
}

/// The missing disk can depend on any disk of its family. When it is found again, its chain must be whole.
#[test]
fn the_ancestors_of_a_missing_link_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let disk = |name: &str| folder.path().join(name);
    images().base.sparse().write_to(&disk("base.vhdx")).unwrap();
    for (child, parent) in [
        ("base_1.avhdx", "base.vhdx"),
        ("base_2.avhdx", "base_1.avhdx"),
        ("base_3.avhdx", "base_2.avhdx"),
        ("base_4.avhdx", "base_1.avhdx"),
    ] {
        create(&disk(child), &disk(parent));
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let hidden = elsewhere.path().join("base_2.avhdx");
    fs::rename(disk("base_2.avhdx"), &hidden).unwrap();
    let plan = run!("prune", folder.path(), "--all", "--yes", "--json").exits(1).json();
    assert_eq!(plan["merges"], json!([]), "{plan:#}");
    let kept = plan["kept"].as_array().unwrap();
    assert_eq!(kept.len(), 2, "{plan:#}");
    for kept in kept {
        assert_eq!(kept["reason"], "missing_link", "{plan:#}");
        assert!(kept["message"].as_str().unwrap().contains("base_3.avhdx"), "{plan:#}");
    }
    // The text names the disk without its parent.
    let text = run!("prune", folder.path(), "--all", "--yes").exits(1).text();
    assert!(text.contains("base_3.avhdx") && text.contains("Solve the problem of"), "{text}");
    fs::rename(&hidden, disk("base_2.avhdx")).unwrap();
    run!("check", disk("base_3.avhdx"), "--chain").exits(0);
}

/// The base of a machine is often a common image in another folder.
#[test]
fn a_parent_in_a_folder_that_is_not_searched_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let disk = |name: &str| folder.path().join(name);
    for name in ["images", "web"] {
        fs::create_dir(disk(name)).unwrap();
    }
    images().base.sparse().write_to(&disk("images/base.vhdx")).unwrap();
    create(&disk("web/web.avhdx"), &disk("images/base.vhdx"));
    create(&disk("web/leaf.avhdx"), &disk("web/web.avhdx"));
    let text = run!("prune", disk("web"), "--all", "--dry-run").exits(1).text();
    let line = text.lines().find(|line| line.starts_with("kept: ")).unwrap();
    assert!(line.contains("base.vhdx") && line.ends_with("Search that folder too"), "{line}");
}

/// The machine may use any disk of its folder, also the file of a checkpoint.
#[test]
fn the_disks_of_a_machine_whose_configuration_cannot_be_read_are_kept() {
    let host = Host::new();
    let configuration = host.path("Virtual Machines/282874FC-59D6-4F30-BC04-5FDD909C82E0.vmcx");
    fs::write(&configuration, vec![0; 4096]).unwrap();
    let done = prune(&host, "--all", 1);
    assert_eq!(done["merges"], json!([]), "{done:#}");
    for kept in done["kept"].as_array().unwrap() {
        assert_eq!(kept["reason"], "unread", "{done:#}");
        assert!(kept["message"].as_str().unwrap().contains("282874FC"), "{done:#}");
    }
    // It lies far from the disks. No other machine uses them.
    fs::create_dir_all(host.path("far/Virtual Machines")).unwrap();
    fs::rename(&configuration, host.path("far/Virtual Machines/1.vmcx")).unwrap();
    let done = prune(&host, "--all", 1);
    assert_eq!((&done["merges"], &done["kept"][0]["reason"]), (&json!([]), &json!("unread")));
    fs::remove_dir_all(host.path("far")).unwrap();
    fs::remove_dir_all(host.path("Snapshots")).unwrap();
    assert_eq!(prune(&host, "--all", 0)["merges"].as_array().unwrap().len(), 1);
}

/// A side branch may be moved away only if nothing that was found points to it.
#[test]
fn a_disk_that_something_may_need_is_not_to_be_moved_away() {
    type Change = fn(&Host, &Path);
    let changes: [(&str, Change); 5] = [
        ("nothing", |_, _| ()),
        ("a disk below it lacks its parent", |host, side| {
            create(&host.disk("k.avhdx"), side);
            create(&host.disk("c.avhdx"), &host.disk("k.avhdx"));
            fs::remove_file(host.disk("k.avhdx")).unwrap();
        }),
        ("a damaged disk is in another folder", |host, _| {
            fs::create_dir_all(host.path("other")).unwrap();
            fs::write(host.path("other/d.vhdx"), b"vhdxfile").unwrap();
        }),
        ("the disk of another machine was not found", |host, _| {
            fs::create_dir_all(host.path("other")).unwrap();
            host.configure("other/m", "other", "5", 0, "gone.vhdx");
        }),
        ("a configuration names a file of this name", |host, side| {
            fs::create_dir_all(host.path("other")).unwrap();
            images().base.sparse().write_to(&host.path("other/side.avhdx")).unwrap();
            host.configure("other/m", "other", "5", 0, "side.avhdx");
            let _ = side;
        }),
    ];
    for (what, change) in changes {
        let host = Host::new();
        let side = host.disk("side.avhdx");
        create(&side, &host.disk("base.vhdx"));
        change(&host, &side);
        let text = host.text();
        let is_moved = text.contains("move only this file to a folder that is not searched");
        assert_eq!(is_moved, what == "nothing", "{what}: {text}");
    }
}

/// The machine names a disk in another folder. Only the newest disk there is named by nothing else.
#[test]
fn disks_of_no_machine_are_kept_if_a_configuration_cannot_be_read() {
    let host = Host::new();
    let other = host.path("data/d.vhdx");
    fs::create_dir_all(other.parent().unwrap()).unwrap();
    images().base.sparse().write_to(&other).unwrap();
    create(&host.path("data/d_1.avhdx"), &other);
    host.configure("Virtual Machines/2", "second", "7", 0, "leaf.avhdx");
    fs::write(host.path("Virtual Machines/2.vmcx"), vec![0; 4096]).unwrap();
    let plan =
        run!("prune", host.path("data"), host.path("Virtual Machines"), "--all", "--dry-run", "--json");
    let plan = plan.exits(1).json();
    assert_eq!((&plan["merges"], &plan["kept"][0]["reason"]), (&json!([]), &json!("unread")), "{plan:#}");
}

/// A disk of a machine was not found. It may depend on any ancestor of a disk that no configuration names.
#[test]
fn the_chain_beside_a_missing_disk_is_kept() {
    for missing in ["d_9.avhdx", "reverted.avhdx"] {
        let host = Host::new();
        for folder in ["Snapshots", "Virtual Hard Disks"] {
            fs::remove_dir_all(host.path(folder)).unwrap();
        }
        fs::create_dir(host.path("Virtual Hard Disks")).unwrap();
        images().base.sparse().write_to(&host.disk("d.vhdx")).unwrap();
        create(&host.disk("d_1.avhdx"), &host.disk("d.vhdx"));
        create(&host.disk("d_2.avhdx"), &host.disk("d_1.avhdx"));
        host.configure("Virtual Machines/282874FC-59D6-4F30-BC04-5FDD909C82E0", "server", "1", 0, missing);
        let done = prune(&host, "--all", 1);
        assert_eq!(done["merges"], json!([]), "{missing}: {done:#}");
        for kept in done["kept"].as_array().unwrap() {
            assert_eq!(kept["reason"], "newer_disk_missing", "{missing}: {done:#}");
        }
    }
}

/// Other programs give each child an id of its own. Paths on the command line may be relative.
#[test]
fn a_missing_link_of_another_id_keeps_the_disks_in_its_folder() {
    for place in ["", "clone/"] {
        let folder = tempfile::tempdir().unwrap();
        let disk =
            |name: &str| folder.path().join("t").join(name).components().collect::<std::path::PathBuf>();
        let images = images();
        fs::create_dir_all(disk("disks")).unwrap();
        fs::create_dir_all(disk("clone")).unwrap();
        images.base.sparse().write_to(&disk("disks/base.vhdx")).unwrap();
        create(&disk("disks/one.avhdx"), &disk("disks/base.vhdx"));
        let (at, parent) = match place {
            "" => ("disks/lost.avhdx", "missing.avhdx"),
            _ => ("clone/lost.avhdx", r"..\disks\missing.avhdx"),
        };
        let lost = vhdx_testkit::Image {
            virtual_disk_id: uuid::Uuid::from_u128(1),
            data_write_guid: uuid::Uuid::from_u128(2),
            ..vhdx_testkit::Image::child_of(&images.leaf, parent, 1 << 20)
        };
        lost.sparse().write_to(&disk(at)).unwrap();
        // Another disk in this folder lacks its parent too, and that of a disk elsewhere has the same id.
        let other = disk("elsewhere/other.vhdx");
        fs::create_dir_all(other.parent().unwrap()).unwrap();
        let base = vhdx_testkit::Image { virtual_disk_id: uuid::Uuid::from_u128(3), ..images.base.clone() };
        let base = vhdx_testkit::Image { data_write_guid: uuid::Uuid::from_u128(4), ..base };
        base.sparse().write_to(&other).unwrap();
        let second = vhdx_testkit::Image {
            virtual_disk_id: uuid::Uuid::from_u128(3),
            data_write_guid: uuid::Uuid::from_u128(5),
            ..vhdx_testkit::Image::child_of(&images.mid, "gone.avhdx", 1 << 20)
        };
        second.sparse().write_to(&disk(&at.replace("lost", "second"))).unwrap();
        let mut prune = crate::run::command();
        prune.current_dir(folder.path()).args(["prune", "t", "--all", "--yes", "--json"]);
        let plan = crate::run::ran(crate::run::output(&mut prune)).exits(1).json();
        let reason = &plan["kept"][0]["reason"];
        assert_eq!((&plan["merges"], reason), (&json!([]), &json!("missing_link")), "{place}: {plan:#}");
    }
}
