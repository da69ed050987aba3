//! Other programs must read the same content from the files that are written here and the chains that are read here.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use vhdx_testkit::{ChainModel, chains, shared};

use crate::images::family;
use crate::run;

/// The number of random chains that are written in each form.
const CHAINS: usize = 12;

#[test]
fn qemu_reads_the_same_from_every_vhdx_that_is_written() {
    if shared::program("qemu-img").is_none() {
        return;
    }
    for model in models().filter(|model| model.sector_size == 512).take(CHAINS) {
        let folder = tempfile::tempdir().unwrap();
        let leaf = model.write_to(folder.path()).unwrap().swap_remove(0);
        let raw = folder.path().join("disk.raw");
        std::fs::write(&raw, model.disks().pop().unwrap()).unwrap();
        for file in written(&leaf, folder.path()) {
            qemu(&["check", "-f", "vhdx"], &[&file]);
            qemu(&["compare", "-f", "raw", "-F", "vhdx"], &[&raw, &file]);
        }
    }
}

#[test]
fn seven_zip_reads_the_same_from_chains_and_from_what_is_written() {
    if shared::program("7zz").is_none() {
        return;
    }
    let family = family();
    let mut files = written(&family.leaf(), family.folder.path());
    files.push(family.leaf());
    for file in files {
        let out = Command::new("7zz").args(["x", "-so", "-tvhdx"]).arg(&file).stderr(Stdio::null()).output();
        let out = out.unwrap();
        assert!(out.status.success(), "{}", file.display());
        assert!(out.stdout == family.content, "7zz reads other bytes from {}", file.display());
    }
}

#[test]
fn a_raw_image_of_qemu_is_converted_to_an_equal_disk() {
    if shared::program("qemu-img").is_none() {
        return;
    }
    let family = family();
    let (raw, vhdx) = (family.path("qemu.raw"), family.path("new.vhdx"));
    qemu(&["convert", "-f", "vhdx", "-O", "raw"], &[&family.base(), &raw]);
    run!("convert", raw, vhdx).exits(0);
    qemu(&["compare", "-f", "raw", "-F", "vhdx"], &[&raw, &vhdx]);
}

/// Returns random chains, the same in each run.
fn models() -> impl Iterator<Item = ChainModel> {
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    std::iter::repeat_with(move || chains(4).new_tree(&mut runner).unwrap().current())
}

/// Writes a chain as one file in every form, and returns the files.
pub(crate) fn written(leaf: &Path, folder: &Path) -> Vec<PathBuf> {
    let [dynamic, small, fixed, merged] =
        ["dynamic.vhdx", "small.vhdx", "fixed.vhdx", "merged.vhdx"].map(|name| folder.join(name));
    run!("convert", leaf, dynamic).exits(0);
    run!("convert", leaf, small, "--block-size", "1M").exits(0);
    run!("convert", leaf, fixed, "--type", "fixed", "--block-size", "2M").exits(0);
    run!("merge", leaf, "--output", merged).exits(0);
    vec![dynamic, small, fixed, merged]
}

#[track_caller]
pub(crate) fn qemu(args: &[&str], files: &[&Path]) {
    let out = Command::new("qemu-img").args(args).args(files).output().unwrap();
    let said = [out.stdout, out.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(out.status.success(), "qemu-img {args:?} {files:?}: {said:?}");
}
