//! Checkpoints whose disk holds another state than the one that their configuration describes.

use vhdx::ops::{HostFiles, MergeOptions, MergePlan, MergeTarget, Planned};
use vhdx::{Checkpoint, FolderResolver, NoProgress, TimeSource};
use vhdx_testkit::ConfiguredMachine;

use super::host::{Host, TIME, at_second, filetime, machine, set_modified};

/// A base, a checkpoint and the newest disk, with their configurations.
fn host() -> Host {
    let host = Host::new();
    host.base("web/Disks/base.vhdx", 1);
    host.child("web/Disks/middle.avhdx", 2, 1, r".\base.vhdx");
    host.child("web/Disks/leaf.avhdx", 3, 2, r".\middle.avhdx");
    host.configure("web/Virtual Machines/m.vmcx", &[r"D:\web\Disks\leaf.avhdx"]);
    checkpoint(&host, "first", "base.vhdx", TIME);
    checkpoint(&host, "second", "middle.avhdx", TIME + 5);
    host
}

fn checkpoint(host: &Host, name: &str, disk: &str, created: u64) {
    let disk = format!(r"D:\web\Disks\{disk}");
    let (name_of, created) = (name.to_owned(), filetime(created));
    host.configure_as(
        &format!("web/Snapshots/{name}.vmcx"),
        &ConfiguredMachine { name: name_of, created, ..machine(&[&disk]) },
    );
}

/// Returns the checkpoint of a file.
fn found(host: &Host, file: &str) -> Option<Checkpoint> {
    let forest = host.forest();
    let path = host.path("web/Disks").join(file);
    let is_it = |checkpoint: &Checkpoint| forest.disks[checkpoint.disk].facts.path == path;
    forest.checkpoints().into_iter().find(is_it)
}

#[test]
fn a_disk_that_was_changed_later_loses_name_and_time() {
    let host = host();
    let checkpoint = found(&host, "base.vhdx").unwrap();
    assert_eq!((&checkpoint.names[..], checkpoint.is_changed), (&["first".to_owned()][..], false));
    assert_eq!((checkpoint.time, checkpoint.time_source), (Some(at_second(TIME)), TimeSource::Configuration));
    // Hyper-V closes the file some time after the checkpoint.
    set_modified(&host.path("web/Disks/base.vhdx"), TIME + 600);
    assert!(!found(&host, "base.vhdx").unwrap().is_changed);
    set_modified(&host.path("web/Disks/base.vhdx"), TIME + 601);
    // Wine takes the time of the last change for that of the creation.
    set_modified(&host.path("web/Disks/middle.avhdx"), TIME + 10_000);
    let checkpoint = found(&host, "base.vhdx").unwrap();
    assert!(checkpoint.is_changed && checkpoint.names.is_empty());
    assert_eq!((checkpoint.time, checkpoint.time_source), (Some(at_second(TIME + 601)), TimeSource::File));
    assert_eq!(found(&host, "leaf.avhdx"), None);
}

#[test]
fn a_newer_checkpoint_of_the_same_disk_counts() {
    let host = host();
    set_modified(&host.path("web/Disks/base.vhdx"), TIME + 10_000);
    checkpoint(&host, "third", "base.vhdx", TIME + 10_000);
    let checkpoint = found(&host, "base.vhdx").unwrap();
    assert_eq!(checkpoint.names, ["third"]);
    assert!(checkpoint.is_changed, "the first checkpoint was deleted");
    assert_eq!(checkpoint.time, Some(at_second(TIME + 10_000)));
}

#[test]
fn a_disk_that_another_was_merged_into_loses_name_and_time_whatever_the_clock_says() {
    let host = host();
    let child = host.path("web/Disks/middle.avhdx");
    let options = MergeOptions::default();
    let resolver = FolderResolver::default();
    let planned =
        MergePlan::prepare(&child, MergeTarget::Parent, &resolver, &[], &options, &NoProgress).unwrap();
    let Planned::Ready(plan) = planned else { panic!("{planned:?}") };
    plan.execute(&HostFiles, &NoProgress).unwrap();
    std::fs::remove_file(&child).unwrap();
    set_modified(&host.path("web/Disks/base.vhdx"), TIME);
    let checkpoint = found(&host, "base.vhdx").unwrap();
    assert!(checkpoint.is_changed, "{checkpoint:?}");
    assert!(checkpoint.names.is_empty() && checkpoint.time_source == TimeSource::File);
}
