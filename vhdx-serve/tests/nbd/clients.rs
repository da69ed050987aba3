//! The clients that people use: libnbd's programs and QEMU's.

use std::process::Command;

use vhdx::{Chain, FolderResolver};
use vhdx_serve::SharedDisk;
use vhdx_testkit::shared::program;

use crate::harness::{Running, chain, content, model, read_only, writable};

/// Runs a program. Panics with its output unless it succeeds.
fn run(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(name).args(arguments).output().unwrap();
    let [out, err] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{name} {arguments:?}: {out}{err}");
    out
}

#[test]
fn libnbd_reads_lists_and_maps() {
    if program("nbdinfo").and(program("nbdcopy")).is_none() {
        return;
    }
    let (server, expected) = (Running::of(read_only(chain(&model(1)))), content(&model(1)));
    let list = run("nbdinfo", &["--list", &server.uri()]);
    assert!(list.contains("export=\"disk\"") && list.contains("the disk disk"), "{list}");
    for context in ["base:allocation", "qemu:allocation-depth", "vhdx:layer"] {
        assert!(list.contains(context), "{list}");
        let map = run("nbdinfo", &[&format!("--map={context}"), &server.uri()]);
        let covered: u64 =
            map.lines().map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()).sum();
        assert_eq!(covered, expected.len() as u64, "{map}");
    }
    let folder = tempfile::tempdir().unwrap();
    for connections in ["1", "4"] {
        let copy = folder.path().join(format!("copy{connections}"));
        run("nbdcopy", &["-C", connections, &server.uri(), copy.to_str().unwrap()]);
        assert!(std::fs::read(&copy).unwrap() == expected);
    }
}

#[test]
fn libnbd_writes_a_whole_disk() {
    if program("nbdcopy").is_none() {
        return;
    }
    let (folder, leaf, disk) = writable(&model(2));
    let disk = std::sync::Arc::new(SharedDisk::writable(disk));
    let export = vhdx_serve::Export::new("disk", "", std::sync::Arc::clone(&disk)).unwrap();
    let server = Running::new(vec![export], vhdx_serve::Limits::default());
    let (source, new) = (folder.path().join("new.raw"), content(&model(5)));
    std::fs::write(&source, &new).unwrap();
    run("nbdcopy", &["--flush", "-C", "4", source.to_str().unwrap(), &server.uri()]);
    server.stop().unwrap();
    disk.close().unwrap();
    let chain = Chain::open(&leaf, &FolderResolver::default()).unwrap();
    let mut bytes = vec![0; new.len()];
    chain.read_exact_at(&mut bytes, vhdx::DiskOffset::new(0)).unwrap();
    assert!(bytes == new);
}

#[test]
fn qemu_converts_compares_and_maps() {
    if program("qemu-img").is_none() {
        return;
    }
    let (server, expected) = (Running::of(read_only(chain(&model(1)))), content(&model(1)));
    let folder = tempfile::tempdir().unwrap();
    let [raw, qcow2] = ["raw", "qcow2"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    run("qemu-img", &["convert", "-W", "-m", "16", "-O", "raw", &server.uri(), &raw]);
    assert!(std::fs::read(&raw).unwrap()[..expected.len()] == expected);
    run("qemu-img", &["convert", "-O", "qcow2", &server.uri(), &qcow2]);
    run("qemu-img", &["compare", &server.uri(), &qcow2]);
    let map = run("qemu-img", &["map", "--output=json", &server.uri()]);
    assert!(map.contains("\"zero\": true") && map.contains("\"data\": true"), "{map}");
}

#[test]
fn qemu_writes_discards_and_flushes() {
    if program("qemu-io").is_none() {
        return;
    }
    let (_folder, leaf, disk) = writable(&model(2));
    let disk = std::sync::Arc::new(SharedDisk::writable(disk));
    let export = vhdx_serve::Export::new("disk", "", std::sync::Arc::clone(&disk)).unwrap();
    let server = Running::new(vec![export], vhdx_serve::Limits::default());
    let mut arguments = vec!["-f", "raw"];
    let commands = [
        "write -P 0x11 1536 70000",
        "write -z 4M 100k",
        "write -z -u 2M 1M",
        "discard 3M 1M",
        "write -f -P 0x22 5M 512",
        "aio_write -P 0x33 1M 300k",
        "aio_flush",
        "flush",
        "read -P 0x11 1536 70000",
        "read -P 0 4M 100k",
        "read -P 0 2M 1M",
        "read -P 0x22 5M 512",
        "read -P 0x33 1M 300k",
    ];
    commands.iter().for_each(|command| arguments.extend(["-c", command]));
    let uri = server.uri();
    arguments.push(&uri);
    let out = run("qemu-io", &arguments);
    assert!(!out.contains("failed"), "{out}");
    server.stop().unwrap();
    disk.close().unwrap();
    let chain = Chain::open(&leaf, &FolderResolver::default()).unwrap();
    let mut bytes = vec![0; 70_000];
    chain.read_exact_at(&mut bytes, vhdx::DiskOffset::new(1536)).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0x11));
}
