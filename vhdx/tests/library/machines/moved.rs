//! Disks that were renamed or moved since the configurations were written.

use std::path::PathBuf;

use vhdx::{Forest, MachineProblem, Problem, Remedy};

use super::host::{Host, problems};

/// Returns the present path of the first missing disk, as far as it is known; `None` if no disk is missing.
fn moved_to(forest: &Forest) -> Option<Option<PathBuf>> {
    problems(forest).into_iter().find_map(|problem| match problem {
        MachineProblem::MissingDisk { moved_to, .. } => Some(moved_to.clone()),
        _ => None,
    })
}

/// Moving a disk away from its machine would not help.
#[test]
fn the_disks_of_other_machines_are_no_candidates() {
    let host = Host::new();
    for machine in ["a", "b"] {
        host.base(&format!("{machine}/Disks/data.vhdx"), 1);
        host.configure(&format!("{machine}/m.vmcx"), &[&format!(r"D:\{machine}\Disks\data.vhdx")]);
    }
    host.configure("c.vmcx", &[r"D:\c\Disks\data.vhdx"]);
    let forest = host.forest();
    let [MachineProblem::MissingDisk { candidates, .. }] = problems(&forest)[..] else {
        panic!("{:?}", problems(&forest))
    };
    assert!(candidates.is_empty(), "{candidates:?}");
}

#[test]
fn a_checkpoint_file_in_another_folder_is_found_by_its_name() {
    let host = Host::new();
    let name = "web_6E7F0F5A-6EDE-4C2B-9F43-1E5A8E1A5B0C.avhdx";
    let moved = host.base(&format!("Moved/{name}"), 1);
    host.configure("web/m.vmcx", &[&format!(r"D:\web\Disks\{name}")]);
    assert_eq!(moved_to(&host.forest()), Some(Some(moved)));
    host.base(&format!("Copy/{name}"), 1);
    assert_eq!(moved_to(&host.forest()), Some(None));
}

/// After relinking the child, nothing would show where the disk is that the configuration names.
#[test]
fn a_moved_parent_is_moved_back_and_its_children_are_not_relinked() {
    let host = Host::new();
    let parent = host.base("vm/web/Disks/renamed.vhdx", 1);
    let child = host.child("vm/web/Disks/leaf.avhdx", 2, 1, r"..\..\..\vm\web\Disks\web.vhdx");
    let check = |expected: Remedy<'_>| {
        let forest = host.forest();
        let disk = &forest.disks[forest.index_of(&child).unwrap()];
        let [problem @ Problem::StalePath { .. }] = &disk.problems[..] else { panic!("{:?}", disk.problems) };
        assert_eq!(problem.remedy(), expected);
    };
    check(Remedy::StorePath { parent: &parent });
    host.configure("vm/web/m.vmcx", &[r"D:\vm\web\Disks\leaf.avhdx"]);
    let configuration = host.configure("vm/web/Snapshots/s.vmcx", &[r"D:\vm\web\Disks\web.vhdx"]);
    let of_child = Remedy::MoveBack { parent: &parent, configuration: &configuration };
    assert!(of_child.is_consequence());
    check(of_child);
}

/// Another machine was made from the checkpoint at its present place.
#[test]
fn a_disk_that_another_machine_needs_is_not_moved_back() {
    let host = Host::new();
    let name = "web_6E7F0F5A-6EDE-4C2B-9F43-1E5A8E1A5B0C.avhdx";
    let moved = host.base(&format!("images/{name}"), 1);
    host.child("web/Disks/leaf.avhdx", 2, 1, &format!(r".\{name}"));
    host.configure("web/m.vmcx", &[r"D:\web\Disks\leaf.avhdx"]);
    host.configure("web/Snapshots/s.vmcx", &[&format!(r"D:\web\Disks\{name}")]);
    assert_eq!(moved_to(&host.forest()), Some(Some(moved)));
    host.child("lab/Disks/lab.avhdx", 3, 1, &format!(r"..\..\images\{name}"));
    assert_eq!(moved_to(&host.forest()).map(|moved| moved.is_some()), Some(true), "no machine uses it");
    host.configure("lab/m.vmcx", &[r"D:\lab\Disks\lab.avhdx"]);
    assert_eq!(moved_to(&host.forest()), Some(None));
}
