//! Writes, zeros, trims and flushes against a plain array.

use std::sync::Arc;

use vhdx::{Chain, DiskOffset, FolderResolver};
use vhdx_serve::{Limits, SharedDisk};
use vhdx_testkit::Random;

use crate::client::{
    CACHE, Client, DISC, EINVAL, ENOSPC, FAST_ZERO, FLUSH, FUA, NO_HOLE, TRIM, WRITE, WRITE_ZEROES, request,
};
use crate::harness::{Running, content, export, model, wait_until, writable};

/// The disk of a file as a new reader sees it.
fn reopened(leaf: &std::path::Path) -> Vec<u8> {
    let chain = Chain::open(leaf, &FolderResolver::default()).unwrap();
    let mut bytes = vec![0; chain.virtual_size() as usize];
    chain.read_exact_at(&mut bytes, DiskOffset::new(0)).unwrap();
    bytes
}

/// Changes a part of the disk in a random way, and the array likewise.
fn change(client: &mut Client, random: &mut Random, array: &mut [u8], start: usize) {
    let offset = random.below(array.len());
    let longest = if random.below(8) == 0 { 1 << 20 } else { 6000 };
    let len = random.below((array.len() - offset).min(longest)) + 1;
    let flags = if random.below(16) == 0 { FUA } else { 0 };
    let at = (start + offset) as u64;
    match random.below(6) {
        0 => {
            let flags = flags | if random.below(2) == 0 { NO_HOLE } else { 0 };
            assert_eq!(client.change(WRITE_ZEROES, flags, at, len as u32), None);
            array[offset..][..len].fill(0);
        }
        1 => {
            assert_eq!(client.change(TRIM, flags, at, len as u32), None);
            // Whole sectors read as zeros or as before.
            let read = client.read(at, len as u32);
            for (new, old) in read.iter().zip(&array[offset..]) {
                assert!(*new == 0 || new == old);
            }
            array[offset..][..len].copy_from_slice(&read);
        }
        2 => assert_eq!(client.change(FLUSH, 0, 0, 0), None),
        _ => {
            let bytes = random.bytes(len);
            assert_eq!(client.write(flags, at, &bytes), None);
            array[offset..][..len].copy_from_slice(&bytes);
        }
    }
}

#[test]
fn several_clients_write_and_all_see_one_disk() {
    let model = model(8);
    let (_folder, leaf, disk) = writable(&model);
    let (disk, mut array) = (Arc::new(SharedDisk::writable(disk)), content(&model));
    let export = vhdx_serve::Export::new("disk", "", Arc::clone(&disk)).unwrap();
    let server = Running::new(vec![export], Limits::default());
    let part = array.len().div_ceil(4);
    std::thread::scope(|scope| {
        for (number, array) in array.chunks_mut(part).enumerate() {
            let mut client = server.client();
            scope.spawn(move || {
                let mut random = Random::new(number as u64);
                (0..60).for_each(|_| change(&mut client, &mut random, array, number * part));
            });
        }
    });
    // Two kinds of clients read what all have written.
    assert!(server.client().read(0, array.len() as u32) == array);
    assert!(Client::simple(server.connect(), "disk").read(0, array.len() as u32) == array);
    server.stop().unwrap();
    disk.close().unwrap();
    assert!(reopened(&leaf) == array);
    let chain = Chain::open(&leaf, &FolderResolver::default()).unwrap();
    chain.validate_placement().unwrap();
    assert_eq!(chain.leaf().log(), vhdx::LogState::Clean);
}

#[test]
fn a_flush_and_a_durable_write_survive_a_killed_server() {
    let model = model(9);
    let (folder, leaf, disk) = writable(&model);
    let mut array = content(&model);
    let server = Running::of(SharedDisk::writable(disk));
    let mut client = server.client();
    assert_eq!(client.write(0, 1000, &[1; 5000]), None);
    assert_eq!(client.change(FLUSH, 0, 0, 0), None);
    assert_eq!(client.write(FUA, 2 << 20, &[2; 512]), None);
    array[1000..6000].fill(1);
    array[2 << 20..][..512].fill(2);
    // The files as they would be after the death of the server.
    let copies = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copies.path().join(entry.file_name())).unwrap();
    }
    assert!(reopened(&copies.path().join(leaf.file_name().unwrap())) == array);
}

#[test]
fn changes_of_a_client_that_leaves_at_once_are_made() {
    let model = model(9);
    let (_folder, _, disk) = writable(&model);
    let server = Running::of(SharedDisk::writable(disk));
    for (byte, flags, says_goodbye) in [(1, FUA, false), (2, FUA, true), (3, 0, false), (4, 0, true)] {
        let mut client = server.client();
        // The client takes no replies, and the server cannot send them.
        client.stream.shutdown(std::net::Shutdown::Read).unwrap();
        let write = |number| [request(WRITE, flags, number, number * 512, 512), vec![byte; 512]].concat();
        let mut bytes: Vec<u8> = (0..100).flat_map(write).collect();
        if says_goodbye {
            bytes.extend(request(DISC, 0, 0, 0, 0));
        }
        std::io::Write::write_all(&mut client.stream, &bytes).unwrap();
        drop(client);
        let number_of_ends = || server.log.ends.lock().unwrap().len();
        wait_until(|| number_of_ends() == 2 * usize::from(byte) - 1);
        assert!(server.client().read(0, 51_200) == [byte; 51_200], "{byte}");
        wait_until(|| number_of_ends() == 2 * usize::from(byte));
    }
}

#[test]
fn wrong_changes_have_the_right_errors_and_change_nothing() {
    let model = model(8);
    let (_folder, _, disk) = writable(&model);
    let (server, array) = (Running::of(SharedDisk::writable(disk)), content(&model));
    let (mut client, size) = (server.client(), array.len() as u64);
    assert_eq!(client.write(0, size - 1, &[1; 2]), Some(ENOSPC));
    assert_eq!(client.write(0, u64::MAX, &[1; 2]), Some(ENOSPC));
    assert_eq!(client.write(0, 0, &vec![1; (32 << 20) + 1]), Some(EINVAL));
    assert_eq!(client.write(1 << 3, 0, &[1; 512]), Some(EINVAL));
    assert_eq!(client.change(WRITE_ZEROES, 0, size, 1), Some(ENOSPC));
    assert_eq!(client.change(TRIM, 0, size, 1), Some(EINVAL));
    // It is not announced.
    assert_eq!(client.change(WRITE_ZEROES, FAST_ZERO, 0, 512), Some(EINVAL));
    assert_eq!(client.change(TRIM, NO_HOLE, 0, 512), Some(EINVAL));
    for empty in [WRITE, WRITE_ZEROES, TRIM, CACHE] {
        assert_eq!(client.change(empty, 0, size, 0), None, "command {empty}");
    }
    assert!(client.read(0, size as u32) == array);
    assert_eq!(client.change(WRITE_ZEROES, 0, 0, 1 << 20), None);
    assert!(client.read(0, 1 << 20).iter().all(|byte| *byte == 0));
}

#[test]
fn a_closed_disk_answers_nothing_and_its_leaf_is_clean() {
    let model = model(8);
    let (_folder, leaf, disk) = writable(&model);
    let disk = Arc::new(SharedDisk::writable(disk));
    let server = Running::new(
        vec![
            vhdx_serve::Export::new("disk", "", Arc::clone(&disk)).unwrap(),
            export("other", crate::harness::read_only(crate::harness::chain(&model))),
        ],
        Limits::default(),
    );
    let mut client = server.client();
    assert_eq!(client.write(0, 0, &[5; 512]), None);
    disk.close().unwrap();
    disk.close().unwrap();
    assert_eq!(client.write(0, 0, &[6; 512]), Some(108));
    assert_eq!(reopened(&leaf)[..512], [5; 512]);
    server.stop().unwrap();
}
