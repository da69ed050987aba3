//! Reads and block status against the plain array.

use std::collections::BTreeMap;

use proptest::prelude::*;
use vhdx::{DiskOffset, Source};
use vhdx_testkit::{Random, chains};

use crate::client::{
    BLOCK_STATUS, CACHE, Client, DF, EINVAL, EOVERFLOW, EPERM, FLUSH, FUA, READ, REQ_ONE, TRIM, WRITE_ZEROES,
};
use crate::harness::{Running, chain, content, model, read_only};

#[test]
fn every_kind_of_client_reads_the_content() {
    let model = model(3);
    let (server, expected) = (Running::of(read_only(chain(&model))), content(&model));
    for mut client in [server.client(), Client::simple(server.connect(), "disk")] {
        let size = expected.len() as u64;
        for (offset, len) in
            [(0, size as u32), (1, 511), (size - 1, 1), (size, 0), (52_000, 40_000), (300_000, 3_000_000)]
        {
            let read = client.read(offset, len);
            assert!(read == expected[offset as usize..][..len as usize], "{len} bytes from {offset}");
        }
    }
}

#[test]
fn holes_are_not_sent_and_an_unfragmented_read_is_one_chunk() {
    let model = model(3);
    let (server, expected) = (Running::of(read_only(chain(&model))), content(&model));
    let (mut client, size) = (server.client(), expected.len() as u32);
    let answer = client.ask(READ, 0, 0, size, &[]);
    assert!(answer.content(0, size) == expected);
    let holes: u32 =
        answer.chunks.values().filter(|(_, content)| content.is_none()).map(|(len, _)| len).sum();
    assert!(holes > 3 << 20, "only {holes} bytes were left out");
    let answer = client.ask(READ, DF, 0, size, &[]);
    assert_eq!(answer.chunks.len(), 1);
    assert!(answer.content(0, size) == expected);
    // Block 1 has no data, but for a few sectors.
    let answer = client.ask(READ, DF, 1 << 20, 256 << 10, &[]);
    assert_eq!(answer.chunks, [(1 << 20, (256 << 10, None))].into());
}

#[test]
fn many_requests_are_answered_in_any_order() {
    let model = model(4);
    let (server, expected) = (Running::of(read_only(chain(&model))), content(&model));
    let (mut client, mut random) = (server.client(), Random::new(5));
    let (mut asked, mut lens) = (BTreeMap::new(), BTreeMap::new());
    let mut requests = Vec::new();
    for cookie in 1..=100 {
        let offset = random.below(expected.len());
        let len = random.below((expected.len() - offset).min(100_000)) + 1;
        requests.extend(crate::client::request(READ, 0, cookie, offset as u64, len as u32));
        asked.insert(cookie, (offset, len));
        lens.insert(cookie, len as u32);
    }
    std::io::Write::write_all(&mut client.stream, &requests).unwrap();
    for (cookie, answer) in client.answers(&lens).unwrap() {
        let (offset, len) = asked[&cookie];
        assert!(
            answer.content(offset as u64, len as u32) == expected[offset..][..len],
            "{len} from {offset}"
        );
    }
}

#[test]
fn wrong_requests_have_the_right_errors_and_the_connection_goes_on() {
    let model = model(3);
    let (server, expected) = (Running::of(read_only(chain(&model))), content(&model));
    let (mut client, size) = (server.client(), expected.len() as u64);
    for (command, flags, offset, len, error) in [
        (READ, 0, size, 1, EINVAL),
        (READ, 0, u64::MAX, u32::MAX, EINVAL),
        (READ, 0, 0, (32 << 20) + 1, EINVAL),
        (READ, DF, 0, (32 << 20) + 1, EOVERFLOW),
        (READ, FUA, 0, 512, EINVAL),
        (READ, 1 << 9, 0, 512, EINVAL),
        (BLOCK_STATUS, 0, size - 1, 2, EINVAL),
        (BLOCK_STATUS, 0, 0, 0, EINVAL),
        (TRIM, 0, 0, 512, EPERM),
        (WRITE_ZEROES, 0, 0, 512, EPERM),
        (77, 0, 0, 512, EINVAL),
        (CACHE, 0, size, 1, EINVAL),
    ] {
        let answer = client.ask(command, flags, offset, len, &[]);
        assert_eq!(answer.error, Some(error), "command {command}, {len} bytes at {offset}");
        assert!(!answer.text.is_empty());
    }
    // The payload of a write that is refused is no request.
    assert_eq!(client.write(0, 0, &vec![1; 100_000]), Some(EPERM));
    assert_eq!(client.write(1 << 12, 0, &[1; 100]), Some(EPERM));
    assert_eq!(client.change(FLUSH, 0, 0, 0), None);
    assert_eq!(client.change(CACHE, 0, 0, size as u32), None);
    assert_eq!(client.read(0, 512), expected[..512]);
    let failures = server.log.failures.lock().unwrap();
    assert_eq!(failures.len(), 14);
    assert!(failures.iter().all(|failure| failure.is_client_error));
}

#[test]
fn block_status_agrees_with_the_extents() {
    let model = model(6);
    let chain = chain(&model);
    let size = chain.virtual_size();
    let mut by_byte: [Vec<u32>; 3] = Default::default();
    for extent in chain.extents(DiskOffset::new(0)..DiskOffset::new(size)) {
        let extent = extent.unwrap();
        let values = match extent.source {
            Source::Data { layer, .. } => [0, layer as u32 + 1, 3 - layer as u32],
            Source::Zero { layer } => [2, layer as u32 + 1, (3 - layer as u32) | 1 << 31],
            Source::Unallocated => [3, 0, 0],
        };
        for (list, value) in by_byte.iter_mut().zip(values) {
            list.resize(list.len() + extent.len as usize, value);
        }
    }
    let server = Running::of(read_only(chain));
    let mut client = server.client();
    for (offset, len) in [(0, size), (1, 511), (700_000, 2_000_000), (size - 1, 1)] {
        for flags in [0, REQ_ONE] {
            let answer = client.ask(BLOCK_STATUS, flags, offset, len as u32, &[]);
            assert_eq!(answer.error, None);
            for (number, expected) in (1..).zip(&by_byte) {
                let (mut at, list) = (offset as usize, &answer.statuses[&number]);
                assert!(flags == 0 || list.len() == 1);
                for window in list.windows(2) {
                    assert_ne!(window[0].1, window[1].1, "neighbours are joined");
                }
                for &(len, status) in list {
                    assert!(
                        expected[at..][..len as usize].iter().all(|&value| value == status),
                        "context {number}"
                    );
                    at += len as usize;
                }
                let end = (offset + len) as usize;
                assert!(at == end || (flags == REQ_ONE && at < end));
            }
        }
    }
}

#[test]
fn a_status_of_four_gigabytes_is_answered() {
    let mut image = vhdx_testkit::Image::dynamic(5 << 30, 32 << 20);
    image.blocks.insert(3, vhdx_testkit::Block::full(vec![7; 512]));
    let server = Running::of(read_only(crate::harness::chain_of(vec![image.sparse()])));
    let answer = server.client().ask(BLOCK_STATUS, 0, 0, u32::MAX, &[]);
    assert_eq!(answer.statuses[&1], [(96 << 20, 3), (32 << 20, 0), (u32::MAX - (128 << 20), 3)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_chains_read_like_the_model(model in chains(5), ranges in prop::collection::vec(any::<[u32; 2]>(), 6)) {
        let expected = content(&model);
        let server = Running::of(read_only(chain(&model)));
        let mut client = server.client();
        prop_assert!(client.read(0, expected.len() as u32) == expected);
        for [offset, len] in ranges {
            let offset = offset as usize % expected.len();
            let len = len as usize % (expected.len() - offset + 1);
            prop_assert!(client.read(offset as u64, len as u32) == expected[offset..][..len]);
        }
    }
}
