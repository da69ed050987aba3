//! Arbitrary bytes and single changes to sound files never panic, and end within bounded time.

use std::iter;
use std::time::{Duration, Instant};

use hyperv_config::{Configuration, Key, Value};
use proptest::prelude::*;
use vhdx_testkit::container::{Container, ContainerKey, ROOT, seal_container, utf16};
use vhdx_testkit::{ConfiguredMachine, Random};

use crate::common::{Views, WITH_KEYS, XML, fixtures, kept, unpacked};

/// Reads everything that a file has.
fn exercise(bytes: Vec<u8>) {
    let len = bytes.len();
    let start = Instant::now();
    match Configuration::read(bytes) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(configuration) => {
            for key in configuration.tree().keys() {
                let path = key.path();
                assert!(path.starts_with('/'));
                // A name can contain the separator. Then its path leads elsewhere.
                if path.matches('/').count() == iter::successors(Some(key), Key::parent).count() {
                    let found = configuration.tree().find_all(&path);
                    assert!(found.iter().any(|found| found.offset() == key.offset()), "{path}");
                }
                let _ = configuration.text(key);
                if let Value::Object(object) = key.value() {
                    let _ = configuration.read_object(object, 1 << 16);
                }
            }
            for warning in &configuration.warnings().listed {
                assert!(!warning.to_string().is_empty());
            }
            let _ = (configuration.machine(), configuration.register());
        }
    }
    assert!(start.elapsed() < Duration::from_secs(10), "a file of {len} bytes");
}

/// A container that uses every structure.
fn rich() -> Vec<u8> {
    let mut container = Container { object_slots: 3, ..ConfiguredMachine::default().container() };
    container.file_objects = vec![utf16(&"notes".repeat(500)), vec![1; 3000]];
    let (first, second) = (container.object_offset(0), container.object_offset(1));
    container.add(ContainerKey::object(ROOT, "text", 6, first, 5000));
    container.add(ContainerKey::object(ROOT, "bytes", 7, second, 3000));
    let table = container.table_offset(0);
    let bytes = container.build()[table as usize..][..4096].to_vec();
    container.log = vec![(table, bytes)];
    container.log_count = 1;
    container.build()
}

/// The sound files, small enough to change most bytes.
fn sound_files() -> Vec<Vec<u8>> {
    let mut files = vec![kept(), rich()];
    if let Some(folder) = fixtures() {
        files.extend(WITH_KEYS.iter().chain([&XML]).map(|name| unpacked(&folder, name)));
    }
    files
}

#[test]
fn single_changes_of_bytes() {
    for file in sound_files() {
        let mut random = Random::new(file.len() as u64);
        // Most bytes of a file are zeros past the end of a structure.
        let used: Vec<usize> = (0..file.len()).filter(|at| file[*at] != 0).collect();
        for number in 0..600 {
            let at = if number % 4 == 0 { random.below(file.len()) } else { used[random.below(used.len())] };
            let mut changed = file.clone();
            changed[at] = match number % 3 {
                0 => !changed[at],
                1 => changed[at] ^ 1 << random.below(8),
                _ => random.number() as u8,
            };
            exercise(changed.clone());
            // With correct checksums, the change reaches what they protect.
            seal_container(&mut changed);
            exercise(changed);
        }
    }
}

#[test]
fn files_that_are_cut_short() {
    for file in sound_files() {
        let mut random = Random::new(7);
        for _ in 0..60 {
            exercise(file[..random.below(file.len())].to_vec());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..20_000), kind in 0..4u8) {
        let mut bytes = bytes;
        let start: &[u8] = match kind {
            0 => b"\x14\x20\x28\x01",
            1 => b"<configuration>",
            2 => b"\xff\xfe<\0",
            _ => b"",
        };
        let len = start.len().min(bytes.len());
        bytes[..len].copy_from_slice(&start[..len]);
        exercise(bytes);
    }

    #[test]
    fn arbitrary_keys(keys in prop::collection::vec(
        (any::<u8>(), any::<u8>(), 0..4u16, 0..200u32, prop::collection::vec(any::<u8>(), 0..20),
            prop::collection::vec(any::<u8>(), 0..24)),
        0..60,
    )) {
        let mut container = Container::new();
        for (key_type, flags, table, at, name, value) in keys {
            let key = ContainerKey { flags, name, ..ContainerKey::new((table, at), "", key_type % 12, value) };
            container.add(key);
        }
        exercise(container.build());
    }
}
