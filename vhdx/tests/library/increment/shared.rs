//! Other programs read the new file: an independent reader and 7-Zip as it is, QEMU after it was flattened.

use std::path::Path;
use std::process::{Command, Stdio};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use sha2::{Digest, Sha256};
use vhdx::ops::{FlattenOptions, FlattenPlan, IncrementPlan};
use vhdx::{Chain, FolderResolver, IfExists, Jobs, NewFile, NoProgress};
use vhdx_testkit::{ChainModel, Headers, RegionTables, chains, shared};

use crate::common::{Folder, assert_same, cases, read_all};

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn succeeds(command: &mut Command) -> Vec<u8> {
    let ran = command.output().unwrap();
    let said = [&ran.stdout, &ran.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(ran.status.success(), "{command:?}: {said:?}");
    ran.stdout
}

/// Flattens a chain and checks the copy with QEMU, which does not read differencing files.
#[track_caller]
fn qemu_agrees(chain: &Chain, folder: &Folder, expected: &[u8]) {
    let [flat, raw] = ["flat.vhdx", "flat.raw"].map(|name| folder.path(name));
    let file = NewFile::create(&flat, IfExists::Replace).unwrap();
    let plan = FlattenPlan::new(chain, &FlattenOptions::default()).unwrap();
    plan.execute(chain, &file, Jobs::default(), &NoProgress).unwrap();
    file.commit().unwrap();
    succeeds(Command::new("qemu-img").args(["check", "-q", "-f", "vhdx"]).arg(&flat));
    succeeds(Command::new("qemu-img").args(["convert", "-f", "vhdx", "-O", "raw"]).args([&flat, &raw]));
    assert_same(&std::fs::read(&raw).unwrap(), expected, "QEMU");
}

#[track_caller]
fn oracle_agrees(oracle: &Path, inc: &Path, expected: &[u8]) {
    succeeds(Command::new("python3").arg(oracle).arg("check").arg(inc));
    let read = succeeds(Command::new("python3").arg(oracle).arg("read-sha256").arg(inc));
    let read = String::from_utf8(read).unwrap();
    assert_eq!(read.split_whitespace().next(), Some(digest(expected).as_str()), "the independent reader");
}

fn seven_zip(disk: &Path) -> Command {
    let mut command = Command::new("7zz");
    command.args(["x", "-so", "-tvhdx"]).arg(disk).stdin(Stdio::null());
    command
}

/// Returns the model with sound and closed files of one size, because 7-Zip reads no others.
fn plain(mut model: ChainModel) -> ChainModel {
    let sectors = model.layers[0].sectors;
    for layer in &mut model.layers {
        (layer.log, layer.second_linkage, layer.sectors) = (None, false, sectors);
        (layer.headers, layer.region_tables) = (Headers::SecondIsCurrent, RegionTables::Both);
    }
    model
}

#[test]
fn other_programs_read_the_increment() {
    let Some(oracle) = shared::folder("oracle/dump_vhdx.py") else { return };
    let programs = ["python3", "qemu-img", "7zz"].map(shared::program);
    if programs.contains(&None) {
        return;
    }
    let mut runner = TestRunner::deterministic();
    let deep = chains(4).prop_filter("two points in time", |model| model.layers.len() > 1);
    let mut read_by_seven_zip = 0;
    for _ in 0..cases(12).cases {
        let model = plain(deep.new_tree(&mut runner).unwrap().current());
        let folder = Folder::new();
        let paths = model.write_to(&folder.path(".")).unwrap();
        let disks = model.disks();
        let [old, new] = [paths.last(), paths.first()]
            .map(|path| Chain::open(path.unwrap(), &FolderResolver::default()).unwrap());
        let inc = folder.path("inc.avhdx");
        let plan = IncrementPlan::new(&old, &new, &inc, &NoProgress).unwrap();
        let file = NewFile::create(&inc, IfExists::Fail).unwrap();
        plan.execute(&old, &new, &file, Jobs::default(), &NoProgress).unwrap();
        file.commit().unwrap();
        let expected = disks.last().unwrap();
        let made = Chain::open(&inc, &FolderResolver::default()).unwrap();
        assert_same(&read_all(&made), expected, "our reader");
        oracle_agrees(&oracle, &inc, expected);
        // It does not read a disk with a block in one of the rare states.
        if seven_zip(paths.last().unwrap()).output().unwrap().status.success() {
            assert_same(&succeeds(&mut seven_zip(&inc)), expected, "7-Zip");
            read_by_seven_zip += 1;
        }
        if model.sector_size == 512 {
            qemu_agrees(&made, &folder, expected);
        }
    }
    assert!(read_by_seven_zip > 3, "{read_by_seven_zip}");
}
