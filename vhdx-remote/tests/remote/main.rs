//! Tests against servers on this machine: one of the tests' own that spoils its answers, nginx, and moto.

mod faults;
mod lists;
mod moto;
mod nginx;
mod opening;
mod programs;
mod reading;
mod settings;
mod uploads;

use std::time::Duration;

use vhdx::{FileOffset, ReadAt};
use vhdx_remote::{Remote, RemoteFile, RemoteOptions};
use vhdx_testkit::http::{FileServer, HttpServer};

/// Options with short waits.
fn options() -> RemoteOptions {
    let mut options = RemoteOptions::default();
    options.first_wait = Duration::from_millis(1);
    options.idle_timeout = Duration::from_millis(500);
    options.request_timeout = Duration::from_secs(20);
    options
}

fn remote() -> Remote {
    Remote::new(options())
}

/// Options for a server that behaves like S3. The credentials must be in no message.
fn s3_options(server: &HttpServer) -> RemoteOptions {
    options()
        .setting("aws_endpoint", server.url(""))
        .setting("aws_region", "eu-central-1")
        .setting("aws_access_key_id", "secret-id")
        .setting("aws_secret_access_key", "secret-key")
}

fn s3(server: &HttpServer) -> Remote {
    Remote::new(s3_options(server))
}

/// Bytes that differ at every place.
fn content(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    for (number, chunk) in (0_u64..).zip(bytes.chunks_mut(8)) {
        chunk.copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[..chunk.len()]);
    }
    bytes
}

/// A server with one file, `/disk`.
fn served(bytes: Vec<u8>) -> (FileServer, HttpServer) {
    let files = FileServer::default();
    files.put("/disk", bytes);
    let server = files.start();
    (files, server)
}

fn open(remote: &Remote, url: &str) -> std::io::Result<RemoteFile> {
    let name = remote.add(url)?;
    remote.open(&name)
}

fn read(file: &RemoteFile, offset: u64, len: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, FileOffset::new(offset))?;
    Ok(bytes)
}
