//! The end of a server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use vhdx_serve::{ConnectionEnd, Export, Limits, Listener, SharedDisk};

use crate::client::{DISC, READ};
use crate::harness::{Running, chain, content, export, model, read_only, writable};

#[test]
fn requests_that_run_are_answered_before_the_server_ends() {
    let (model, expected) = (model(1), content(&model(1)));
    let server = Running::of(read_only(chain(&model)));
    let mut client = server.client();
    let idle = server.client();
    let lens = (0..50).map(|_| (client.send(READ, 0, 0, 1 << 20, &[]), 1 << 20)).collect();
    let stop = server.stop.clone();
    let thread = std::thread::spawn(move || stop.stop());
    // Every request has an answer: its content, or the message that the server stops.
    let answers = client.answers(&lens);
    thread.join().unwrap();
    if let Ok(answers) = answers {
        for answer in answers.values() {
            assert!(answer.error == Some(108) || answer.content(0, 1 << 20) == expected[..1 << 20]);
        }
    }
    let socket = server.socket.clone();
    let log = Arc::clone(&server.log);
    server.join().unwrap();
    assert!(!socket.exists());
    let ends = log.ends.lock().unwrap();
    assert_eq!(*ends, [ConnectionEnd::Stopped, ConnectionEnd::Stopped]);
    drop(idle);
}

#[test]
fn a_stopped_server_has_flushed_its_disks() {
    let model = model(2);
    let (_folder, leaf, disk) = writable(&model);
    let disk = Arc::new(SharedDisk::writable(disk));
    let server = Running::new(vec![Export::new("", "", Arc::clone(&disk)).unwrap()], Limits::default());
    assert_eq!(server.client().write(0, 5000, &[9; 3000]), None);
    server.stop().unwrap();
    drop(disk); // without `close`, as after a power failure
    let chain = vhdx::Chain::open(&leaf, &vhdx::FolderResolver::default()).unwrap();
    let mut bytes = [0; 3000];
    chain.read_exact_at(&mut bytes, vhdx::DiskOffset::new(5000)).unwrap();
    assert_eq!(bytes, [9; 3000]);
}

#[test]
fn clients_that_take_no_replies_do_not_hold_up_the_end() {
    let mut limits = Limits::default();
    limits.stop_time = Duration::from_millis(300);
    let server = Running::new(vec![export("disk", read_only(chain(&model(1))))], limits);
    let mut deaf = server.client();
    for _ in 0..40 {
        deaf.send(READ, 4, 0, 1 << 20, &[]);
    }
    std::thread::sleep(Duration::from_millis(50));
    let start = Instant::now();
    server.stop().unwrap();
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

#[test]
fn a_server_whose_path_has_another_one_ends_and_leaves_it() {
    let first = Running::of(read_only(chain(&model(1))));
    assert_eq!(first.client().read(0, 512), content(&model(1))[..512]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moved");
    std::fs::rename(&first.socket, &path).unwrap();
    let (socket, other) = (first.socket.clone(), Listener::unix(&first.socket).unwrap());
    let (sender, ended) = std::sync::mpsc::channel();
    let stop = first.stop.clone();
    std::thread::spawn(move || {
        let result = first.join_and(|| assert!(socket.exists()));
        sender.send(result).unwrap();
    });
    stop.stop();
    ended.recv_timeout(Duration::from_secs(10)).expect("the server ends").unwrap();
    drop(other);
}

#[test]
fn once_ends_after_the_last_client() {
    let exports = vec![export("disk", read_only(chain(&model(1))))];
    let server = Running::start(exports, Limits::default(), |server| server.end_after_last_client());
    // Somebody who only looks whether the server is there is no client.
    drop(server.connect());
    let mut first = server.client();
    let mut second = server.client();
    first.send(DISC, 0, 0, 0, &[]);
    assert!(first.is_closed());
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(second.read(0, 512), content(&model(1))[..512]);
    drop(second);
    server.join().unwrap();
}
