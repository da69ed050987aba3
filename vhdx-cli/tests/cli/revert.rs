//! `revert` makes a new disk on a checkpoint.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;
use vhdx::{Chain, DiskOffset, FolderResolver};
use vhdx_testkit::ConfiguredMachine;

use crate::images::images;
use crate::run;

/// A machine with three files and one named checkpoint, in the folders of Hyper-V.
struct Host(TempDir);

impl Host {
    fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        let images = images();
        fs::create_dir_all(host.0.path().join("Snapshots")).unwrap();
        for (name, image) in
            [("base.vhdx", images.base), ("mid.avhdx", images.mid), ("leaf.avhdx", images.leaf)]
        {
            image.sparse().write_to(&host.path(name)).unwrap();
            // Before the checkpoints were made, as their configurations say.
            let file = fs::File::options().write(true).open(host.path(name)).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(1_600_000_000)).unwrap();
        }
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| name != "Snapshots");
        names.sort();
        names
    }
}

fn read(path: &Path) -> Vec<u8> {
    let chain = Chain::open(path, &FolderResolver::default()).unwrap();
    let mut bytes = vec![0; usize::try_from(chain.virtual_size()).unwrap()];
    chain.read_exact_at(&mut bytes, DiskOffset::new(0)).unwrap();
    bytes
}

#[test]
fn a_new_disk_reads_as_the_checkpoint() {
    let host = Host::new();
    let before: Vec<Vec<u8>> = host.names().iter().map(|name| fs::read(host.path(name)).unwrap()).collect();
    let plan =
        run!("revert", host.path("leaf.avhdx"), "--to", "MID.avhdx", "--dry-run", "--json").exits(0).json();
    assert_eq!((plan["dry_run"].as_bool(), host.names().len()), (Some(true), 3));
    let done = run!("revert", host.path("leaf.avhdx"), "--to", "mid.avhdx", "--json").exits(0).json();
    let new = PathBuf::from(done["path"].as_str().unwrap());
    let name = new.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("leaf_") && name.ends_with(".avhdx"), "{name}");
    assert_eq!(done["use_instead_of"], host.path("leaf.avhdx").to_str().unwrap());
    assert_eq!(done["type"], "differencing");
    assert!(read(&new) == read(&host.path("mid.avhdx")));
    for (name, before) in ["base.vhdx", "leaf.avhdx", "mid.avhdx"].iter().zip(before) {
        assert!(fs::read(host.path(name)).unwrap() == before, "{name} is unchanged");
    }
    let text =
        run!("revert", host.path("leaf.avhdx"), "--to", "base.vhdx", "--output", host.path("new.avhdx"))
            .exits(0)
            .text();
    assert!(
        text.contains("must use") && text.contains("new.avhdx instead of") && text.contains("leaf.avhdx"),
        "{text}"
    );
    assert!(read(&host.path("new.avhdx")) == read(&host.path("base.vhdx")));
    run!("revert", host.path("leaf.avhdx"), "--to", "base.vhdx", "--output", host.path("new.avhdx")).exits(6);
}

#[test]
fn a_checkpoint_is_found_by_its_name() {
    let host = Host::new();
    let machine = |name: &str, disk: &str| ConfiguredMachine {
        name: name.to_owned(),
        disks: vec![(0, format!(r"D:\vm\{}\{disk}", host.0.path().file_name().unwrap().to_str().unwrap()))],
        ..ConfiguredMachine::default()
    };
    fs::write(host.path("Snapshots/a.vmcx"), machine("Before update", "base.vhdx").container().build())
        .unwrap();
    fs::write(host.path("Snapshots/b.vmcx"), machine("same", "base.vhdx").container().build()).unwrap();
    fs::write(host.path("Snapshots/c.vmcx"), machine("same", "mid.avhdx").container().build()).unwrap();
    let done = run!("revert", host.path("leaf.avhdx"), "--to", "before UPDATE", "--json").exits(0).json();
    assert_eq!(done["checkpoint"], host.path("base.vhdx").to_str().unwrap());
    let unknown = run!("revert", host.path("leaf.avhdx"), "--to", "never").exits(2);
    assert!(unknown.stderr.contains("Before update"), "{}", unknown.stderr);
    let several = run!("revert", host.path("leaf.avhdx"), "--to", "same").exits(2);
    assert!(
        several.stderr.contains("mid.avhdx") && several.stderr.contains("base.vhdx"),
        "{}",
        several.stderr
    );
}

/// Hyper-V stores the disks in `Virtual Hard Disks`, and the configurations in folders beside it.
#[test]
fn names_are_found_in_the_folders_beside() {
    let host = Host::new();
    let disks = host.path("Virtual Hard Disks");
    fs::create_dir(&disks).unwrap();
    for name in ["base.vhdx", "mid.avhdx", "leaf.avhdx"] {
        fs::rename(host.path(name), disks.join(name)).unwrap();
    }
    let machine = ConfiguredMachine {
        name: "Before update".to_owned(),
        disks: vec![(0, r"D:\vm\Virtual Hard Disks\mid.avhdx".to_owned())],
        ..ConfiguredMachine::default()
    };
    fs::write(host.path("Snapshots/a.vmcx"), machine.container().build()).unwrap();
    let done = run!("revert", disks.join("leaf.avhdx"), "--to", "before update", "--json").exits(0).json();
    assert_eq!(done["checkpoint"], disks.join("mid.avhdx").to_str().unwrap());
}

#[test]
fn the_old_disk_is_deleted_only_if_nothing_depends_on_it() {
    let host = Host::new();
    for (old, to) in [("mid.avhdx", "base.vhdx"), ("base.vhdx", "mid.avhdx"), ("mid.avhdx", "mid.avhdx")] {
        let refused = run!("revert", host.path(old), "--to", to, "--delete-old").exits(2);
        assert!(refused.stderr.contains("depends on it"), "{}", refused.stderr);
    }
    fs::write(host.path("damaged.avhdx"), "vhdxfile and nothing else").unwrap();
    run!("revert", host.path("leaf.avhdx"), "--to", "mid.avhdx", "--delete-old").exits(5);
    fs::remove_file(host.path("damaged.avhdx")).unwrap();
    assert_eq!(host.names(), ["base.vhdx", "leaf.avhdx", "mid.avhdx"]);
    let plan = run!("revert", host.path("leaf.avhdx"), "--to", "mid.avhdx", "--delete-old", "--dry-run")
        .exits(0)
        .text();
    assert!(plan.contains("would delete"), "{plan}");
    run!(
        "revert",
        host.path("leaf.avhdx"),
        "--to",
        "mid.avhdx",
        "--delete-old",
        "--output",
        host.path("new.avhdx")
    )
    .exits(0);
    assert_eq!(host.names(), ["base.vhdx", "mid.avhdx", "new.avhdx", "new.avhdx.vhdx-pruned"]);
    assert!(read(&host.path("new.avhdx")) == read(&host.path("mid.avhdx")));
}

/// Before the machine is changed, `tree` and `prune` say where to choose the new disk.
#[test]
fn a_new_disk_must_be_chosen_in_the_settings_of_its_machine() {
    let host = crate::tree_machines::Host::new();
    let new = host.disk("new.avhdx");
    run!("revert", host.disk("leaf.avhdx"), "--to", "<script>", "--output", &new).exits(0);
    let machine = "Virtual Machines/282874FC-59D6-4F30-BC04-5FDD909C82E0";
    let configuration = host.path(&format!("{machine}.vmcx"));
    let problem = |file: &str| {
        let tree = run!("tree", host.folder(), "--json").exits(0).json();
        let problems = tree["problems"].as_array().unwrap();
        let [problem] = &problems[..] else { panic!("{tree:#}") };
        assert!(problem["path"].as_str().unwrap().ends_with(file), "{problem:#}");
        ["message", "fix"].map(|key| problem[key].as_str().unwrap().to_owned())
    };
    let named = format!("the machine \"server\" (\"{}\")", configuration.display());
    let choose =
        format!("in the settings of {named}, which now uses \"{}\"", host.disk("leaf.avhdx").display());
    let delete =
        "Otherwise move only this file to a folder that is not searched, if no machine elsewhere uses it";
    let [message, fix] = problem("new.avhdx");
    let of_family = format!("; {named} uses \"{}\" of the same family", host.disk("leaf.avhdx").display());
    assert!(message.ends_with(&of_family), "{message}");
    assert!(fix.contains(&format!("choose it {choose}")) && fix.contains(delete), "{fix}");
    let kept = || {
        let plan = run!("prune", host.folder(), "--name=<script>", "--dry-run", "--json").exits(0).json();
        let kept = plan["kept"].as_array().unwrap().iter().find(|kept| kept["reason"] == "several_children");
        kept.map(|kept| kept["message"].as_str().unwrap().to_owned())
    };
    let message = kept().unwrap();
    let new = new.display();
    assert!(message.contains(&format!("choose \"{new}\" {choose}")), "{message}");
    assert!(message.contains(&format!("Move only \"{new}\" to another folder, if no machine")), "{message}");
    assert!(message.ends_with("Keep its parent"), "{message}");
    assert!(!message.contains("No configuration that was found names \"leaf"), "{message}");

    // The administrator chooses the new disk. Then nothing uses the old one, and it is in the way of a prune.
    host.configure(machine, "server", "1", 0, "new.avhdx");
    let [_, fix] = problem("leaf.avhdx");
    assert!(fix.contains("new.avhdx") && fix.contains(delete), "{fix}");
    assert!(kept().unwrap().contains("leaf.avhdx"));
    fs::remove_file(host.disk("leaf.avhdx")).unwrap();
    assert_eq!(kept(), None);
    run!("prune", host.folder(), "--all", "--yes").exits(0);
}

/// The state of a checkpoint stays, although no disk depends on it.
#[test]
fn a_frozen_disk_is_not_deleted() {
    let host = Host::new();
    let folder = host.0.path().file_name().unwrap().to_str().unwrap().to_owned();
    let configuration = ConfiguredMachine {
        disks: vec![(0, format!(r"D:\vm\{folder}\leaf.avhdx"))],
        ..ConfiguredMachine::default()
    };
    fs::write(host.path("Snapshots/a.vmcx"), configuration.container().build()).unwrap();
    let refused = run!("revert", host.path("leaf.avhdx"), "--to", "mid.avhdx", "--delete-old").exits(2);
    assert!(refused.stderr.contains("a.vmcx"), "{}", refused.stderr);
    assert_eq!(host.names(), ["base.vhdx", "leaf.avhdx", "mid.avhdx"]);
}

/// The disk is in use: it cannot be deleted, and then nothing is made.
#[test]
fn a_disk_in_use_is_not_deleted() {
    let host = Host::new();
    let _lock = vhdx::FileStorage::open_exclusive(&host.path("leaf.avhdx")).unwrap();
    run!("revert", host.path("leaf.avhdx"), "--to", "mid.avhdx", "--delete-old").exits(6);
    assert_eq!(host.names(), ["base.vhdx", "leaf.avhdx", "mid.avhdx"]);
}

/// The base of a machine is often a common image in another folder.
#[test]
fn a_base_in_another_folder_is_found_by_the_stored_path() {
    let folder = tempfile::tempdir().unwrap();
    let disk = |name: &str| folder.path().join(name);
    fs::create_dir(disk("images")).unwrap();
    fs::create_dir(disk("web")).unwrap();
    images().base.sparse().write_to(&disk("images/base.vhdx")).unwrap();
    for (child, parent) in [("web.avhdx", "images/base.vhdx"), ("leaf.avhdx", "web/web.avhdx")] {
        run!("create", disk("web").join(child), "--parent", disk(parent)).exits(0);
    }
    // A bare name is in the current folder.
    let mut command = run::command();
    let args = ["revert", "leaf.avhdx", "--to", "web.avhdx", "--dry-run"];
    run::ran(run::output(command.current_dir(disk("web")).args(args))).exits(0);
    let leaf = disk("web").join("leaf.avhdx");
    let json = run!("revert", &leaf, "--to", "web.avhdx", "--delete-old", "--json").exits(0).json();
    assert_eq!(json["checkpoint"].as_str().unwrap(), disk("web").join("web.avhdx").to_str().unwrap());
    assert!(!leaf.exists());
}

/// A name can begin like an option.
#[test]
fn a_name_can_begin_with_a_hyphen() {
    let host = Host::new();
    let ran = run!("revert", host.path("leaf.avhdx"), "--to", "-rf --help", "--dry-run").exits(2);
    assert!(ran.stderr.contains("no checkpoint of "), "{}", ran.stderr);
}
