//! Disks that no configuration names: which machine uses their family, and whether anything may need them.

use std::fs;
use std::path::{Path, PathBuf};

use vhdx::{MachineProblem, Remedy, UnusedDisk};
use vhdx_testkit::ConfiguredMachine;

use super::host::{Host, machine, problems};

/// A machine that uses one of two children of its base. No configuration names the other one.
fn host() -> (Host, PathBuf) {
    let host = Host::new();
    host.base("web/Virtual Hard Disks/base.vhdx", 1);
    host.child("web/Virtual Hard Disks/used.avhdx", 2, 1, r".\base.vhdx");
    let side = host.child("web/Virtual Hard Disks/side.avhdx", 3, 1, r".\base.vhdx");
    let named =
        ConfiguredMachine { name: "web".to_owned(), ..machine(&[r"D:\web\Virtual Hard Disks\used.avhdx"]) };
    host.configure_as("web/Virtual Machines/m.vmcx", &named);
    (host, side)
}

/// Returns what is known about a disk, if no configuration names it.
fn unused(host: &Host, path: &Path) -> Option<UnusedDisk> {
    let forest = host.forest();
    problems(&forest).into_iter().find_map(|problem| match problem {
        MachineProblem::NoMachine(disk) if disk.path == path => Some(disk.clone()),
        _ => None,
    })
}

#[test]
fn the_machine_of_the_family_is_named() {
    let (host, side) = host();
    let deeper = host.child("elsewhere/deeper.avhdx", 4, 3, r"..\web\Virtual Hard Disks\side.avhdx");
    assert_eq!(unused(&host, &side), None, "it has a child");
    for (path, has_siblings) in [(&deeper, false), (&side, true)] {
        let disk = unused(&host, path).unwrap();
        let used = disk.nearest_used.unwrap();
        assert_eq!(
            (used.machine.as_deref(), disk.may_be_needed_by, disk.has_siblings),
            (Some("web"), None, has_siblings)
        );
        assert_eq!(used.path, host.path("web/Virtual Hard Disks/used.avhdx"));
        assert_eq!(used.configuration, host.path("web/Virtual Machines/m.vmcx"));
        fs::remove_file(&deeper).ok();
    }
    // The nearest disk of several machines counts.
    host.base("golden.vhdx", 10);
    host.child("a.avhdx", 11, 10, r".\golden.vhdx");
    host.child("b.avhdx", 12, 10, r".\golden.vhdx");
    host.child("a1.avhdx", 13, 11, r".\a.avhdx");
    host.child("b1.avhdx", 14, 12, r".\b.avhdx");
    let b2 = host.child("b2.avhdx", 15, 12, r".\b.avhdx");
    host.configure("a.vmcx", &[r"D:\a1.avhdx"]);
    host.configure("b.vmcx", &[r"D:\b1.avhdx"]);
    assert_eq!(unused(&host, &b2).unwrap().nearest_used.unwrap().path, host.path("b1.avhdx"));
    // A disk of another family says nothing.
    let alone = host.base("alone.vhdx", 20);
    let alone = unused(&host, &alone).unwrap();
    assert_eq!((alone.nearest_used, alone.has_siblings, alone.may_be_needed_by), (None, false, None));
}

/// Nobody may be told to delete a disk that something may need.
#[test]
fn a_file_that_may_need_a_disk_is_named() {
    type Change = fn(&Host) -> PathBuf;
    let changes: [(&str, Change); 9] = [
        ("a damaged disk may depend on it", |host| {
            host.write("web/Virtual Hard Disks/damaged.avhdx", b"vhdxfile")
        }),
        ("a disk with another format", |host| host.write("web/packed.avhdx", b"\x1f\x8b\x08")),
        ("a damaged configuration may name it", |host| host.write("web/Virtual Machines/x.vmcx", b"x")),
        ("a configuration may be anywhere", |host| host.write("far/away/x.vmcx", b"x")),
        ("a configuration of the same machine names a missing disk", |host| {
            host.configure("web/Snapshots/c.vmcx", &[r"D:\web\Virtual Hard Disks\renamed.avhdx"])
        }),
        ("a missing disk is named like it", |host| {
            host.configure("far/away/m.vmcx", &[r"D:\x\SIDE_6E7F0F5A-6EDE-4C2B-9F43-1E5A8E1A5B0C.avhdx"])
        }),
        ("a machine of the family does not use its newest disk", |host| {
            let mut other = machine(&[r"D:\web\Virtual Hard Disks\base.vhdx"]);
            other.disks[0].0 = 7;
            host.configure_as("far/away/m.vmcx", &other)
        }),
        ("its child is ambiguous", |host| {
            host.child("copy/side.avhdx", 3, 1, r"..\web\Virtual Hard Disks\base.vhdx");
            host.child("copy/child.avhdx", 9, 3, r".\none.avhdx")
        }),
        ("a checkpoint with a missing disk is of its family", |host| {
            host.configure(
                "far/away/Snapshots/c.vmcx",
                &[r"D:\web\Virtual Hard Disks\base.vhdx", r"D:\none\none.avhdx"],
            )
        }),
    ];
    for (reason, change) in changes {
        let (host, side) = host();
        let needed_by = change(&host);
        let disk = unused(&host, &side).unwrap();
        assert_eq!(disk.may_be_needed_by.as_ref(), Some(&needed_by), "{reason}");
    }
}

/// A configuration of a checkpoint belongs to the machine of the disks that both name, or of a damaged file.
#[test]
fn the_machine_of_a_checkpoint_is_found_when_the_cause_is_solved() {
    let (host, _) = host();
    // Its GUID does not say which machine it belongs to.
    let checkpoint = |name: &str, disks: &[&str]| {
        let id = vhdx::Guid::from_u128(5).to_string();
        host.configure_as(name, &ConfiguredMachine { id, ..machine(disks) })
    };
    let missing = checkpoint("web/Snapshots/c.vmcx", &[r"D:\web\Virtual Hard Disks\none.avhdx"]);
    let elsewhere = checkpoint("other/Snapshots/o.vmcx", &[]);
    let damaged = host.write("other/Virtual Machines/o.vmcx", b"x");
    let forest = host.forest();
    let remedies: Vec<(&Path, Remedy<'_>)> = forest
        .problems
        .iter()
        .filter(|problem| matches!(problem, vhdx::Problem::Machine(MachineProblem::UnknownMachine { .. })))
        .map(|problem| (problem.path(), problem.remedy()))
        .collect();
    let cause = Some(damaged.as_path());
    assert_eq!(
        remedies,
        [
            (elsewhere.as_path(), Remedy::FindConfiguration { cause, lacks_disks: false }),
            (missing.as_path(), Remedy::FindConfiguration { cause: None, lacks_disks: true }),
        ]
    );
}

/// A child stores the old name of its parent, as the configuration does.
#[test]
fn a_renamed_disk_is_found_by_its_children() {
    let (host, _) = host();
    let base = host.base("sql/Virtual Hard Disks/renamed.vhdx", 10);
    host.child("sql/Virtual Hard Disks/leaf.avhdx", 11, 10, r"D:\VMs\sql\Virtual Hard Disks\system.vhdx");
    host.configure("sql/Snapshots/c.vmcx", &[r"E:\sql\Virtual Hard Disks\SYSTEM.vhdx"]);
    let moved_to = |host: &Host| {
        problems(&host.forest()).into_iter().find_map(|problem| match problem {
            MachineProblem::MissingDisk { moved_to, .. } => Some(moved_to.clone()),
            _ => None,
        })
    };
    assert_eq!(moved_to(&host), Some(Some(base)));
    // The same path means another disk of another host.
    host.base("two/renamed.vhdx", 20);
    host.child("two/leaf.avhdx", 21, 20, r"E:\sql\Virtual Hard Disks\system.vhdx");
    assert_eq!(moved_to(&host), Some(None));
}

/// Without permission, the disks in a folder are not missing.
#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_listed_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let (host, _) = host();
    let child = host.child("web/child.avhdx", 4, 1, r".\Virtual Hard Disks\base.vhdx");
    let folder = host.path("web/Virtual Hard Disks");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o000)).unwrap();
    let is_root = fs::read_dir(&folder).is_ok();
    let forest = host.forest();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    if is_root {
        vhdx_testkit::shared::say_skipped("this user may list every folder");
        return;
    }
    let missing = problems(&forest).into_iter().find_map(|problem| match problem {
        MachineProblem::MissingDisk { damaged, .. } => damaged.clone(),
        _ => None,
    });
    assert_eq!(missing.as_ref(), Some(&folder));
    let lost = forest.disks.iter().find(|disk| disk.facts.path == child).unwrap();
    let files = std::slice::from_ref(&folder);
    assert_eq!(lost.problems[0].remedy(), Remedy::IdentifyParent { files, count: 1 });
}
