//! Every limit: what is read at the limit, and the error one past it.

use hyperv_config::{Configuration, Damage, Error, Limit, MAX_KEYS, MAX_TEXT};
use vhdx_testkit::container::{Container, ContainerKey, KeyTable, ROOT, object_table, seal_crc32};

use crate::common::{Sparse, limit, read};

/// Writes an entry of the first object table.
fn put_object(bytes: &mut [u8], slot: usize, object_type: u8, offset: u64, size: u32) {
    let entry = &mut bytes[8192 + 8 + 18 * slot..][..18];
    entry[0] = object_type;
    entry[5..13].copy_from_slice(&offset.to_le_bytes());
    entry[13..17].copy_from_slice(&size.to_le_bytes());
    seal_crc32(entry, 1);
}

/// The last slot of the first object table, which names the second one.
const CHAIN: usize = 226;

#[test]
fn keys() {
    let key = ContainerKey::truth(ROOT, "", true).encode();
    let with = |count: usize| {
        let keys = key.repeat(count);
        let size = (10 + keys.len()).next_multiple_of(4096);
        let table = KeyTable { index: 1, sequence: 1, size, keys };
        Configuration::read(Container { tables: vec![table], ..Container::new() }.build())
    };
    assert_eq!(MAX_KEYS, 1_000_000);
    assert_eq!(with(MAX_KEYS).unwrap().tree().len(), MAX_KEYS);
    let first = Container::new().table_offset(0);
    let last = first + 10 + (MAX_KEYS * key.len()) as u64;
    assert_eq!(limit(with(MAX_KEYS + 1)), (Limit::Keys, Some(last)));
}

#[test]
fn elements_of_xml() {
    let start = "<configuration>";
    let with = |count: usize| {
        Configuration::read(format!("{start}{}</configuration>", "<n/>".repeat(count)).into_bytes())
    };
    assert_eq!(with(MAX_KEYS - 1).unwrap().tree().len(), MAX_KEYS);
    let last = (start.len() + 4 * (MAX_KEYS - 1)) as u64;
    assert_eq!(limit(with(MAX_KEYS)), (Limit::Keys, Some(last)));
}

#[test]
fn size_of_the_key_tables() {
    let with = |size: u32| {
        let mut container = Container::new();
        container.add(ContainerKey::int(ROOT, "k", 1));
        let table = container.table_offset(0);
        let mut bytes = container.build();
        put_object(&mut bytes, 0, 2, table, size);
        (table, Configuration::read(Sparse::new(1 << 30, bytes)))
    };
    assert_eq!(with(64 << 20).1.unwrap().tree().len(), 1);
    let (table, result) = with((64 << 20) + 1);
    assert_eq!(limit(result), (Limit::KeyTables, Some(table)));
}

#[test]
fn number_of_key_tables() {
    let with = |count: usize| {
        let mut container = Container::new();
        container.add(ContainerKey::int(ROOT, "k", 1));
        let mut bytes = container.build();
        // All of them are the same one.
        let mut entries = vec![(2, container.table_offset(0), 4096); count - 1];
        entries.push((0, 0, 0));
        let (table, more) = (bytes.len() as u64, object_table(&entries));
        put_object(&mut bytes, CHAIN, 1, table, more.len() as u32);
        bytes.extend(more);
        (table, Configuration::read(bytes))
    };
    let most = 1 << 17;
    let (_, result) = with(most);
    assert_eq!(result.unwrap().tree().len(), 1);
    let (table, result) = with(most + 1);
    assert_eq!(limit(result), (Limit::KeyTables, Some(table + 8 + 18 * (most as u64 - 1))));
}

#[test]
fn entries_of_the_object_tables() {
    let with = |count: u32| {
        let mut container = Container::new();
        container.add(ContainerKey::int(ROOT, "k", 1));
        let mut bytes = container.build();
        let table = bytes.len() as u64;
        put_object(&mut bytes, CHAIN, 1, table, 8 + 18 * count);
        let header = object_table(&[])[..4].to_vec();
        let mut file = Sparse::new(1 << 30, bytes);
        file.parts.push((table, [header, count.to_le_bytes().to_vec()].concat()));
        let end = object_table(&[(0, 0, 0)])[8..].to_vec();
        file.parts.push((table + 8 + 18 * (u64::from(count) - 1), end));
        (table, Configuration::read(file))
    };
    let most = (4 << 20) - 227;
    let (_, result) = with(most);
    let configuration = result.unwrap();
    assert_eq!(configuration.tree().len(), 1);
    assert_eq!(configuration.warnings().more, u64::from(most) - 1 - 1000, "zeros are damaged entries");
    let (table, result) = with(most + 1);
    assert_eq!(limit(result), (Limit::Objects, Some(table)));
}

#[test]
fn data_of_the_replay_log() {
    let with = |len: u32| {
        let mut container = Container::new();
        container.add(ContainerKey::int(ROOT, "k", 1));
        // The first entry is small, and the data of the second one are zeros past the end of the content.
        let end = container.build().len() as u64;
        container.log = vec![(end, vec![7; 100]), (end, vec![])];
        container.log_count = 2;
        let mut bytes = container.build();
        let log = Container::log_offset();
        let entry = &mut bytes[log as usize + 34 + 28..][..28];
        entry[8..12].copy_from_slice(&len.to_le_bytes());
        entry[12..20].copy_from_slice(&(1u64 << 20).to_le_bytes());
        entry[24..28].copy_from_slice(&zeros_crc32(len).to_le_bytes());
        seal_crc32(entry, 20);
        Configuration::read(Sparse::new(1 << 30, bytes))
    };
    let most = (64 << 20) - 100;
    let configuration = with(most).unwrap();
    assert_eq!((configuration.replayed_entries(), configuration.tree().len()), (2, 1));
    assert_eq!(limit(with(most + 1)), (Limit::ReplayLog, Some(Container::log_offset() + 34 + 28)));
}

fn zeros_crc32(len: u32) -> u32 {
    // The testkit writes the checksum of bytes whose first four count as zeros.
    let mut zeros = vec![0; len as usize];
    seal_crc32(&mut zeros, 0);
    u32::from_le_bytes(zeros[..4].try_into().unwrap())
}

#[test]
fn size_of_xml() {
    let with = |size: usize| {
        let mut bytes = b"<configuration>".to_vec();
        bytes.resize(size - "</configuration>".len(), b' ');
        bytes.extend(b"</configuration>");
        Configuration::read(bytes)
    };
    assert_eq!(with(16 << 20).unwrap().tree().len(), 1);
    assert_eq!(limit(with((16 << 20) + 1)), (Limit::Xml, None));
}

#[test]
fn text_in_file_objects() {
    let with = |len: u32| {
        let mut container = Container::new();
        container.file_objects = vec![[b'a', 0].repeat(len as usize / 2)];
        let offset = container.object_offset(0);
        container.add(ContainerKey::object(ROOT, "text", 6, offset, len));
        (offset, read(container.build()))
    };
    assert_eq!(MAX_TEXT, 1 << 20);
    let (_, configuration) = with(MAX_TEXT);
    let key = configuration.tree().find("text").unwrap();
    assert_eq!(configuration.text(key).unwrap().unwrap().len(), MAX_TEXT as usize / 2);
    let (offset, configuration) = with(MAX_TEXT + 2);
    let key = configuration.tree().find("text").unwrap();
    assert_eq!(limit(configuration.text(key)), (Limit::Object, Some(offset)));
}

/// One past the limit of the whole crate is an error of the file, not of its damage.
#[test]
fn messages_say_where_a_limit_is_exceeded() {
    let at = |offset| Error::TooLarge { limit: Limit::Keys, offset }.to_string();
    assert_eq!(at(Some(0x4000)), "the file exceeds a limit: it has more than 1,000,000 keys (at 0x4000)");
    assert_eq!(at(None), "the file exceeds a limit: it has more than 1,000,000 keys");
    let damage = Error::Corrupt { offset: 16, damage: Damage::ReplayEntry(2) };
    assert_eq!(damage.to_string(), "entry 2 of the replay log is damaged at 0x10");
}
