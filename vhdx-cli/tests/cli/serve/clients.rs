//! Clients of other projects read the same bytes as `vhdx convert`.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use vhdx_testkit::shared;

use super::server::Server;
use crate::images::{MIB, SIZE, family};
use crate::nbd_client::Client;
use crate::run;
use crate::run::ran;

/// Runs a client to its end, which must be a success, and returns what it printed.
#[track_caller]
fn client(program: &str, args: &[&str]) -> String {
    ran(Command::new(program).args(args).output().unwrap()).exits(0).text()
}

fn programs() -> Option<()> {
    for program in ["nbdinfo", "nbdcopy", "qemu-img", "qemu-io", "fio"] {
        shared::program(program)?;
    }
    Some(())
}

#[test]
fn every_checkpoint_is_an_export_and_the_file_is_the_default() {
    let Some(()) = programs() else { return };
    let family = family();
    let before = family.files();
    let server = Server::start([family.leaf()]);
    let started = server.started();
    let names: Vec<&Value> = started["exports"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["leaf", "mid", "base"]);
    assert_eq!(started["uri"], server.uri(""));
    assert_eq!(started["exports"][1]["path"], json!(family.mid()));
    assert_eq!(started["exports"][1]["size"], SIZE);
    assert_eq!(started["exports"][1]["read_only"], true);
    for (export, file) in
        [("", family.leaf()), ("leaf", family.leaf()), ("mid", family.mid()), ("base", family.base())]
    {
        let (ours, theirs) = (family.path("ours.raw"), family.path("theirs.raw"));
        run!("convert", file, ours, "--force").exits(0);
        let _ = fs::remove_file(&theirs);
        client("nbdcopy", &[&server.uri(export), theirs.to_str().unwrap()]);
        assert!(fs::read(&ours).unwrap() == fs::read(&theirs).unwrap(), "{export}");
        let uri = server.uri(export);
        client("qemu-img", &["compare", "-f", "raw", "-F", "raw", ours.to_str().unwrap(), &uri]);
    }
    let list = client("nbdinfo", &["--list", "--json", &server.uri("")]);
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["exports"].as_array().unwrap().len(), 3);
    server.stop().exits(0);
    fs::remove_file(family.path("ours.raw")).unwrap();
    fs::remove_file(family.path("theirs.raw")).unwrap();
    assert!(family.files() == before, "the files were changed");
}

#[test]
fn real_chains_read_as_convert_reads_them() {
    let Some(()) = programs() else { return };
    let Some(folder) = shared::folder("fixtures") else { return };
    let Some(()) = shared::program("xz") else { return };
    let scratch = tempfile::tempdir().unwrap();
    let images = crate::fixtures::manifest(&folder);
    for image in &images {
        crate::fixtures::unpack(&folder, image, scratch.path());
    }
    let mut compared = 0;
    for image in images.iter().filter(|image| image["read"]["sha256"].is_string()) {
        if image["virtual_size"].as_u64().unwrap() > 2 << 30 {
            continue;
        }
        let path = scratch.path().join(crate::fixtures::name(image));
        let (ours, copy) = (scratch.path().join("ours.raw"), scratch.path().join("copy.qcow2"));
        run!("convert", path, ours, "--force").exits(0);
        let server = Server::start([&path]);
        let (uri, copy, ours) = (server.uri(""), copy.to_str().unwrap(), ours.to_str().unwrap());
        client("qemu-img", &["convert", "-f", "raw", "-W", "-m", "16", &uri, "-O", "qcow2", copy]);
        client("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", ours, copy]);
        client("qemu-img", &["compare", "-f", "raw", "-F", "raw", ours, &uri]);
        server.stop().exits(0);
        compared += 1;
    }
    assert!(compared >= 14, "{compared}");
}

/// Returns the runs of a map as (start, length, whether it is zeros), neighbours joined.
fn runs(map: &Value, start: &str, is_zero: impl Fn(&Value) -> bool) -> Vec<(u64, u64, bool)> {
    let mut runs: Vec<(u64, u64, bool)> = Vec::new();
    for extent in map.as_array().unwrap() {
        let (at, len) = (extent[start].as_u64().unwrap(), extent["length"].as_u64().unwrap());
        match runs.last_mut() {
            Some(last) if last.2 == is_zero(extent) => last.1 += len,
            _ => runs.push((at, len, is_zero(extent))),
        }
    }
    runs
}

#[test]
fn maps_agree_with_the_command_map() {
    let Some(()) = programs() else { return };
    let family = family();
    let server = Server::start([family.leaf()]);
    let ours = run!("map", family.leaf(), "--json").exits(0).json();
    let ours = runs(&ours, "start", |extent| extent["zero"] == true);
    let nbdinfo = client("nbdinfo", &["--map", "--json", &server.uri("")]);
    let nbdinfo = serde_json::from_str(&nbdinfo).unwrap();
    assert_eq!(runs(&nbdinfo, "offset", |extent| extent["type"].as_u64().unwrap() & 2 != 0), ours);
    let qemu = client("qemu-img", &["map", "--output=json", "-f", "raw", &server.uri("")]);
    let qemu = serde_json::from_str(&qemu).unwrap();
    assert_eq!(runs(&qemu, "start", |extent| extent["zero"] == true), ours);
    assert!(ours.len() > 2, "{ours:?}");
    // The files, counted from the base: 3 is the leaf.
    let layers = client("nbdinfo", &["--map=vhdx:layer", "--json", &server.uri("")]);
    let layers: Value = serde_json::from_str(&layers).unwrap();
    let of = |offset: usize| {
        let found = layers
            .as_array()
            .unwrap()
            .iter()
            .rfind(|extent| extent["offset"].as_u64() <= Some(offset as u64));
        found.unwrap()["type"].as_u64().unwrap() & 0x7fff_ffff
    };
    assert_eq!([of(0), of(512), of(MIB), of(2 * MIB), of(3 * MIB), of(4 * MIB)], [1, 3, 2, 3, 1, 0]);
}

#[test]
fn a_server_for_one_client_ends_after_it() {
    let family = family();
    let mut server = Server::start(["--once".as_ref(), family.leaf().as_os_str()]);
    let mut first = Client::connect(&server.socket(), "").unwrap();
    let second = Client::connect(&server.socket(), "base").unwrap();
    second.disconnect();
    assert_eq!(first.read(512, 4).unwrap(), b"llll");
    first.disconnect();
    server.wait().exits(0);
    assert!(!server.socket().exists(), "the socket is removed");
}

#[test]
fn a_layer_that_fails_while_it_is_served_fails_its_own_requests_only_and_is_named() {
    let family = family();
    let server = Server::start([family.leaf()]);
    let mut client = Client::connect(&server.socket(), "").unwrap();
    // The only payload block of the checkpoint is lost.
    let file = fs::File::options().write(true).open(family.mid()).unwrap();
    file.set_len(file.metadata().unwrap().len() - MIB as u64).unwrap();
    for _ in 0..2 {
        assert_eq!(client.read(MIB as u64, 4096).unwrap_err().raw_os_error(), Some(5));
        assert_eq!(client.read(512, 4).unwrap(), b"llll");
        assert_eq!(client.read(3 * MIB as u64, 4).unwrap(), b"bbbb");
    }
    client.disconnect();
    // Clients may have read a mix of old and new data.
    let stopped = server.stop().exits(6);
    let failures: Vec<Value> =
        stopped.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [failure, end] = failures.as_slice() else { panic!("one failure and the end: {}", stopped.stderr) };
    assert!(end["error"]["path"].as_str().unwrap().contains("mid.avhdx"), "{end}");
    assert_eq!((&failure["code"], &failure["offset"]), (&json!("EIO"), &json!(MIB)));
    let message = failure["message"].as_str().unwrap();
    assert!(message.contains("mid.avhdx") && message.contains("cannot read at 0x"), "{message}");
}

#[test]
fn fio_verifies_what_it_has_written() {
    let Some(()) = programs() else { return };
    let family = family();
    let server = Server::start(["--snapshot".as_ref(), family.leaf().as_os_str()]);
    let uri = format!("--uri={}", server.uri(""));
    let folder = tempfile::tempdir().unwrap();
    let job = [
        "--name=verify",
        "--ioengine=nbd",
        "--rw=randwrite",
        "--bs=4k",
        "--iodepth=16",
        "--fsync=64",
        "--verify=crc32c",
        "--size=6m",
        &uri,
    ];
    let done = Command::new("fio").args(job).current_dir(folder.path()).output().unwrap();
    ran(done).exits(0);
    server.stop().exits(0);
}

#[test]
fn systemd_passes_a_socket() {
    let Some(()) = shared::program("systemd-socket-activate") else { return };
    let family = family();
    let socket = family.path("activated");
    let mut activate = Command::new("systemd-socket-activate");
    activate
        .arg("-l")
        .arg(&socket)
        .arg(env!("CARGO_BIN_EXE_vhdx"))
        .arg("serve")
        .arg(family.leaf())
        .arg("--once");
    let mut activated =
        activate.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut client = connect_soon(&socket);
    assert_eq!(client.size, SIZE);
    assert_eq!(client.read(512, 4).unwrap(), b"llll");
    client.disconnect();
    assert!(activated.wait().unwrap().success());
}

/// Connects as soon as the socket exists.
fn connect_soon(socket: &Path) -> Client {
    for _ in 0..1000 {
        match Client::connect(socket, "") {
            Ok(client) => return client,
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    }
    panic!("nobody listens on {}", socket.display());
}
