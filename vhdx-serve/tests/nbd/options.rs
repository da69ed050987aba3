//! The handshake: every option, right and wrong.

use vhdx_serve::Limits;

use crate::client::{BLOCK_STATUS, Client, DF, EINVAL, READ, contexts, info};
use crate::harness::{Running, chain, content, export, model, read_only, writable};

const ACK: u32 = 1;
const ERR_UNSUP: u32 = (1 << 31) + 1;
const ERR_POLICY: u32 = (1 << 31) + 2;
const ERR_INVALID: u32 = (1 << 31) + 3;
const ERR_UNKNOWN: u32 = (1 << 31) + 6;
const ERR_TOO_BIG: u32 = (1 << 31) + 9;

fn two_exports() -> Running {
    let exports =
        vec![export("first", read_only(chain(&model(1)))), export("zwei ä", read_only(chain(&model(2))))];
    Running::new(exports, Limits::default())
}

fn kinds(replies: &[(u32, Vec<u8>)]) -> Vec<u32> {
    replies.iter().map(|(kind, _)| *kind).collect()
}

#[test]
fn list_names_all_exports_with_their_descriptions() {
    let server = two_exports();
    let mut client = Client::greet(server.connect(), 3);
    let replies = client.option(3, &[]).unwrap();
    assert_eq!(kinds(&replies), [2, 2, ACK]);
    assert_eq!(replies[0].1, [&[0, 0, 0, 5][..], b"firstthe disk first"].concat());
    assert_eq!(replies[1].1, [&[0, 0, 0, 7][..], "zwei äthe disk zwei ä".as_bytes()].concat());
    assert_eq!(kinds(&client.option(3, b"x").unwrap()), [ERR_INVALID]);
}

#[test]
fn info_gives_size_flags_block_sizes_and_texts() {
    let server = two_exports();
    let mut client = Client::greet(server.connect(), 3);
    let replies = client.option(6, &info("zwei ä", &[1, 2, 3, 77])).unwrap();
    assert_eq!(kinds(&replies), [3, 3, 3, 3, ACK]);
    let size = content(&model(2)).len() as u64;
    // Flags, read-only, several connections, cache.
    let flags: u16 = 1 | 2 | 1 << 8 | 1 << 10;
    assert_eq!(replies[0].1, [&[0, 0][..], &size.to_be_bytes(), &flags.to_be_bytes()].concat());
    assert_eq!(replies[1].1, [0, 3, 0, 0, 0, 1, 0, 0, 0x10, 0, 2, 0, 0, 0]);
    assert_eq!(replies[2].1, ["\0\u{1}".as_bytes(), "zwei ä".as_bytes()].concat());
    assert_eq!(replies[3].1, ["\0\u{2}".as_bytes(), "the disk zwei ä".as_bytes()].concat());
    // The handshake goes on, also after an unknown name and a malformed option.
    assert_eq!(kinds(&client.option(6, &info("zwei", &[])).unwrap()), [ERR_UNKNOWN]);
    assert_eq!(kinds(&client.option(7, &info("zwei", &[])).unwrap()), [ERR_UNKNOWN]);
    assert_eq!(kinds(&client.option(7, &[0, 0, 0, 9]).unwrap()), [ERR_INVALID]);
    client.go("zwei ä");
    assert_eq!(client.read(0, 512), content(&model(2))[..512]);
}

#[test]
fn a_writable_export_announces_its_commands() {
    let (_folder, _, disk) = writable(&model(1));
    let server = Running::of(vhdx_serve::SharedDisk::writable(disk));
    let mut client = Client::greet(server.connect(), 3);
    assert_eq!(kinds(&client.option(8, &[]).unwrap()), [ACK]);
    let replies = client.option(6, &info("", &[])).unwrap();
    let flags = u16::from_be_bytes(replies[0].1[10..].try_into().unwrap());
    // Everything but read-only, rotational, resizing and fast zeros.
    assert_eq!(flags, 0b0101_1110_1101);
}

#[test]
fn export_name_ends_the_handshake_with_and_without_zeroes() {
    let server = two_exports();
    for (flags, reserved) in [(3, 0), (1, 124), (0, 124), (2, 0)] {
        let mut client = Client::greet(server.connect(), flags);
        std::io::Write::write_all(&mut client.stream, &crate::client::option(1, 5, b"first")).unwrap();
        let size = client.take().map(u64::from_be_bytes).unwrap();
        assert_eq!(size, content(&model(1)).len() as u64);
        client.take::<2>().unwrap();
        (0..reserved).for_each(|_| assert_eq!(client.take::<1>().unwrap(), [0]));
        assert_eq!(client.read(100, 5000), content(&model(1))[100..5100]);
    }
    let mut client = Client::greet(server.connect(), 3);
    std::io::Write::write_all(&mut client.stream, &crate::client::option(1, 5, b"other")).unwrap();
    assert!(client.is_closed());
}

#[test]
fn abort_is_acknowledged_and_closes() {
    let server = two_exports();
    let mut client = Client::greet(server.connect(), 3);
    assert_eq!(kinds(&client.option(2, &[]).unwrap()), [ACK]);
    assert!(client.is_closed());
    assert!(server.log.handshakes.lock().unwrap().is_empty());
}

#[test]
fn options_that_are_not_supported_are_refused() {
    let server = two_exports();
    let mut client = Client::greet(server.connect(), 3);
    for (number, data, kind) in [
        (5, &[][..], ERR_POLICY),
        (5, b"x", ERR_INVALID),
        (4, &[], ERR_UNSUP),
        (11, &[], ERR_UNSUP),
        (99, &[1; 1000], ERR_UNSUP),
        (u32::MAX, &[], ERR_UNSUP),
        (8, b"x", ERR_INVALID),
        (3, &vec![0; 100_000], ERR_TOO_BIG),
    ] {
        assert_eq!(kinds(&client.option(number, data).unwrap()), [kind], "option {number}");
    }
    client.go("");
}

#[test]
fn contexts_need_structured_replies_and_belong_to_one_export() {
    let server = two_exports();
    let mut client = Client::greet(server.connect(), 3);
    let all = contexts("first", &[]);
    assert_eq!(kinds(&client.option(9, &all).unwrap()), [ERR_INVALID]);
    assert_eq!(kinds(&client.option(10, &all).unwrap()), [ERR_INVALID]);
    assert_eq!(kinds(&client.option(8, &[]).unwrap()), [ACK]);
    let listed = client.option(9, &all).unwrap();
    assert_eq!(kinds(&listed), [4, 4, 4, ACK]);
    assert_eq!(listed[0].1, [&[0; 4][..], b"base:allocation"].concat());
    assert_eq!(kinds(&client.option(9, &contexts("first", &["qemu:"])).unwrap()), [4, ACK]);
    assert_eq!(kinds(&client.option(9, &contexts("third", &[])).unwrap()), [ERR_UNKNOWN]);
    assert_eq!(kinds(&client.option(10, &contexts("first", &["x:y"])).unwrap()), [ACK]);
    let set = client.option(10, &contexts("first", &["base:allocation", "vhdx:layer"])).unwrap();
    assert_eq!(kinds(&set), [4, 4, ACK]);
    assert_ne!(set[0].1[..4], set[1].1[..4], "each context has its own number");
    // They were set for another export than the one that is chosen.
    client.go("zwei ä");
    let mut other = Client::structured(server.connect(), "first");
    assert_eq!(other.ask(BLOCK_STATUS, 0, 0, 512, &[]).statuses.len(), 3);
}

#[test]
fn contexts_that_are_too_long_replace_earlier_ones() {
    let server = two_exports();
    let mut client = Client::greet(server.connect(), 3);
    assert_eq!(kinds(&client.option(8, &[]).unwrap()), [ACK]);
    assert_eq!(kinds(&client.option(10, &contexts("first", &["vhdx:layer"])).unwrap()), [4, ACK]);
    assert_eq!(kinds(&client.option(10, &vec![0; 100_000]).unwrap()), [ERR_TOO_BIG]);
    client.go("first");
    let cookie = client.send(BLOCK_STATUS, 0, 0, 512, &[]);
    assert_eq!(client.take::<4>().unwrap(), 0x668e_33ef_u32.to_be_bytes(), "{cookie}");
    let head = client.take::<4>().unwrap();
    assert_eq!(head, [0, 1, 0x80, 1], "an error");
}

#[test]
fn without_negotiation_chunks_and_status_are_refused() {
    let server = two_exports();
    let mut client = Client::simple(server.connect(), "first");
    assert_eq!(client.ask(BLOCK_STATUS, 0, 0, 512, &[]).error, Some(EINVAL));
    assert_eq!(client.ask(READ, DF, 0, 512, &[]).error, Some(EINVAL));
    assert_eq!(client.read(0, 512), content(&model(1))[..512]);
}
