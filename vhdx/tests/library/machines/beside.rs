//! Searches only the folder of disks of a machine: its configurations are in the folders beside it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use vhdx::{Forest, NoProgress, discover};

use super::host::{Host, disks};

const STORED: &str = r"D:\web\Virtual Hard Disks\web.vhdx";

/// A machine with a checkpoint, in the folders that Hyper-V makes.
fn host(disks: &str, machines: &str) -> Host {
    let host = Host::new();
    host.base(&format!("web/{disks}/web.vhdx"), 1);
    host.configure(&format!("web/{machines}/m.vmcx"), &[STORED]);
    host.configure("web/Snapshots/s.vmcx", &[STORED]);
    host
}

fn search(root: &Path) -> Forest {
    discover(&[root.to_owned()], &NoProgress).unwrap()
}

#[test]
fn the_configurations_beside_a_folder_of_disks_are_read() {
    for (disks_folder, machines) in [
        ("Virtual Hard Disks", "Virtual Machines"),
        ("VIRTUAL HARD DISKS", "virtual machines"),
        ("virtual hard disks", "Planned Virtual Machines"),
    ] {
        let host = host(disks_folder, machines);
        let forest = search(&host.path("web").join(disks_folder));
        let [machine] = &forest.machines[..] else { panic!("{:#?}", forest.machines) };
        assert_eq!(disks(&forest, &machine.configuration).len(), 1);
        assert_eq!(machine.checkpoints.len(), 1);
        assert_eq!(forest.others, 0);
        assert!(forest.problems.is_empty(), "{:#?}", forest.problems);
    }
}

#[test]
fn a_folder_of_another_name_has_no_machine() {
    let host = host("Disks", "Virtual Machines");
    let forest = search(&host.path("web/Disks"));
    assert_eq!((forest.machines.len(), forest.lone_checkpoints.len()), (0, 0));
}

#[test]
fn no_configuration_is_read_twice() {
    let host = host("Virtual Hard Disks", "Virtual Machines");
    let folders = ["web/Virtual Hard Disks", "web/Snapshots", "web/Virtual Machines", "web"];
    for others in 1..=folders.len() {
        let roots: Vec<PathBuf> = folders.iter().take(others).map(|folder| host.path(folder)).collect();
        let forest = discover(&roots, &NoProgress).unwrap();
        assert_eq!(forest.configurations().count(), 2, "{roots:?}");
    }
    // Two spellings of one folder.
    let folder = host.path("web/Virtual Hard Disks");
    let back: PathBuf = env::current_dir().unwrap().components().skip(1).map(|_| "..").collect();
    let relative = back.join(folder.strip_prefix("/").unwrap_or(&folder));
    for roots in [[folder.clone(), relative.clone()], [relative, host.path("web")]] {
        let forest = discover(&roots, &NoProgress).unwrap();
        assert_eq!(forest.configurations().count(), 2, "{roots:?}");
        assert_eq!(forest.machines.len(), 1, "{roots:?}");
    }
}

/// A path can end with `.`, and can be relative.
#[test]
fn the_name_of_a_folder_is_known_however_it_is_written() {
    let host = host("Virtual Hard Disks", "Virtual Machines");
    fs::create_dir(host.path("web/Virtual Hard Disks/more")).unwrap();
    let folder = host.path("web/Virtual Hard Disks");
    let back: PathBuf = env::current_dir().unwrap().components().skip(1).map(|_| "..").collect();
    let relative = back.join(folder.strip_prefix("/").unwrap_or(&folder));
    for root in [folder.join("."), folder.join("more/.."), relative] {
        let forest = search(&root);
        let [machine] = &forest.machines[..] else { panic!("{root:?}: {:#?}", forest.machines) };
        assert_eq!(disks(&forest, &machine.configuration).len(), 1, "{root:?}");
    }
}
