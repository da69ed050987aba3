//! Systems on which vhdx cannot mount.

use crate::images::family;
use crate::run;

#[test]
fn other_systems_are_told_to_serve_the_disk() {
    let family = family();
    let folder = tempfile::tempdir().unwrap();
    let ran = run!("mount", family.leaf(), folder.path()).exits(4);
    assert!(ran.stderr.contains("vhdx serve"), "{}", ran.stderr);
}
