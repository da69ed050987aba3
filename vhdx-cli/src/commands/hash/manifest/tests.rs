use vhdx::ops::HashAlgorithm;

use super::*;

const KIB: u64 = 1 << 10;

/// A manifest of ten blocks and a short one: runs of 3, 1, 6 and 1 blocks.
fn manifest(algorithm: HashAlgorithm) -> (Header, Vec<DigestRun>, Vec<u8>) {
    let header = Header::new(algorithm, 64 * KIB, 640 * KIB + 512).unwrap();
    let digest = |byte: u8| {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&[byte]);
        hasher.finish()
    };
    let runs = [(0, 3, 1), (3, 1, 2), (4, 6, 1), (10, 1, 3)];
    let runs = runs.map(|(first, count, byte)| DigestRun { first, count, digest: digest(byte) }).to_vec();
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, header).unwrap();
    runs.iter().for_each(|run| writer.put(*run).unwrap());
    writer.finish().unwrap();
    (header, runs, bytes)
}

fn read(bytes: &[u8]) -> Result<(Header, Vec<DigestRun>), Unusable> {
    let mut reader = Reader::new(bytes)?;
    let mut runs = Vec::new();
    while let Some(run) = reader.next()? {
        runs.push(run);
    }
    assert!(reader.next().unwrap().is_none());
    Ok((reader.header, runs))
}

/// Returns the line and the reason for which a manifest is refused.
#[track_caller]
fn refused(bytes: &[u8]) -> (u64, Fault) {
    match read(bytes) {
        Err(Unusable::Line { number, fault }) => (number, fault),
        other => panic!("{other:?}"),
    }
}

fn with_end(lines: &[&str]) -> Vec<u8> {
    let mut hasher = Hasher::new(HashAlgorithm::Blake3);
    lines.iter().for_each(|line| hasher.update(line.as_bytes()));
    let blocks = Header::decode(lines[0].as_bytes()).map_or(1, |header| header.blocks());
    let end = Line::End(End { blocks, digest: hasher.finish() }).encode();
    [lines.concat(), end].concat().into_bytes()
}

#[test]
fn a_manifest_reads_as_it_was_written() {
    for algorithm in HashAlgorithm::ALL {
        let (header, runs, bytes) = manifest(algorithm);
        assert_eq!(read(&bytes).unwrap(), (header, runs));
    }
    let empty = Header::new(HashAlgorithm::Blake3, 4 * KIB, 0).unwrap();
    let mut bytes = Vec::new();
    Writer::new(&mut bytes, empty).unwrap().finish().unwrap();
    assert_eq!(read(&bytes).unwrap(), (empty, vec![]));
}

#[test]
fn a_manifest_that_is_cut_anywhere_is_refused() {
    let (_, _, bytes) = manifest(HashAlgorithm::Blake3);
    for len in 0..bytes.len() {
        let lines = bytes[..len].iter().filter(|byte| **byte == b'\n').count() as u64;
        assert_eq!(refused(&bytes[..len]).0, lines + 1, "{len}");
    }
}

#[test]
fn every_other_byte_is_refused() {
    let (_, _, bytes) = manifest(HashAlgorithm::Sha256);
    for at in 0..bytes.len() {
        for other in [b'0', b'1', b'9', b'a', b'f', b'A', b'\n', b' ', b'"', b'}', 0, 0xff, bytes[at] ^ 1] {
            let mut edited = bytes.clone();
            edited[at] = other;
            if edited != bytes {
                assert!(matches!(read(&edited), Err(Unusable::Line { .. })), "{at} {other}");
            }
            let inserted = [&bytes[..at], &[other], &bytes[at..]].concat();
            assert!(matches!(read(&inserted), Err(Unusable::Line { .. })), "{at} {other}");
        }
        let removed = [&bytes[..at], &bytes[at + 1..]].concat();
        assert!(matches!(read(&removed), Err(Unusable::Line { .. })), "{at}");
    }
    assert_eq!(refused(&[bytes.as_slice(), b"\n"].concat()).0, 7);
}

#[test]
fn lines_that_are_missing_doubled_or_swapped_are_refused() {
    let (_, _, bytes) = manifest(HashAlgorithm::Blake3);
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for at in 0..lines.len() {
        let mut edited = lines.clone();
        edited.remove(at);
        refused(&edited.concat());
        edited.insert(at, lines[at]);
        edited.insert(at, lines[at]);
        refused(&edited.concat());
        if at + 1 < lines.len() {
            let mut edited = lines.clone();
            edited.swap(at, at + 1);
            refused(&edited.concat());
        }
    }
}

/// These manifests have the right digest at the end.
#[test]
fn wrong_numbers_are_refused_with_the_line() {
    let header = Header::new(HashAlgorithm::Blake3, 4 * KIB, 16 * KIB).unwrap().encode();
    let digest = "0".repeat(64);
    let run = |first: &str, count: &str| {
        format!("{{\"block\":{first},\"count\":{count},\"digest\":\"{digest}\"}}\n")
    };
    let runs = |pairs: &[(&str, &str)]| {
        let lines: Vec<String> = pairs.iter().map(|(first, count)| run(first, count)).collect();
        let lines: Vec<&str> =
            std::iter::once(header.as_str()).chain(lines.iter().map(String::as_str)).collect();
        with_end(&lines)
    };
    assert!(read(&runs(&[("0", "4")])).is_ok());
    let max = u64::MAX.to_string();
    type Pairs<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Pairs<'_>, u64, &str); 12] = [
        (&[("0", "5")], 2, "past the end of the disk, which has 4"),
        (&[("0", "3")], 3, "only 3 of the 4 blocks"),
        (&[], 2, "only 0 of the 4 blocks"),
        (&[("0", "2"), ("1", "3")], 3, "block 1 is listed twice"),
        (&[("0", "2"), ("3", "1")], 3, "block 2 is missing"),
        (&[("1", "3")], 2, "block 0 is missing"),
        (&[("0", "0")], 2, "`count` is 0"),
        (&[("0", &max)], 2, "past the end"),
        (&[("0", "1"), ("1", &max)], 3, "past the end"),
        (&[("0", "-4")], 2, "`count` is not a whole number"),
        (&[("0", "1e999")], 2, "not a JSON object"),
        (&[("0", "18446744073709551616")], 2, "`count` is not a whole number"),
    ];
    for (pairs, line, reason) in cases {
        let (number, fault) = refused(&runs(pairs));
        assert_eq!(number, line, "{pairs:?}");
        assert!(matches!(&fault, Fault::Invalid(text) if text.contains(reason)), "{fault:?}");
    }
    let edited = String::from_utf8(runs(&[("0", "4")])).unwrap().replace("\"blocks\":4", "\"blocks\":5");
    assert_eq!(refused(edited.as_bytes()).0, 3);
}

#[test]
fn wrong_headers_are_refused() {
    let header = Header::new(HashAlgorithm::Blake3, 4 * KIB, 16 * KIB).unwrap().encode();
    let reason = |from: &str, to: &str| {
        let edited = header.replace(from, to);
        assert_ne!(edited, header);
        let (number, fault) = refused(&with_end(&[&edited]));
        assert_eq!(number, 1);
        fault
    };
    assert_eq!(reason("\"version\":1", "\"version\":2"), Fault::Version(2));
    let cases = [
        ("block digests", "digests", "not a manifest"),
        ("\"version\":1", "\"version\":\"1\"", "no version"),
        ("blake3", "md5", "neither blake3 nor sha256"),
        ("4096", "0", "must be a power of two"),
        ("4096", "4097", "must be a power of two"),
        ("4096", "2147483648", "must be a power of two"),
        ("4096", "9223372036854775808", "must be a power of two"),
        ("16384", "-1", "`virtual_size` is not a whole number"),
        ("16384", "1.5", "`virtual_size` is not a whole number"),
        ("16384", "16384,\"more\":1", "not in the form"),
        ("16384", " 16384", "not in the form"),
    ];
    for (from, to, expected) in cases {
        let fault = reason(from, to);
        assert!(matches!(&fault, Fault::Invalid(text) if text.contains(expected)), "{to}: {fault:?}");
    }
}

#[test]
fn a_line_without_end_takes_no_memory() {
    for byte in [b'{', b'[', b' ', b'0', 0] {
        let mut reader = Reader::new(Endless(byte));
        assert!(matches!(reader.as_mut().map(|_| ()), Err(Unusable::Line { number: 1, .. })));
    }
    let (_, _, bytes) = manifest(HashAlgorithm::Blake3);
    let first = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut reader = Reader::new((&bytes[..first]).chain(Endless(b'7'))).unwrap();
    match reader.next() {
        Err(Unusable::Line { number: 2, fault: Fault::Invalid(reason) }) => {
            assert!(reason.contains("too long"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

/// The same byte without end.
struct Endless(u8);

impl Read for Endless {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        buf.fill(self.0);
        Ok(buf.len())
    }
}

impl BufRead for Endless {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(match self.0 {
            b'{' => &[b'{'; 4096],
            b'[' => &[b'['; 4096],
            b' ' => &[b' '; 4096],
            b'7' => &[b'7'; 4096],
            _ => &[0; 4096],
        })
    }

    fn consume(&mut self, _: usize) {}
}
