//! Reads of whole files, ranges and blocks.

use std::time::{Duration, Instant};

use vhdx::{FileOffset, ReadAt, ReadRange};
use vhdx_testkit::http::{Fault, Response};

use crate::{content, open, read, remote, served};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

#[test]
fn reads_are_exact_at_every_border() {
    let bytes = content(3 * MIB + 12_345);
    let (_, server) = served(bytes.clone());
    let file = open(&remote(), &server.url("/disk")).unwrap();
    assert_eq!(file.size().unwrap(), bytes.len() as u64);
    let end = bytes.len();
    for (offset, len) in [
        (0, 0),
        (0, 1),
        (0, 64 * KIB),
        (256 * KIB - 1, 2),
        (512 * KIB - 3, 7),
        (MIB, 256 * KIB),
        (MIB + 5, 256 * KIB + 1),
        (end - 1, 1),
        (end - 300 * KIB, 300 * KIB),
        (0, end),
        (end, 0),
    ] {
        assert_eq!(read(&file, offset as u64, len).unwrap(), &bytes[offset..offset + len], "{offset} {len}");
    }
    for (offset, len) in [(end as u64, 1), (end as u64 - 1, 2), (u64::MAX, 1), (u64::MAX - 1, 300 * KIB)] {
        let error = read(&file, offset, len).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    }
}

#[test]
fn a_file_shorter_than_the_first_request() {
    for len in [1, 511, 256 * KIB, 512 * KIB, 512 * KIB + 1] {
        let bytes = content(len);
        let (_, server) = served(bytes.clone());
        let file = open(&remote(), &server.url("/disk")).unwrap();
        assert_eq!(read(&file, 0, len).unwrap(), bytes);
    }
}

/// Small reads of metadata cost one request for each block, and fewer in order.
#[test]
fn blocks_are_cached_and_read_ahead() {
    let bytes = content(8 * MIB);
    let (_, server) = served(bytes.clone());
    let file = open(&remote(), &server.url("/disk")).unwrap();
    server.take_requests();
    for _ in 0..3 {
        for offset in (2 * MIB..2 * MIB + 256 * KIB).step_by(4 * KIB) {
            assert_eq!(read(&file, offset as u64, 4 * KIB).unwrap(), &bytes[offset..][..4 * KIB]);
        }
    }
    assert_eq!(server.take_requests().len(), 1);
    for offset in (3 * MIB..7 * MIB).step_by(64 * KIB) {
        read(&file, offset as u64, 64 * KIB).unwrap();
    }
    assert_eq!(server.take_requests().len(), 6, "1, 2, and four times 4 blocks");
}

#[test]
fn the_cache_is_bounded() {
    let mut options = crate::options();
    options.cache = 512 * KIB;
    let bytes = content(4 * MIB);
    let (_, server) = served(bytes.clone());
    let file = open(&vhdx_remote::Remote::new(options), &server.url("/disk")).unwrap();
    for _ in 0..2 {
        for offset in (0..4 * MIB).step_by(256 * KIB) {
            assert_eq!(read(&file, offset as u64, 16).unwrap(), &bytes[offset..][..16]);
        }
    }
}

/// Reads ranges at these offsets, each of this length, in one call.
fn read_many(file: &vhdx_remote::RemoteFile, ranges: &[(u64, usize)]) -> std::io::Result<Vec<Vec<u8>>> {
    let mut buffers: Vec<Vec<u8>> = ranges.iter().map(|&(_, len)| vec![0; len]).collect();
    let mut list: Vec<ReadRange<'_>> = ranges
        .iter()
        .zip(&mut buffers)
        .map(|(&(offset, _), buf)| ReadRange { offset: FileOffset::new(offset), buf })
        .collect();
    file.read_many(&mut list)?;
    Ok(buffers)
}

#[test]
fn many_ranges_are_joined_cut_and_read_in_any_order() {
    let bytes = content(24 * MIB);
    let (_, server) = served(bytes.clone());
    let file = open(&remote(), &server.url("/disk")).unwrap();
    server.take_requests();
    let mut ranges: Vec<(u64, usize)> = (0..64).map(|n| ((n * 37 % 64) * 320 * 1024, 4096)).collect();
    ranges.extend([(1, 9 * MIB), (5, 0), (23 * MIB as u64, MIB), (2 * MIB as u64, 5 * MIB)]);
    let found = read_many(&file, &ranges).unwrap();
    for (&(offset, len), found) in ranges.iter().zip(&found) {
        assert!(*found == bytes[offset as usize..][..len], "{offset} {len}");
    }
    let requests = server.take_requests();
    assert!(requests.iter().all(|request| request.range().is_some_and(|r| r.end - r.start <= 1 << 20)));
    server.take_requests();
    let near: Vec<(u64, usize)> = (0..10).map(|n| (n * 100 * 1024, 4096)).collect();
    read_many(&file, &near).unwrap();
    assert_eq!(server.take_requests().len(), 1);
}

/// Places that need a request each.
fn scattered(count: u64) -> Vec<(u64, usize)> {
    (0..count).map(|number| (number << 20, 4096)).collect()
}

/// In turn, each of the 512 requests would be repeated, 64 at a time: eight times as long as one request with its
/// repetitions.
#[test]
fn reads_of_a_server_that_stops_answering_end_together() {
    let (files, server) = served(content(64 * MIB));
    let file = open(&remote(), &server.url("/disk")).unwrap();
    server.take_requests();
    files.spoil(|_| vec![Fault::Stall(100)]);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let reads: Vec<_> = (0..8).map(|_| scope.spawn(|| read_many(&file, &scattered(64)))).collect();
        for read in reads {
            let error = read.join().unwrap().unwrap_err().to_string();
            assert!(error.contains("did not answer in time"), "{error}");
        }
    });
    let (took, requests) = (start.elapsed(), server.take_requests().len());
    assert!(took < Duration::from_secs(20) && requests < 2 * 9 * 64, "{took:?}, {requests} requests");
}

#[test]
fn after_a_failure_no_other_request_of_the_call_goes_on() {
    let (files, server) = served(content(64 * MIB));
    let file = open(&remote(), &server.url("/disk")).unwrap();
    server.take_requests();
    files.spoil(|request| match request.range() {
        Some(range) if range.start == 40 << 20 => vec![Fault::Instead(Response::new(403, ""))],
        _ => vec![Fault::Stall(100)],
    });
    assert!(read_many(&file, &scattered(64)).is_err());
    // Otherwise, each of them would be repeated after half a second.
    std::thread::sleep(Duration::from_millis(1500));
    let requests = server.take_requests().len();
    assert!(requests <= 64, "{requests} requests");
}

/// One by one, 64 requests would take 6.4 s.
#[test]
fn requests_of_one_call_wait_at_the_same_time() {
    let (_, server) = served(content(64 * MIB));
    let file = open(&remote(), &server.url("/disk")).unwrap();
    server.set_delay(Duration::from_millis(100));
    let start = Instant::now();
    read_many(&file, &scattered(64)).unwrap();
    let took = start.elapsed();
    assert!(took < Duration::from_millis(4000), "{took:?}");
}
