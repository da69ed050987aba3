//! Each partition is a file.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;

use serde_json::json;
use vhdx_testkit::{Random, shared};

use super::mounted::{Mounted, can_mount};
use crate::images::MIB;
use crate::run;

/// The partitions, in sectors: two primary ones, an extended one, and a logical one in it.
const TABLE: &str = "label: dos
start=2048, size=2048, type=83
start=4096, size=6144, type=7
start=12288, size=4096, type=5
start=14336, size=2048, type=83
";

#[test]
fn partitions_are_files_and_extended_ones_are_not() {
    if !can_mount() || shared::program("sfdisk").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("disk.raw");
    let bytes = Random::new(5).bytes(8 * MIB);
    fs::write(&raw, &bytes).unwrap();
    // Nothing in it may look like a table.
    File::options().write(true).open(&raw).unwrap().write_all_at(&vec![0; MIB], 0).unwrap();
    let script = folder.path().join("script");
    fs::write(&script, TABLE).unwrap();
    let made =
        Command::new("sfdisk").arg("-q").arg(&raw).stdin(File::open(&script).unwrap()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let bytes = fs::read(&raw).unwrap();
    let disk = folder.path().join("disk.vhdx");
    run!("convert", raw, disk, "--quiet").exits(0);
    let mounted = Mounted::new(&disk, &[]);
    let expected = [("p1", 2048, 2048), ("p2", 4096, 6144), ("p5", 14336, 2048)];
    for (name, start, sectors) in expected {
        let found = fs::read(mounted.path("latest").join(name)).unwrap();
        assert!(found == bytes[start * 512..][..sectors * 512], "{name} has other bytes");
    }
    assert_eq!(
        fs::read_dir(mounted.path("latest/")).unwrap().count(),
        5,
        "no file for the extended partition"
    );
    let listed = expected
        .map(|(name, start, sectors)| json!({ "name": name, "start": start * 512, "length": sectors * 512 }));
    assert_eq!(mounted.answer["checkpoints"][0]["partitions"], json!(listed));
}
