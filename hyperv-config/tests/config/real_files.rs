//! Every key of every real file equals its expected answer.

use std::fs;

use hyperv_config::{Configuration, Format};
use serde_json::Value as Json;
use vhdx_testkit::container::seal_crc32;

use crate::common::{KEPT, WITH_KEYS, XML, answer, fixtures, kept, paths, read, testdata, unpacked};

#[track_caller]
fn has_keys(configuration: &Configuration, format: Format, expected: &Json) {
    assert_eq!(configuration.format(), format);
    assert_eq!(configuration.warnings().listed, []);
    assert_eq!(configuration.replayed_entries(), 0);
    let (found, expected) = (answer(configuration.tree()), expected.as_array().unwrap());
    let found = found.as_array().unwrap();
    for (number, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found, expected, "key {number}");
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn every_key_of_the_shared_files_equals_its_answer() {
    let Some(folder) = fixtures() else { return };
    for name in WITH_KEYS {
        let expected = fs::read(folder.join(format!("{name}.allkeys.json"))).unwrap();
        let expected = serde_json::from_slice(&expected).unwrap();
        has_keys(&read(unpacked(&folder, name)), Format::Container, &expected);
    }
}

/// `xml_keys.py` made the answer, which is not among the shared files.
#[test]
fn every_key_of_the_shared_xml_file_equals_its_answer() {
    let Some(folder) = fixtures() else { return };
    let expected = include_str!("B90AC31B-C6F8-479F-9B91-07B894A6A3F6.xml.allkeys.json");
    has_keys(&read(unpacked(&folder, XML)), Format::Xml, &serde_json::from_str(expected).unwrap());
}

#[test]
fn every_key_of_the_kept_file_equals_its_answer() {
    let expected = fs::read(testdata().join(format!("{KEPT}.allkeys.json"))).unwrap();
    has_keys(&read(kept()), Format::Container, &serde_json::from_slice(&expected).unwrap());
}

/// Names are not unique among siblings: readers that keep one key for each name lose the others.
#[test]
fn siblings_with_one_name_are_kept_in_insertion_order() {
    let configuration = read(kept());
    let metrics = configuration.tree().find("/configuration/global_settings/metrics").unwrap();
    assert_eq!(metrics.children_named("devicetype").count(), 2);
    let found = configuration
        .tree()
        .find_all("/configuration/global_settings/metrics/devicetype/deviceinstance/metric");
    assert_eq!(found.len(), 4);
    let offsets: Vec<u64> = metrics.children_named("devicetype").map(|key| key.offset()).collect();
    assert!(offsets.is_sorted(), "{offsets:?}");
}

/// Overwrites key tables, and says that the first `count` entries of the log must be replayed.
fn destroyed(mut bytes: Vec<u8>, tables: &[usize], count: u32) -> Vec<u8> {
    for table in tables {
        bytes[*table..table + 4096].fill(0xee);
    }
    let log = u64::from_le_bytes(bytes[26..34].try_into().unwrap()) as usize;
    bytes[log + 8..log + 12].copy_from_slice(&count.to_le_bytes());
    seal_crc32(&mut bytes[log..log + 34], 4);
    bytes
}

/// Readers that do not replay the log fail, or silently lose the keys.
#[test]
fn the_log_of_a_real_file_restores_its_key_tables() {
    let Some(folder) = fixtures() else { return };
    let original = unpacked(&folder, "test.VMRS");
    let tables = [0x3000, 0x7000];
    let lost = read(destroyed(original.clone(), &tables, 0));
    assert!(lost.tree().is_empty());
    assert_eq!(lost.warnings().listed.len(), 2);
    let replayed = read(destroyed(original.clone(), &tables, 3));
    assert_eq!(replayed.replayed_entries(), 3);
    assert_eq!(replayed.warnings().listed, []);
    assert_eq!(answer(replayed.tree()), answer(read(original).tree()));
}

#[test]
fn the_log_of_the_kept_file_restores_its_key_table() {
    let replayed = read(destroyed(kept(), &[0x3000], 1));
    assert_eq!(replayed.replayed_entries(), 1);
    assert_eq!(answer(replayed.tree()), answer(read(kept()).tree()));
    assert!(paths(read(destroyed(kept(), &[0x3000], 0)).tree()).is_empty());
}
