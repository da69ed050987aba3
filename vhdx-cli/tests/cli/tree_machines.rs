//! `tree` shows the machines and checkpoints of Hyper-V's configuration files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tempfile::TempDir;
use vhdx_testkit::ConfiguredMachine;
use vhdx_testkit::estate::{Estate, EstateDrive, EstateOptions};

use crate::images::images;
use crate::run;

const REMARK: &str = "names and times of checkpoints: as stored; not verified on a real checkpoint file";
const MACHINE: &str = "282874fc-59d6-4f30-bc04-5fdd909c82e0";
/// 2026-11-01 08:00 UTC.
pub(crate) const FIRST: u64 = 1_793_520_000;
pub(crate) const HOUR: u64 = 3600;

/// A machine with two checkpoints in the folders of Hyper-V.
pub(crate) struct Host(TempDir);

impl Host {
    pub(crate) fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        for folder in ["Virtual Hard Disks", "Virtual Machines", "Snapshots"] {
            fs::create_dir_all(host.path(folder)).unwrap();
        }
        let images = images();
        let disks =
            [("base.vhdx", images.base, 0), ("mid.avhdx", images.mid, HOUR), ("leaf.avhdx", images.leaf, 9)];
        for (name, image, after) in disks {
            let path = host.disk(name);
            image.sparse().write_to(&path).unwrap();
            set_modified(&path, FIRST + after);
        }
        host.configure(
            "Virtual Machines/282874FC-59D6-4F30-BC04-5FDD909C82E0",
            "server",
            MACHINE,
            0,
            "leaf.avhdx",
        );
        host.configure("Snapshots/first", "before \u{1b}[31mupdate\n", "1f", FIRST, "base.vhdx");
        host.configure("Snapshots/second", "<script>", "2f", FIRST + HOUR, "mid.avhdx");
        host
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        // With the separators of the host.
        self.0.path().join("srv").join(name).components().collect()
    }

    pub(crate) fn disk(&self, name: &str) -> PathBuf {
        self.path("Virtual Hard Disks").join(name)
    }

    pub(crate) fn configure(&self, path: &str, name: &str, id: &str, created: u64, disk: &str) {
        let id = format!("{id:0>32}");
        let machine = ConfiguredMachine {
            name: name.to_owned(),
            id: uuid::Uuid::parse_str(&id).unwrap().to_string().to_uppercase(),
            created: if created == 0 { 0 } else { (created + 11_644_473_600) * 10_000_000 },
            notes: "from\nthe admin".to_owned(),
            disks: vec![(1, format!(r"D:\VMs\srv\Virtual Hard Disks\{disk}"))],
            ..ConfiguredMachine::default()
        };
        fs::write(self.path(&format!("{path}.vmcx")), machine.container().build()).unwrap();
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    fn json(&self) -> Value {
        run!("tree", self.0.path(), "--json").exits(0).json()
    }

    pub(crate) fn text(&self) -> String {
        run!("tree", self.0.path()).exits(0).text()
    }
}

pub(crate) fn set_modified(path: &Path, seconds: u64) {
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn the_json_has_machines_and_checkpoints() {
    let host = Host::new();
    let tree = host.json();
    let drive = |disk: &str| {
        json!({
            "controller": "SCSI", "number": 0, "location": 1, "path": format!(r"D:\VMs\srv\Virtual Hard Disks\{disk}"),
            "disk": host.disk(disk),
        })
    };
    let checkpoint = |file: &str, name: &str, id: &str, created: u64, disk: &str| {
        json!({
            "name": name, "id": format!("00000000-0000-0000-0000-0000000000{id}"),
            "config": host.path(&format!("Snapshots/{file}.vmcx")), "created": created, "disks": [host.disk(disk)],
        })
    };
    let expected = json!([{
        "name": "server",
        "id": MACHINE,
        "config": host.path("Virtual Machines/282874FC-59D6-4F30-BC04-5FDD909C82E0.vmcx"),
        "generation": 2,
        "version": "9.0",
        "created": null,
        "notes": "from\nthe admin",
        "drives": [drive("leaf.avhdx")],
        "checkpoints": [
            checkpoint("first", "before \u{1b}[31mupdate\n", "1f", FIRST, "base.vhdx"),
            checkpoint("second", "<script>", "2f", FIRST + HOUR, "mid.avhdx"),
        ],
    }]);
    assert_eq!(tree["machines"], expected);
    assert_eq!(tree["lone_checkpoints"], json!([]));
    assert_eq!(tree["problems"], json!([]));
    let checkpoints: Vec<&Value> =
        tree["disks"].as_array().unwrap().iter().map(|disk| &disk["checkpoint"]).collect();
    let expected = |name: &str, time: u64, child: &str| {
        json!({
            "names": [name], "time": time, "time_source": "configuration", "is_changed": false,
            "size": vhdx::allocated_bytes(&host.disk(child)).unwrap(),
        })
    };
    assert_eq!(checkpoints[0], &expected("before \u{1b}[31mupdate\n", FIRST, "mid.avhdx"));
    assert_eq!(checkpoints[1], &Value::Null, "the leaf is no checkpoint");
    assert_eq!(checkpoints[2], &expected("<script>", FIRST + HOUR, "leaf.avhdx"));
}

#[test]
fn the_drawing_has_notes_beside_the_files() {
    let host = Host::new();
    let text = host.text();
    let lines: Vec<&str> = text.lines().skip(1).map(str::trim_end).collect();
    let find = |part: &str| {
        let found: Vec<usize> = (0..lines.len()).filter(|&i| lines[i].contains(part)).collect();
        let [line] = found[..] else { panic!("{part}: {text}") };
        line
    };
    let base = find("base.vhdx");
    assert!(lines[find("checkpoint \"before")].starts_with("│  checkpoint"), "{text}");
    assert_eq!(
        lines[find("before")].split("   ").next().unwrap(),
        "│  checkpoint \"before \\u{1b}[31mupdate\\n\" of \"server\", 2026-11-01 08:00 UTC"
    );
    assert!(lines[find("mid.avhdx")].starts_with("└─ mid.avhdx"), "{text}");
    assert!(
        lines[find("<script>")]
            .starts_with("   │  checkpoint \"<script>\" of \"server\", 2026-11-01 09:00 UTC")
    );
    assert!(lines[find("leaf.avhdx")].starts_with("   └─ leaf.avhdx"), "{text}");
    assert!(lines[find("machine \"server\"")].starts_with("         machine \"server\""), "{text}");
    assert_eq!(text.matches(REMARK).count(), 1, "{text}");
    assert!(base < find("<script>") && find("<script>") < find("machine \"server\""), "{text}");
    let list = find("machines:");
    assert_eq!(lines[list + 1], "- \"server\", generation 2, 2 checkpoints");
    assert!(lines[list + 2].ends_with("282874FC-59D6-4F30-BC04-5FDD909C82E0.vmcx"), "{text}");
    assert!(!text.contains("problems:"), "{text}");
}

#[test]
fn the_remark_is_only_shown_with_checkpoints() {
    let host = Host::new();
    for name in ["first", "second"] {
        fs::remove_file(host.path(&format!("Snapshots/{name}.vmcx"))).unwrap();
    }
    let text = host.text();
    assert!(!text.contains(REMARK) && text.contains("machine \"server\""), "{text}");
    assert!(text.contains("- \"server\", generation 2, no checkpoints"), "{text}");
    fs::remove_dir_all(host.path("Virtual Machines")).unwrap();
    let text = host.text();
    assert!(!text.contains("machine"), "{text}");
}

#[test]
fn a_checkpoint_whose_file_was_changed_is_said_to_be_deleted() {
    let host = Host::new();
    set_modified(&host.disk("base.vhdx"), FIRST + 2 * HOUR);
    let text = host.text();
    let line = text.lines().find(|line| line.contains("before")).unwrap();
    assert!(
        line.contains(
            "the file was changed later (or copied without its times): this checkpoint was probably deleted"
        ),
        "{text}"
    );
    let tree = host.json();
    let checkpoint = &tree["disks"][0]["checkpoint"];
    assert_eq!(checkpoint["is_changed"], true);
    assert_eq!((&checkpoint["names"], &checkpoint["time_source"]), (&json!([]), &json!("file")));
}

#[test]
fn a_time_in_the_future_is_marked() {
    let host = Host::new();
    let future = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 1000 * HOUR;
    host.configure("Snapshots/second", "tomorrow", "2f", future, "mid.avhdx");
    let text = host.text();
    assert!(
        text.lines().any(|line| line.contains("\"tomorrow\"") && line.contains("UTC (in the future)")),
        "{text}"
    );
}

#[test]
fn problems_of_configurations_come_with_a_fix() {
    let host = Host::new();
    fs::write(host.disk("mid.avhdx"), b"vhdxfile").unwrap();
    fs::remove_file(host.disk("base.vhdx")).unwrap();
    fs::write(host.path("Virtual Machines/broken.vmcx"), b"x").unwrap();
    let tree = host.json();
    let problems: Vec<(&str, &str, &str)> = tree["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| ["path", "message", "fix"].map(|key| problem[key].as_str().unwrap()).into())
        .collect();
    let of = |file: &str, message: &str| {
        let found = problems.iter().find(|problem| problem.0.contains(file) && problem.1.contains(message));
        found.unwrap_or_else(|| panic!("{file}, {message}: {problems:#?}")).2
    };
    assert!(
        of("first.vmcx", "which was not found").starts_with("search also the folder with the missing disk")
    );
    assert!(of("first.vmcx", "machine was not found").contains("by the disks that both name"));
    assert!(of("second.vmcx", "probably found but cannot be read").contains("Do not delete it"));
    assert!(of("broken.vmcx", "not a readable configuration").starts_with("copy this file again"));
}

/// One damaged file is the cause of problems of its child, of its configuration and of its checkpoint.
#[test]
fn consequences_follow_their_cause_and_are_short() {
    let host = Host::new();
    fs::write(host.disk("mid.avhdx"), b"vhdxfile").unwrap();
    host.configure("Snapshots/third", "third", "3f", FIRST + HOUR, "mid.avhdx");
    let text = host.text();
    let problems: Vec<&str> = text.split("problems:\n").nth(1).unwrap().lines().collect();
    let at =
        |part: &str| problems.iter().position(|line| line.contains(part)).unwrap_or_else(|| panic!("{text}"));
    let cause = at("is not a readable VHDX");
    assert_eq!(cause, 0, "{text}");
    assert!(problems[at("first.vmcx is the") + 1].contains("leaf.avhdx\" first"), "{text}");
    let child = at("leaf.avhdx lacks its parent. The parent may be at");
    assert!(problems[child].len() < 200 + 2 * host.folder().as_os_str().len(), "{text}");
    assert!(problems[child + 1].starts_with("  fix: solve the problems of these paths first"), "{text}");
    for (part, fix) in [
        (" names the disk", "solve the problem of"),
        (" is the configuration of a checkpoint", "solve the other problems of this configuration first"),
    ] {
        let first = at(&format!("second.vmcx{part}"));
        assert!(problems[first + 1].contains(&format!("third.vmcx{part}")), "{text}");
        assert!(problems[first + 2].starts_with(&format!("  fix for each of these 2: {fix}")), "{text}");
    }
    assert!(!text.contains("search also") && !text.contains("search more folders"), "{text}");
}

/// A checkpoint with several children is not kept without saying what can be done.
#[test]
fn a_side_branch_can_be_deleted_if_nothing_needs_it() {
    let host = Host::new();
    let side = host.disk("side.avhdx");
    run!("create", &side, "--parent", host.disk("base.vhdx")).exits(0);
    let kept = |folder: &Path| {
        let plan = run!("prune", folder, "--all", "--dry-run", "--json").json();
        let kept = plan["kept"].as_array().unwrap().iter().find(|kept| kept["reason"] == "several_children");
        kept.unwrap_or_else(|| panic!("{plan:#}"))["message"].as_str().unwrap().to_owned()
    };
    let (text, away) = (host.text(), "move only this file to a folder that is not searched, if no machine");
    assert!(text.contains(away) && text.contains("Keep its parent: `vhdx prune` can delete"), "{text}");
    let only = format!("Move only \"{}\" to another folder, if", side.display());
    let message = kept(host.folder());
    assert!(message.contains(&only) && message.ends_with("Keep its parent"), "{message}");
    // The text of `prune` lists the children only once, as a number.
    let plan = run!("prune", host.folder(), "--all", "--dry-run").text();
    assert!(plan.contains(", 2 children. No configuration that was found names"), "{plan}");
    assert!(plan.contains(&only) && !plan.contains("has 2 children"), "{plan}");
    // A damaged file may depend on it.
    fs::write(host.disk("damaged.avhdx"), b"vhdxfile").unwrap();
    let text = host.text();
    assert!(!text.contains(away) && text.contains("until you know that no machine uses it and"), "{text}");
    let message = kept(host.folder());
    let wait = format!("Do not delete \"{}\" before the problem of", side.display());
    assert!(!message.contains("Move only") && message.contains(&wait), "{message}");
    fs::remove_file(host.disk("damaged.avhdx")).unwrap();
    // A checkpoint has frozen it.
    host.configure("Snapshots/third", "third", "3f", FIRST + 1000 * HOUR, "side.avhdx");
    assert!(!host.text().contains("move only this file"), "{}", host.text());
    let message = kept(host.folder());
    assert!(message.contains("Do not delete") && message.ends_with("delete it in Hyper-V"), "{message}");
    // Only the disks were copied.
    fs::remove_dir_all(host.path("Snapshots")).unwrap();
    fs::remove_dir_all(host.path("Virtual Machines")).unwrap();
    assert!(kept(host.folder()).contains("only if no machine uses it"), "{}", kept(host.folder()));
}

/// The configuration of the machine is in the folder, but damaged.
#[test]
fn a_damaged_configuration_is_named_instead_of_other_folders() {
    let host = Host::new();
    let configuration = host.path("Virtual Machines/282874FC-59D6-4F30-BC04-5FDD909C82E0.vmcx");
    fs::write(&configuration, "x").unwrap();
    fs::create_dir(host.path("other")).unwrap();
    images().base.sparse().write_to(&host.path("other/other.vhdx")).unwrap();
    host.configure("other/m", "other", "5", 0, "other.vhdx");
    let tree = host.json();
    let fix = |file: &str| {
        let problems = tree["problems"].as_array().unwrap();
        let found = problems.iter().find(|problem| problem["path"].as_str().unwrap().ends_with(file));
        found.unwrap_or_else(|| panic!("{file}: {tree:#}"))["fix"].as_str().unwrap()
    };
    let solve = format!("solve the problem of \"{}\" first", configuration.display());
    assert!(fix("leaf.avhdx").starts_with(&solve), "{}", fix("leaf.avhdx"));
    assert!(fix("leaf.avhdx").contains("Do not delete"), "{}", fix("leaf.avhdx"));
    assert!(fix("first.vmcx").starts_with(&solve), "{}", fix("first.vmcx"));
}

fn paths(estate: &Estate, drives: &[EstateDrive]) -> Value {
    drives.iter().filter_map(|drive| estate.found(drive)).map(|i| json!(estate.disks[i].path)).collect()
}

#[test]
fn an_estate_is_shown_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let options = EstateOptions::with_seed(11);
    let estate = Estate::generate(&folder.path().join("e"), &options).unwrap();
    let tree = run!("tree", estate.root, "--json").exits(0).json();
    let machines = tree["machines"].as_array().unwrap();
    assert_eq!(machines.len(), estate.readable_machines().len());
    for (found, machine) in machines.iter().zip(estate.readable_machines()) {
        assert_eq!((&found["name"], &found["config"]), (&json!(machine.name), &json!(machine.configuration)));
        let disks: Value =
            found["drives"].as_array().unwrap().iter().map(|drive| drive["disk"].clone()).collect();
        let truth: Value =
            machine.drives.iter().map(|d| json!(estate.found(d).map(|i| &estate.disks[i].path))).collect();
        assert_eq!(disks, truth);
        let known: BTreeMap<String, Value> = machine
            .checkpoints
            .iter()
            .filter(|checkpoint| estate.is_owner_known(machine, checkpoint))
            .map(|of| (of.id.to_string(), json!([of.name, paths(&estate, &of.drives)])))
            .collect();
        let checkpoints = found["checkpoints"].as_array().unwrap().iter();
        let checkpoints =
            checkpoints.map(|of| (of["id"].as_str().unwrap().to_owned(), json!([of["name"], of["disks"]])));
        assert_eq!(checkpoints.collect::<BTreeMap<_, _>>(), known);
    }
    assert_eq!(tree["problems"].as_array().unwrap().len(), estate.problems().len());

    let text = run!("tree", estate.root).exits(0).text();
    assert_eq!(text.matches(REMARK).count(), 1);
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
    let drawing = text.split("\nmachines:").next().unwrap();
    // A remark about the file follows the columns.
    for line in drawing.lines().filter(|line| line.contains(" MiB ") && !line.ends_with("parent missing")) {
        assert!(line.chars().count() <= 120, "{line}");
    }
}
