//! Clients write to a new child, to a temporary child, or to the file itself.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use serde_json::json;
use vhdx::{Chain, DiskOffset, FolderResolver};
use vhdx_testkit::{Random, shared};

use super::server::Server;
use crate::images::{MIB, SIZE, family, names};
use crate::nbd_client::Client;
use crate::run;
use crate::run::ran;

fn read_disk(file: &Path) -> Vec<u8> {
    let chain = Chain::open(file, &FolderResolver::default()).unwrap();
    let mut bytes = vec![0; usize::try_from(chain.virtual_size()).unwrap()];
    chain.read_exact_at(&mut bytes, DiskOffset::new(0)).unwrap();
    bytes
}

/// Does random writes, trims, zeroes and flushes in the part of the disk that begins at `start`, and keeps the model.
///
/// A trimmed range may keep its old content where it is not a whole block, so the model takes what is read.
fn change_at_random(client: &mut Client, start: usize, part: &mut [u8], random: &mut Random, steps: usize) {
    for _ in 0..steps {
        let len = (1 + random.below(64)) * 512 + random.below(2) * random.below(512);
        let at = random.below(part.len() - len);
        let (offset, range) = ((start + at) as u64, at..at + len);
        match random.below(8) {
            0 => {
                client.write_zeroes(offset, len as u32).unwrap();
                part[range].fill(0);
            }
            1 => {
                client.trim(offset, len as u32).unwrap();
                let after = client.read(offset, len).unwrap();
                let old = &part[range.clone()];
                assert!(after.iter().zip(old).all(|(new, old)| *new == 0 || new == old), "trim changed data");
                part[range].copy_from_slice(&after);
            }
            2 => client.flush().unwrap(),
            3 | 4 => assert!(client.read(offset, len).unwrap() == part[range], "at {offset}"),
            _ => {
                let bytes = random.bytes(len);
                client.write(offset, &bytes).unwrap();
                part[range].copy_from_slice(&bytes);
            }
        }
    }
}

/// Lets four clients change a quarter of the disk each, and returns the content that the disk must have.
fn change_with_four_clients(server: &Server, content: &[u8], seed: u64) -> Vec<u8> {
    let mut model = content.to_vec();
    let quarter = model.len() / 4;
    thread::scope(|scope| {
        for (number, part) in model.chunks_mut(quarter).enumerate() {
            let socket = server.socket();
            scope.spawn(move || {
                let mut client = Client::connect(&socket, "").unwrap();
                let mut random = Random::new(seed + number as u64);
                change_at_random(&mut client, number * quarter, part, &mut random, 300);
                client.flush().unwrap();
                client.disconnect();
            });
        }
    });
    model
}

#[test]
fn an_overlay_takes_all_writes_and_stays() {
    let family = family();
    let before = family.files();
    let new = family.path("new.avhdx");
    let args = [family.leaf().into_os_string(), "--overlay".into(), new.clone().into_os_string()];
    let server = Server::start(&args);
    let started = server.started();
    assert_eq!(started["writes_to"], json!(new));
    let exports = started["exports"].as_array().unwrap();
    let access: Vec<_> = exports.iter().map(|one| (one["name"].clone(), one["read_only"].clone())).collect();
    let expected = [("new", false), ("leaf", true), ("mid", true), ("base", true)];
    assert_eq!(access, expected.map(|(name, read_only)| (json!(name), json!(read_only))));
    let model = change_with_four_clients(&server, &family.content, 1);
    // A checkpoint is not written to.
    let mut frozen = Client::connect(&server.socket(), "leaf").unwrap();
    assert_eq!(frozen.write(0, &[1; 512]).unwrap_err().raw_os_error(), Some(1));
    assert!(frozen.read(0, MIB).unwrap() == family.content[..MIB]);
    drop(frozen);
    server.stop().exits(0);
    let checked = run!("check", new, "--chain", "--json").exits(0).json();
    assert_eq!((&checked["valid"], &checked["dirty_logs"]), (&json!(true), &json!([])));
    assert!(read_disk(&new) == model, "the child reads otherwise");
    let mut after = family.files();
    after.remove("new.avhdx").unwrap();
    assert!(after == before, "another file was changed");
}

#[test]
fn a_snapshot_takes_all_writes_and_is_gone_at_the_end() {
    let family = family();
    let before = family.files();
    let server = Server::start(["--snapshot".as_ref(), family.leaf().as_os_str()]);
    assert_eq!(server.started()["is_temporary"], true);
    let model = change_with_four_clients(&server, &family.content, 2);
    let mut client = Client::connect(&server.socket(), "").unwrap();
    assert!(client.read(0, SIZE as usize).unwrap() == model);
    client.disconnect();
    let temporary = names(server.temporary());
    assert!(temporary.iter().all(|name| name == "socket" || name.starts_with("vhdx-")), "{temporary:?}");
    let mut server = server;
    server.interrupt();
    server.wait().exits(0);
    assert_eq!(names(server.temporary()), Vec::<String>::new());
    assert!(family.files() == before, "a file was changed");
}

#[test]
fn a_snapshot_of_a_killed_server_is_gone() {
    let family = family();
    let before = family.files();
    let temporary = tempfile::tempdir().unwrap();
    let args = ["--snapshot".into(), family.leaf().into_os_string()];
    let server = Server::start_with_temporary(temporary.path(), args);
    let mut client = Client::connect(&server.socket(), "").unwrap();
    client.write(0, &[7; 4096]).unwrap();
    client.flush().unwrap();
    server.kill();
    assert_eq!(names(temporary.path()), Vec::<String>::new());
    assert!(family.files() == before, "a file was changed");
}

#[test]
fn the_file_itself_takes_writes_if_nothing_depends_on_it() {
    let family = family();
    let before = family.files();
    let server = Server::start(["--writable".as_ref(), family.leaf().as_os_str()]);
    let model = change_with_four_clients(&server, &family.content, 3);
    // The lock keeps others out.
    run!("convert", family.leaf(), family.path("copy.raw")).exits(6);
    server.stop().exits(0);
    assert!(read_disk(&family.leaf()) == model);
    let checked = run!("check", family.leaf(), "--chain", "--json").exits(0).json();
    assert_eq!((&checked["valid"], &checked["dirty_logs"]), (&json!(true), &json!([])));
    let after = family.files();
    assert!(after["base.vhdx"] == before["base.vhdx"] && after["mid.avhdx"] == before["mid.avhdx"]);
    assert!(after["leaf.avhdx"] != before["leaf.avhdx"]);
}

#[test]
fn qemu_writes_out_of_order_and_discards() {
    let Some(()) = shared::program("qemu-io") else { return };
    let family = family();
    let new = family.path("new.avhdx");
    let args = [family.leaf().into_os_string(), "--overlay".into(), new.clone().into_os_string()];
    let server = Server::start(&args);
    // qemu writes the whole disk again, out of order and with 16 requests at a time.
    let source = family.path("source.raw");
    let mut random = Random::new(5);
    let mut content = random.bytes(SIZE as usize);
    fs::write(&source, &content).unwrap();
    let (from, to) = (source.to_str().unwrap(), server.uri(""));
    let convert = ["convert", "-n", "-W", "-m", "16", "-f", "raw", "-O", "raw", from, &to];
    ran(Command::new("qemu-img").args(convert).output().unwrap()).exits(0);
    let commands = [
        "-f",
        "raw",
        "-d",
        "unmap",
        "-c",
        "write -P 17 4096 65536",
        "-c",
        "discard 2M 2M",
        "-c",
        "write -z 5M 4096",
        "-c",
        "read -P 17 4096 65536",
        "-c",
        "read -P 0 5M 4096",
        "-c",
        "flush",
        &to,
    ];
    let io = ran(Command::new("qemu-io").args(commands).output().unwrap()).exits(0);
    assert!(!io.text().contains("failed"), "{}", io.text());
    content[4096..4096 + 65536].fill(17);
    content[5 * MIB..5 * MIB + 4096].fill(0);
    server.stop().exits(0);
    let disk = read_disk(&new);
    // The child has blocks of 2 MiB.
    content[2 * MIB..4 * MIB].fill(0);
    assert!(disk == content);
}

/// Reads of one client see the writes of another at once: all connections share one disk.
#[test]
fn clients_see_the_writes_of_each_other() {
    let family = family();
    let server = Server::start(["--snapshot".as_ref(), family.leaf().as_os_str()]);
    let connect = || Mutex::new(Client::connect(&server.socket(), "").unwrap());
    let (one, other) = (connect(), connect());
    for step in 0..200_u64 {
        let bytes = step.to_le_bytes();
        one.lock().unwrap().write(step * 8, &bytes).unwrap();
        assert_eq!(other.lock().unwrap().read(step * 8, 8).unwrap(), bytes);
    }
}
