//! Values of all types, and names with any characters.

use hyperv_config::{Problem, Value, ValueType};
use vhdx_testkit::container::{Container, ContainerKey, ROOT, utf16, with_len};

use crate::common::{paths, problems, read, read_soundly};

fn value_of(key: ContainerKey) -> (Value, Vec<Problem>) {
    let mut container = Container::new();
    container.add(key);
    let configuration = read(container.build());
    let value = configuration.tree().keys().next().map_or(Value::Node, |key| key.value().clone());
    (value, problems(&configuration).into_iter().cloned().collect())
}

#[test]
fn values_of_all_types() {
    let cases = [
        (ContainerKey::int(ROOT, "i", i64::MIN), Value::Int(i64::MIN)),
        (ContainerKey::new(ROOT, "u", 4, u64::MAX.to_le_bytes().into()), Value::Uint(u64::MAX)),
        (ContainerKey::new(ROOT, "d", 5, (-0.5f64).to_le_bytes().into()), Value::Double(-0.5)),
        (ContainerKey::text(ROOT, "t", "\u{1f600} \u{e4}"), Value::Text("\u{1f600} \u{e4}".into())),
        (ContainerKey::new(ROOT, "t", 6, with_len(&utf16("nul\0"))), Value::Text("nul".into())),
        (ContainerKey::new(ROOT, "t", 6, with_len(&utf16("two\0\0"))), Value::Text("two\0".into())),
        (ContainerKey::bytes(ROOT, "b", b"\0\xff"), Value::Bytes(vec![0, 255])),
        (ContainerKey::bytes(ROOT, "b", b""), Value::Bytes(vec![])),
        (ContainerKey::truth(ROOT, "b", true), Value::Bool(true)),
        (ContainerKey::new(ROOT, "b", 8, 2i32.to_le_bytes().into()), Value::Bool(true)),
        (ContainerKey::truth(ROOT, "b", false), Value::Bool(false)),
        (ContainerKey::node(ROOT, "n"), Value::Node),
    ];
    for (key, expected) in cases {
        assert_eq!(value_of(key), (expected, vec![]));
    }
}

#[test]
fn text_that_is_not_utf16_stays_reachable() {
    let odd = [utf16("a"), vec![0x62]].concat();
    let high = [0x61, 0, 0x3d, 0xd8].to_vec();
    let low = [0x00, 0xde, 0x61, 0].to_vec();
    for bytes in [odd, high, low] {
        let (value, problems) = value_of(ContainerKey::new(ROOT, "t", 6, with_len(&bytes)));
        let Value::Malformed(malformed) = value else { panic!("{value:?}") };
        assert_eq!((malformed.value_type, malformed.bytes), (ValueType::Text, bytes));
        assert_eq!(problems, [Problem::Value { name: "t".into(), value_type: ValueType::Text }]);
    }
}

#[test]
fn free_entries_are_skipped_without_a_checksum() {
    let mut container = Container::new();
    let free = ContainerKey { name: vec![], key_type: 1, ..ContainerKey::int(ROOT, "", 0) };
    container.add(free);
    assert_eq!(container.tables[0].keys[12..16], [0; 4]);
    container.add(ContainerKey::int(ROOT, "after", 1));
    assert_eq!(paths(read_soundly(&container).tree()), ["/after"]);
}

/// A damaged type can make a key look like a free entry.
#[test]
fn free_entries_with_a_checksum_are_reported() {
    let mut container = Container::new();
    container.add(ContainerKey::int(ROOT, "lost", 1));
    container.add(ContainerKey::int(ROOT, "after", 1));
    container.tables[0].keys[0] = 1;
    let configuration = read(container.build());
    assert_eq!(paths(configuration.tree()), ["/after"]);
    assert_eq!(problems(&configuration), [&Problem::FreeKey]);
    assert_eq!(configuration.warnings().listed[0].offset, container.table_offset(0) + 10);
}

#[test]
fn lengths_at_their_limits() {
    let longest = "n".repeat(254);
    let mut container = Container::new();
    container.add(ContainerKey::int(ROOT, &longest, 1));
    container.add(ContainerKey::int(ROOT, "", 2));
    let keys = read_soundly(&container);
    assert_eq!(paths(keys.tree()), [format!("/{longest}"), "/".to_owned()]);
    // The length of the value, of the name, and of the entry, one past what there is.
    let text = || ContainerKey { slack: 0, ..ContainerKey::text(ROOT, "t", "text") };
    for len in [9, 10, u32::MAX] {
        let mut key = text();
        key.value[..4].copy_from_slice(&len.to_le_bytes());
        let (value, problems) = value_of(key);
        assert_eq!((value, problems), (Value::Node, vec![Problem::Key]), "{len}");
    }
    for (at, bytes) in
        [(20, vec![255]), (2, 21u32.to_le_bytes().to_vec()), (2, u32::MAX.to_le_bytes().to_vec())]
    {
        let mut container = Container::new();
        container.add(ContainerKey::int(ROOT, "before", 1));
        let start = container.tables[0].keys.len();
        container.add(text());
        container.tables[0].keys[start + at..][..bytes.len()].copy_from_slice(&bytes);
        container.add(ContainerKey::int(ROOT, "after", 1));
        let configuration = read(container.build());
        match at {
            // The next key is found only if the size is sound.
            20 => {
                assert_eq!(paths(configuration.tree()), ["/before", "/after"]);
                assert_eq!(problems(&configuration), [&Problem::Key]);
            }
            _ => {
                assert_eq!(paths(configuration.tree()), ["/before"]);
                assert_eq!(problems(&configuration), [&Problem::KeySize]);
            }
        }
    }
}

#[test]
fn names_can_contain_any_character() {
    let names = ["line\nbreak", "nul\0inside", "\u{1b}[2J", "<b>", "a/b", "\u{202e}"];
    let mut container = Container::new();
    for name in names {
        container.add(ContainerKey::int(ROOT, name, 1));
    }
    let configuration = read_soundly(&container);
    let found: Vec<&str> = configuration.tree().keys().map(|key| key.name()).collect();
    assert_eq!(found, names);
}

#[test]
fn names_that_are_no_text_are_reported() {
    let bad = [(b"a\xff\0".to_vec(), "a\u{fffd}"), (b"abc".to_vec(), "abc"), (vec![], "")];
    for (name, shown) in bad {
        let mut container = Container::new();
        container.add(ContainerKey { name, ..ContainerKey::int(ROOT, "", 7) });
        let configuration = read(container.build());
        assert_eq!(configuration.tree().find(shown).unwrap().value(), &Value::Int(7));
        assert_eq!(problems(&configuration), [&Problem::Name(shown.into())]);
    }
}

#[test]
fn messages_cannot_control_the_terminal() {
    let mut container = Container::new();
    container.add(ContainerKey::new(ROOT, "a\n\u{1b}[2J\u{202e}'\"", 6, with_len(&[1])));
    let configuration = read(container.build());
    let message = configuration.warnings().listed[0].to_string();
    let expected = r#"at 0x400a: the value of the key "a\n\u{1b}[2J\u{202e}'\"" is no valid text"#;
    assert_eq!(message, expected);
}

#[test]
fn unknown_types_are_skipped() {
    for key_type in [0, 2, 10, 255] {
        let (value, problems) = value_of(ContainerKey::new(ROOT, "k", key_type, vec![0; 8]));
        assert_eq!((value, problems), (Value::Node, vec![Problem::KeyType(key_type)]));
    }
}
