//! Clients that break the protocol, stop half-way or do not listen.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use vhdx_serve::{ConnectionEnd, Limits};
use vhdx_testkit::Random;

use crate::client::{Client, DISC, READ, WRITE, option, request};
use crate::harness::{Running, chain, content, export, model, read_only, wait_until, writable};

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.handshake_time = Duration::from_millis(300);
    limits.message_time = Duration::from_millis(300);
    limits
}

fn server(limits: Limits) -> Running {
    Running::new(vec![export("disk", read_only(chain(&model(1))))], limits)
}

/// A good client is served while and after all that.
fn assert_serves(server: &Running) {
    assert_eq!(server.client().read(0, 8192), content(&model(1))[..8192]);
}

#[test]
fn broken_handshakes_end_the_connection() {
    let server = server(Limits::default());
    for bytes in [
        [&option(3, 0, &[])[1..], &[0]].concat(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        option(7, u32::MAX, &[]),
        option(1, 1 << 21, &[]),
        vec![0; 100],
    ] {
        let mut client = Client::greet(server.connect(), 3);
        client.stream.write_all(&bytes).unwrap();
        assert!(client.is_closed(), "{bytes:?}");
    }
    // An unknown flag of the client, and an option that needs the newer handshake.
    assert!(Client::greet(server.connect(), 1 << 5).is_closed());
    let mut client = Client::greet(server.connect(), 0);
    client.stream.write_all(&option(3, 0, &[])).unwrap();
    assert!(client.is_closed());
    assert_eq!(server.log.handshakes.lock().unwrap().len(), 7);
    assert_serves(&server);
}

#[test]
fn the_number_of_options_is_limited() {
    let server = server(Limits::default());
    let mut client = Client::greet(server.connect(), 3);
    let many = option(99, 0, &[]).repeat(1001);
    let mut sender = client.stream.try_clone().unwrap();
    let thread = std::thread::spawn(move || drop(sender.write_all(&many)));
    let mut replies = Vec::new();
    let _ = std::io::Read::read_to_end(&mut client.stream, &mut replies);
    thread.join().unwrap();
    wait_until(|| !server.log.handshakes.lock().unwrap().is_empty());
    assert!(server.log.handshakes.lock().unwrap()[0].contains("more than 1000 options"));
}

#[test]
fn half_handshakes_are_cut_in_time() {
    let server = server(limits());
    let mut silent = server.connect();
    let mut half = Client::greet(server.connect(), 3);
    half.stream.write_all(&option(7, 100, &[1; 5])).unwrap();
    // One byte at a time does not help.
    let mut drip = Client::greet(server.connect(), 3);
    let start = Instant::now();
    while drip.stream.write_all(b"I").is_ok() {
        std::thread::sleep(Duration::from_millis(20));
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    assert!(half.is_closed());
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut silent, &mut rest).unwrap();
    assert_eq!(rest.len(), 18);
    assert_serves(&server);
}

#[test]
fn half_requests_are_cut_in_time_and_waiting_clients_are_not() {
    let server = server(limits());
    let mut waiting = server.client();
    for bytes in [request(READ, 0, 1, 0, 512)[..9].to_vec(), request(WRITE, 0, 1, 0, 512)] {
        let mut client = server.client();
        client.stream.write_all(&bytes).unwrap();
        assert!(
            client.is_closed() || client.is_closed(),
            "the second read is after the refusal of the write"
        );
    }
    wait_until(|| server.log.ends.lock().unwrap().len() == 2);
    for end in &*server.log.ends.lock().unwrap() {
        assert!(matches!(end, ConnectionEnd::Failed(reason) if reason.contains("too slow")), "{end:?}");
    }
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(waiting.read(0, 512), content(&model(1))[..512]);
}

#[test]
fn other_bytes_than_requests_end_the_connection() {
    let server = server(Limits::default());
    let mut client = server.client();
    client.stream.write_all(&[0x25; 28]).unwrap();
    assert!(client.is_closed());
    let mut client = server.client();
    client.stream.write_all(&request(DISC, 0, 1, 0, 0)).unwrap();
    assert!(client.is_closed());
    wait_until(|| server.log.ends.lock().unwrap().len() == 2);
    let ends = server.log.ends.lock().unwrap();
    assert!(matches!(&ends[0], ConnectionEnd::Failed(reason) if reason.contains("not a request")));
    assert_eq!(ends[1], ConnectionEnd::Disconnected);
}

#[test]
fn a_client_that_takes_no_replies_is_cut_and_delays_nobody() {
    let mut limits = limits();
    limits.bytes_in_flight = 32 << 20;
    let server = server(limits);
    let mut deaf: Vec<Client> = (0..6).map(|_| server.client()).collect();
    for client in &mut deaf {
        client.stream.set_nonblocking(true).unwrap();
        let many: Vec<u8> = (0..100).flat_map(|cookie| request(READ, 1 << 2, cookie, 0, 1 << 20)).collect();
        let _ = client.stream.write(&many);
    }
    let start = Instant::now();
    assert_serves(&server);
    let mut client = server.client();
    assert_eq!(client.read(0, 1 << 20), content(&model(1))[..1 << 20]);
    assert!(start.elapsed() < Duration::from_secs(10));
    wait_until(|| {
        let ends = server.log.ends.lock().unwrap();
        ends.iter().filter(|end| matches!(end, ConnectionEnd::Failed(_))).count() == 6
    });
}

#[test]
fn a_thousand_connections_are_limited() {
    let mut limits = limits();
    limits.connections = 50;
    limits.handshake_time = Duration::from_secs(30);
    let server = server(limits);
    let mut clients: Vec<UnixStream> = Vec::new();
    let mut refused = 0;
    for _ in 0..1000 {
        let mut stream = server.connect();
        let mut greeting = [0; 18];
        match std::io::Read::read_exact(&mut stream, &mut greeting) {
            Ok(()) => clients.push(stream),
            Err(_) => refused += 1,
        }
    }
    assert_eq!((clients.len(), refused), (50, 950));
    clients.clear();
    wait_until(|| {
        let mut stream = server.connect();
        std::io::Read::read_exact(&mut stream, &mut [0; 18]).is_ok()
    });
    wait_until(|| {
        let streams = [(); 40].map(|()| server.connect());
        streams.into_iter().all(|mut stream| std::io::Read::read_exact(&mut stream, &mut [0; 18]).is_ok())
    });
    assert_serves(&server);
}

#[test]
fn random_bytes_neither_hang_nor_end_the_server() {
    let server = server(limits());
    let mut random = Random::new(1);
    for round in 0..100 {
        let mut client = Client::greet(server.connect(), 3);
        let mut bytes = Vec::new();
        for _ in 0..20 {
            let len = random.below(60);
            let data = random.bytes(len);
            let wrong = if random.below(10) == 0 { 1 } else { 0 };
            bytes.extend(option(random.below(13) as u32, len as u32 + wrong, &data));
        }
        if round % 2 == 0 {
            client.option(8, &[]).unwrap();
            client.go("");
            bytes.clear();
            for cookie in 0..20 {
                let (command, flags) = (random.below(10) as u16, random.below(40) as u16);
                bytes.extend(request(
                    command,
                    flags,
                    cookie,
                    random.below(1 << 23) as u64,
                    random.below(1 << 21) as u32,
                ));
            }
        }
        let _ = client.stream.write_all(&bytes);
    }
    assert_serves(&server);
    server.stop().unwrap();
}

#[test]
fn clients_that_hold_memory_and_send_nothing_do_not_stop_the_others() {
    let mut limits = Limits::default();
    (limits.connections, limits.bytes_in_flight) = (16, 64 << 20);
    limits.message_time = Duration::from_millis(2400);
    let (_folder, _, disk) = writable(&model(2));
    let server = Running::new(vec![export("disk", vhdx_serve::SharedDisk::writable(disk))], limits);
    let mut client = server.client();
    // Each holds or wants all bytes that are for everybody.
    let holders: Vec<Client> = (0..6)
        .map(|_| {
            let mut holder = server.client();
            holder.stream.write_all(&request(WRITE, 0, 1, 0, 5 << 20)).unwrap();
            holder.stream.write_all(&[0; 100]).unwrap();
            holder
        })
        .collect();
    std::thread::sleep(Duration::from_millis(50));
    let start = Instant::now();
    assert_eq!(client.write(0, 0, &[1; 1 << 20]), None);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(client.write(0, 0, &vec![1; 4 << 20]), None);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    drop(holders);
}
