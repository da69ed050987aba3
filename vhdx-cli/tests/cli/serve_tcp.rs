//! `vhdx serve` on a TCP port, on every system.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::Stdio;

use crate::images::{MIB, SIZE, family};
use crate::nbd_client::Client;
use crate::run::command;

#[test]
fn a_client_reads_and_writes_over_tcp() {
    let family = family();
    let before = family.files();
    let new = family.path("new.avhdx");
    let mut serve = command();
    serve.arg("serve").arg(family.leaf()).arg("--overlay").arg(&new).args(["--tcp", "127.0.0.1:0", "--once"]);
    let mut server = serve.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap);
    let uri = lines.find_map(|line| line.strip_prefix("address of the default export: ").map(str::to_owned));
    let uri = uri.unwrap();
    let mut client =
        Client::over(TcpStream::connect(uri.strip_prefix("nbd://").unwrap()).unwrap(), "").unwrap();
    assert_eq!(client.size, SIZE);
    assert_eq!(client.read(512, 4).unwrap(), b"llll");
    client.write(3 * MIB as u64, &[7; 4096]).unwrap();
    client.flush().unwrap();
    assert_eq!(client.read(3 * MIB as u64, 4096).unwrap(), [7; 4096]);
    client.disconnect();
    lines.for_each(drop);
    assert!(server.wait().unwrap().success());
    let mut after = family.files();
    assert!(after.remove("new.avhdx").is_some());
    assert!(after == before, "another file was changed");
}
