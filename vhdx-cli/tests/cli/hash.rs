//! `vhdx hash`: digests, manifests, and manifests that are damaged.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::images::{BLOCKS, Family, MIB, SIZE, family};
use crate::run;
use crate::run::{Ran, command, ran};

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn blake3(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Runs the command with bytes on stdin.
fn with_stdin(args: &[&std::ffi::OsStr], stdin: &[u8]) -> Ran {
    let mut child = command();
    let child = child.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    // The command may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    ran(child.wait_with_output().unwrap())
}

fn manifest(family: &Family, args: &[&str]) -> String {
    run!("hash", family.leaf(), args[0], args[1]).exits(0).text()
}

#[test]
fn the_digest_is_that_of_the_disk() {
    let family = family();
    let leaf = family.leaf();
    let text = run!("hash", leaf).exits(0).text();
    assert_eq!(text, format!("{}  {}\n", blake3(&family.content), leaf.display()));
    for (algorithm, digest) in [("blake3", blake3(&family.content)), ("sha256", sha256(&family.content))] {
        for jobs in ["1", "8"] {
            let ran = run!("hash", leaf, "--algorithm", algorithm, "--jobs", jobs, "--json").exits(0);
            let json = ran.json();
            let key = |key: &str| json[key].clone();
            assert_eq!([key("algorithm"), key("digest")], [json!(algorithm), json!(digest)]);
            assert_eq!([key("path"), key("virtual_size")], [json!(leaf), json!(SIZE)]);
            assert_eq!(key("unfinished"), json!([]));
        }
    }
}

#[test]
fn other_programs_compute_the_same_digests() {
    let family = family();
    let raw = family.path("disk.raw");
    fs::write(&raw, &family.content).unwrap();
    for (program, algorithm) in [("sha256sum", "sha256"), ("b3sum", "blake3")] {
        let Ok(other) = Command::new(program).arg(&raw).output() else { continue };
        let other = String::from_utf8(other.stdout).unwrap();
        assert_eq!(run!("hash", raw, "--quiet", "--algorithm", algorithm).exits(0).text(), other);
        let disk = run!("hash", family.leaf(), "--algorithm", algorithm).exits(0).text();
        assert_eq!(disk.split(' ').next(), other.split(' ').next());
    }
}

#[test]
fn a_manifest_has_one_line_for_equal_blocks() {
    let family = family();
    let lines: Vec<Value> = manifest(&family, &["--blocks", "512K"])
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (first, last) = (&lines[0], &lines[lines.len() - 1]);
    assert_eq!(
        *first,
        json!({"format": "vhdx block digests", "version": 1, "algorithm": "blake3", "block_size": MIB / 2,
            "virtual_size": SIZE})
    );
    assert_eq!(last["blocks"], 2 * BLOCKS);
    // Block 0 has two sectors of the leaf.
    let runs = [(0, 1), (1, 1), (2, 2), (4, 2), (6, 2), (8, 2), (10, 2)];
    assert_eq!(lines.len(), runs.len() + 2);
    for (line, (block, count)) in lines[1..].iter().zip(runs) {
        let digest = blake3(&family.content[block * MIB / 2..][..MIB / 2]);
        assert_eq!(*line, json!({"block": block, "count": count, "digest": digest}));
    }
    // The manifest depends only on the content.
    let raw = family.path("disk.raw");
    fs::write(&raw, &family.content).unwrap();
    for jobs in ["1", "8"] {
        let other = run!("hash", raw, "--blocks", "512K", "--jobs", jobs, "--json").exits(0).text();
        assert_eq!(other, manifest(&family, &["--blocks", "512K"]));
    }
}

#[test]
fn a_disk_is_checked_against_its_manifest() {
    let family = family();
    let (path, raw) = (family.path("manifest"), family.path("disk.raw"));
    let manifest = manifest(&family, &["--blocks", "512K"]);
    fs::write(&path, &manifest).unwrap();
    let same = run!("hash", family.leaf(), "--verify", path).exits(0).text();
    assert!(same.contains("the disk matches the manifest"), "{same}");
    let json = run!("hash", family.leaf(), "--verify", path, "--json").exits(0).json();
    assert_eq!([&json["equal"], &json["first_difference"]], [&json!(true), &Value::Null]);

    let mut other = family.content.clone();
    for at in [7 * MIB / 2 + 5, 5 * MIB] {
        other[at] ^= 1;
    }
    fs::write(&raw, &other).unwrap();
    for jobs in ["1", "8"] {
        let json = run!("hash", raw, "--verify", path, "--jobs", jobs, "--json").exits(1).json();
        let digests = [&other, &family.content].map(|disk| blake3(&disk[7 * MIB / 2..][..MIB / 2]));
        assert_eq!([&json["equal"], &json["block"]], [&json!(false), &json!(7)]);
        assert_eq!(json["first_difference"], 7 * MIB / 2);
        assert_eq!([&json["found"], &json["expected"]], [&json!(digests[0]), &json!(digests[1])]);
    }
    let stdin = ["hash".as_ref(), raw.as_os_str(), "--verify".as_ref(), "-".as_ref()];
    let text = with_stdin(&stdin, manifest.as_bytes()).exits(1).text();
    assert!(text.contains("first in block 7, which begins at byte 3670016 (0x380000)"), "{text}");

    fs::write(&raw, &family.content[512..]).unwrap();
    let json = run!("hash", raw, "--verify", path, "--json").exits(1).json();
    assert_eq!(json["virtual_sizes"], json!([SIZE - 512, SIZE]));
    assert_eq!([&json["equal"], &json["first_difference"]], [&json!(false), &Value::Null]);
    let text = run!("hash", raw, "--verify", path).exits(1).text();
    assert!(text.contains("it has 6290944") && text.contains("has 6291456"), "{text}");
}

#[test]
fn damaged_manifests_are_refused_with_the_line() {
    let family = family();
    let (path, raw) = (family.path("manifest"), family.path("disk.raw"));
    let manifest = manifest(&family, &["--blocks", "1M"]);
    let lines: Vec<&str> = manifest.split_inclusive('\n').collect();
    // The disk differs in the first block. That must not hide that the manifest is damaged.
    fs::write(&raw, [&[1], &family.content[1..]].concat()).unwrap();
    let edited = manifest.replacen("\"count\":1", "\"count\":2", 1);
    let digits = lines[5].replace(":\"", ":\"0");
    let digits = [&lines[..5], &[digits.as_str()], &lines[6..]].concat().concat();
    let cases = [
        (String::new(), 1, 3),
        (manifest[..manifest.len() - 1].to_owned(), lines.len(), 3),
        (lines[..lines.len() - 1].concat(), lines.len(), 3),
        (lines[1..].concat(), 1, 3),
        ([lines[0], &lines[2..].concat()].concat(), 2, 3),
        ([&lines[..3], &lines[2..]].concat().concat(), 4, 3),
        (edited, 3, 3),
        (digits, 6, 3),
        (manifest.replacen("\"version\":1", "\"version\":7", 1), 1, 4),
        ("x".repeat(100_000), 1, 3),
        (format!("{}{}", lines[0], "[".repeat(100_000)), 2, 3),
        (format!("{manifest}\n"), lines.len() + 1, 3),
    ];
    for (damaged, line, code) in cases {
        fs::write(&path, &damaged).unwrap();
        let from_file = run!("hash", raw, "--verify", path, "--json").exits(code);
        let args = ["hash", "RAW", "--verify", "-", "--json"];
        let args = args.map(|arg| if arg == "RAW" { raw.as_os_str() } else { arg.as_ref() });
        let from_stdin = with_stdin(&args, damaged.as_bytes()).exits(code);
        assert_eq!([&from_file.error()["line"], &from_stdin.error()["line"]], [line, line]);
        assert_eq!(from_file.error()["path"], json!(path));
        assert_eq!(from_file.stdout, b"");
    }
    let text = run!("hash", raw, "--verify", family.leaf()).exits(3).stderr;
    assert!(text.contains("line 1 of the manifest: "), "{text}");
    run!("hash", raw, "--verify", family.folder.path()).exits(2);
    run!("hash", raw, "--verify", family.path("missing")).exits(6);
}

#[test]
fn wrong_options_are_refused() {
    let family = family();
    let leaf = family.leaf();
    for size in ["0", "1000", "3M", "2G", "99T"] {
        let refused = run!("hash", leaf, "--blocks", size).exits(2);
        assert_eq!((refused.stdout.as_slice(), refused.stderr.contains("power of two")), (&b""[..], true));
    }
    run!("hash", leaf, "--algorithm", "md5").exits(2);
    run!("hash", leaf, "--verify", "m", "--blocks", "1M").exits(2);
    run!("hash", leaf, "--verify", "m", "--algorithm", "sha256").exits(2);
    let raw = family.path("disk.raw");
    fs::write(&raw, &family.content).unwrap();
    run!("hash", raw, "--parent", leaf).exits(2);
    fs::remove_file(family.base()).unwrap();
    run!("hash", leaf, "--blocks", "1M").exits(5);
}

#[test]
fn a_manifest_that_nobody_reads_is_an_error() {
    let family = family();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let args = ["hash".into(), family.leaf().into_os_string(), "--blocks=4K".into()];
    let ran = ran(command().args(args).stdout(writer).output().unwrap()).exits(6);
    assert!(ran.stderr.contains("before the whole manifest was written"), "{}", ran.stderr);
}
