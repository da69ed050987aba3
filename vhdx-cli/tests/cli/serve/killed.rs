//! A server that is killed leaves what was flushed. Every other sector is old or new, and no parent has changed.

use std::io;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::json;
use vhdx::{Chain, DiskOffset, FolderResolver};
use vhdx_testkit::Random;

use super::server::Server;
use crate::images::family;
use crate::nbd_client::Client;
use crate::run;

const SECTOR: usize = 512;
/// The end of a part that only durable writes change, in bytes.
const DURABLE: usize = 64 << 10;

/// What a part of the disk may hold.
struct Model {
    start: usize,
    /// The content at the last flush that was answered.
    flushed: Vec<u8>,
    /// The changes since then that were sent, answered or not: place in the part, and content.
    sent: Vec<(usize, Vec<u8>)>,
    /// How many flushes were answered.
    flushes: usize,
    /// How many writes with the flag FUA were answered.
    durable_writes: usize,
}

impl Model {
    fn flush(&mut self) {
        for (at, bytes) in self.sent.drain(..) {
            self.flushed[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        self.flushes += 1;
    }

    /// Writes in the last part with the flag FUA. What was answered is durable without a flush.
    fn write_durably(&mut self, client: &mut Client, random: &mut Random) -> io::Result<()> {
        let len = (1 + random.below(DURABLE / SECTOR)) * SECTOR;
        let (at, bytes) = (self.flushed.len() - len, random.bytes(len));
        self.sent.push((at, bytes.clone()));
        client.write_durably((self.start + at) as u64, &bytes)?;
        self.flushed[at..].copy_from_slice(&bytes);
        // Whatever was sent before is older.
        self.sent.retain(|(start, bytes)| start + bytes.len() <= at);
        self.durable_writes += 1;
        Ok(())
    }

    /// Asserts that each sector holds its content at the last flush, or that of a change that was sent since.
    fn assert_allows(&self, disk: &[u8], when: &str) {
        let part = &disk[self.start..self.start + self.flushed.len()];
        for (number, (found, flushed)) in part.chunks(SECTOR).zip(self.flushed.chunks(SECTOR)).enumerate() {
            let at = number * SECTOR;
            let sent = self.sent.iter().filter(|(start, bytes)| (*start..start + bytes.len()).contains(&at));
            let mut sent = sent.map(|(start, bytes)| &bytes[at - start..][..SECTOR]);
            assert!(
                found == flushed || sent.any(|new| new == found),
                "{when}: the sector at {} is neither old nor new",
                self.start + at
            );
        }
    }
}

/// Changes a part of the disk until the server is gone.
fn change(socket: &Path, mut model: Model, seed: u64) -> JoinHandle<Model> {
    let socket = socket.to_owned();
    thread::spawn(move || {
        let mut random = Random::new(seed);
        let Ok(mut client) = Client::connect(&socket, "") else { return model };
        loop {
            let len = (1 + random.below(200)) * SECTOR;
            let at = random.below((model.flushed.len() - DURABLE - len) / SECTOR) * SECTOR;
            let offset = (model.start + at) as u64;
            let done = match random.below(10) {
                0 => client.flush().map(|()| model.flush()),
                1 => model.write_durably(&mut client, &mut random),
                2 => {
                    model.sent.push((at, vec![0; len]));
                    client.write_zeroes(offset, len as u32)
                }
                _ => {
                    let bytes = random.bytes(len);
                    model.sent.push((at, bytes.clone()));
                    client.write(offset, &bytes)
                }
            };
            if done.is_err() {
                return model;
            }
        }
    })
}

fn read_disk(file: &Path, when: &str) -> Vec<u8> {
    let chain =
        Chain::open(file, &FolderResolver::default()).unwrap_or_else(|error| panic!("{when}: {error}"));
    let mut bytes = vec![0; usize::try_from(chain.virtual_size()).unwrap()];
    chain.read_exact_at(&mut bytes, DiskOffset::new(0)).unwrap_or_else(|error| panic!("{when}: {error}"));
    bytes
}

#[test]
fn a_server_that_is_killed_at_any_moment_keeps_what_was_flushed() {
    const KILLS: usize = 100;
    const CLIENTS: usize = 3;
    let family = family();
    let before = family.files();
    let new = family.path("new.avhdx");
    let mut random = Random::new(u64::from(std::process::id()));
    let mut disk = family.content.clone();
    let (mut flushes, mut durable, mut lost) = (0, 0, 0);
    for kill in 0..KILLS {
        let when = format!("kill {kill}");
        let mode = if kill == 0 {
            ["--overlay".into(), new.clone().into_os_string()].to_vec()
        } else {
            vec!["--writable".into()]
        };
        let file = if kill == 0 { family.leaf() } else { new.clone() };
        let server = Server::start([file.into_os_string()].into_iter().chain(mode));
        let part = disk.len() / CLIENTS / SECTOR * SECTOR;
        let model = |number: usize| {
            let start = number * part;
            Model {
                start,
                flushed: disk[start..start + part].to_vec(),
                sent: Vec::new(),
                flushes: 0,
                durable_writes: 0,
            }
        };
        let clients: Vec<_> =
            (0..CLIENTS).map(|number| change(&server.socket(), model(number), random.number())).collect();
        thread::sleep(Duration::from_micros(random.below(60_000) as u64));
        server.kill();
        let models: Vec<Model> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        disk = read_disk(&new, &when);
        models.iter().for_each(|model| model.assert_allows(&disk, &when));
        flushes += models.iter().map(|model| model.flushes).sum::<usize>();
        durable += models.iter().map(|model| model.durable_writes).sum::<usize>();
        lost += models.iter().map(|model| model.sent.len()).sum::<usize>();
    }
    let done = format!("{flushes} flushes, {durable} durable writes, {lost} changes after them");
    assert!(flushes > KILLS && durable > KILLS && lost > KILLS, "too little was done: {done}");
    // The last kill left a log that the next program replays.
    run!("replay", new).exits(0);
    assert_eq!(run!("check", new, "--chain", "--json").exits(0).json()["valid"], json!(true));
    let mut after = family.files();
    after.remove("new.avhdx").unwrap();
    assert!(after == before, "a parent was changed");
}
