//! Every file has the bytes of the model, however it is read.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use vhdx_testkit::{Random, chains};

use crate::mounted::{Mounted, assert_same, can_mount, checkpoints, disk};

#[test]
fn files_have_the_bytes_of_the_model_at_every_checkpoint() {
    if !can_mount() {
        return;
    }
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let ranges = prop::collection::vec(any::<[u64; 2]>(), 8);
    let checked = TestRunner::new(config).run(&(chains(5), ranges), |(model, ranges)| {
        let folder = tempfile::tempdir().unwrap();
        let disks = checkpoints(&model, folder.path());
        let names: Vec<String> = disks.iter().map(|disk| disk.name.clone()).collect();
        let mounted = Mounted::new(disks);
        for (name, expected) in names.iter().rev().zip(model.disks()) {
            let path = mounted.path(name).join("disk.raw");
            let file = File::open(&path).unwrap();
            for [start, len] in &ranges {
                let start = start % (expected.len() as u64 + 1);
                let len = len % (expected.len() as u64 + 1 - start);
                let mut bytes = vec![0xaa; len as usize];
                file.read_exact_at(&mut bytes, start).unwrap();
                assert_same(&bytes, &expected[start as usize..][..len as usize], "a range");
            }
            assert_same(&fs::read(&path).unwrap(), &expected, &format!("{}", path.display()));
        }
        let latest = fs::read(mounted.path("latest/disk.raw")).unwrap();
        assert_same(&latest, model.disks().last().unwrap(), "the newest disk");
        Ok(())
    });
    checked.unwrap();
}

/// A disk of random bytes, some of them in holes.
fn random_disk(len: usize, folder: &std::path::Path) -> (Arc<vhdx::RawDisk>, Vec<u8>) {
    let mut random = Random::new(7);
    let mut bytes = vec![0; len];
    for block in bytes.chunks_mut(64 << 10) {
        if !random.number().is_multiple_of(3) {
            block.fill_with(|| random.number() as u8);
        }
    }
    let path = folder.join("disk");
    let file = File::create(&path).unwrap();
    file.set_len(len as u64).unwrap();
    for (at, block) in bytes.chunks(64 << 10).enumerate().filter(|(_, block)| block.iter().any(|b| *b != 0)) {
        file.write_all_at(block, (at as u64) << 16).unwrap();
    }
    (Arc::new(vhdx::RawDisk::open(&path).unwrap()), bytes)
}

#[test]
fn partitions_are_windows_of_the_disk() {
    if !can_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (raw, bytes) = random_disk(3 << 20, folder.path());
    let ranges = [("p1", 512..70_000), ("p2", 1 << 20..3 << 20), ("p3", 5..5)];
    let mounted = Mounted::one(raw, &ranges);
    for (name, range) in ranges {
        let path = mounted.path("disk").join(name);
        assert_eq!(fs::metadata(&path).unwrap().len(), range.end - range.start, "{name}");
        let expected = &bytes[range.start as usize..range.end as usize];
        assert_same(&fs::read(&path).unwrap(), expected, name);
        let mut past = [1; 100];
        let file = File::open(&path).unwrap();
        assert_eq!(file.read_at(&mut past, range.end - range.start).unwrap(), 0, "{name}: read past the end");
    }
}

#[test]
fn eight_threads_read_the_same_file() {
    if !can_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (raw, bytes) = random_disk(24 << 20, folder.path());
    let mounted = Mounted::one(raw, &[]);
    let path = mounted.path("disk/disk.raw");
    std::thread::scope(|scope| {
        for seed in 0..8 {
            let (path, bytes) = (&path, &bytes);
            scope.spawn(move || {
                let file = File::open(path).unwrap();
                let mut random = Random::new(seed);
                for _ in 0..150 {
                    let start = random.number() as usize % bytes.len();
                    let len = (random.number() as usize % (300 << 10)).min(bytes.len() - start);
                    let mut found = vec![0; len];
                    file.read_exact_at(&mut found, start as u64).unwrap();
                    assert_same(&found, &bytes[start..start + len], "a range");
                }
            });
        }
    });
}

#[test]
fn folders_list_all_files_with_their_attributes() {
    if !can_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (raw, _) = random_disk(1 << 20, folder.path());
    // More entries than fit into one answer of the file system.
    let disks = (0..400).map(|number| disk(&format!("{number:0>60}"), raw.clone())).collect();
    let mounted = Mounted::new(disks);
    let mut names: Vec<String> = fs::read_dir(mounted.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut expected: Vec<String> = (0..400).map(|number| format!("{number:0>60}")).collect();
    expected.push("latest".to_owned());
    assert_eq!(names, expected);
    assert_eq!(fs::metadata(mounted.path("")).unwrap().nlink(), 402);
    let first = mounted.path(&names[0]);
    let mut files: Vec<_> = fs::read_dir(&first).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["disk.raw", "info.json"]);
    assert_eq!(fs::read_link(mounted.path("latest")).unwrap().to_str(), Some(names[0].as_str()));
    let attributes = fs::metadata(first.join("disk.raw")).unwrap();
    assert_eq!(
        (attributes.len(), attributes.mode() & 0o7777, attributes.mtime()),
        (1 << 20, 0o400, 1_700_000_000)
    );
    let info = fs::read_to_string(first.join("info.json")).unwrap();
    assert_eq!(info, format!("{{\"name\": \"{}\"}}\n", names[0]));
}
