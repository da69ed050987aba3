//! Values that are stored outside of the key tables.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyperv_config::{Configuration, Error, Limit, MAX_TEXT, Problem, Value, ValueType};
use vhdx_testkit::container::{Container, ContainerKey, ROOT, utf16};

use crate::common::{Sparse, Views, limit, problems, read, read_soundly};

/// Readers that look for a length before the text return garbage.
#[test]
fn file_objects_hold_texts_and_bytes() {
    let text = "long text \u{1f600} ".repeat(400);
    let mut container = Container::new();
    container.file_objects = vec![utf16(&text), vec![7; 5000]];
    let (first, second) = (container.object_offset(0), container.object_offset(1));
    container.add(ContainerKey::object(ROOT, "text", 6, first, utf16(&text).len() as u32));
    container.add(ContainerKey::object(ROOT, "bytes", 7, second, 5000));
    let configuration = read_soundly(&container);
    let key = |name| configuration.tree().find(name).unwrap();
    assert_eq!(configuration.text(key("text")).unwrap().unwrap(), text);
    assert_eq!(configuration.text(key("bytes")).unwrap(), None);
    let Value::Object(object) = key("bytes").value() else { panic!("{:?}", key("bytes")) };
    assert_eq!((object.value_type, object.offset, object.len), (ValueType::Bytes, second, 5000));
    assert_eq!(configuration.read_object(object, 5000).unwrap(), vec![7; 5000]);
    assert_eq!(limit(configuration.read_object(object, 4999)), (Limit::Object, Some(second)));
}

#[test]
fn a_machine_reads_its_notes_from_a_file_object() {
    let notes = "notes ".repeat(500);
    let mut container = Container::new();
    container.file_objects = vec![utf16(&notes)];
    let offset = container.object_offset(0);
    let root = container.add(ContainerKey::node(ROOT, "configuration"));
    let properties = container.add(ContainerKey::node(root, "properties"));
    container.add(ContainerKey::object(properties, "notes", 6, offset, utf16(&notes).len() as u32));
    let machine = read_soundly(&container).machine();
    assert_eq!(machine.notes.as_deref(), Some(notes.as_str()));
    assert!(machine.warnings.is_empty());
}

#[test]
fn places_outside_of_the_file_are_malformed() {
    let mut container = Container::new();
    container.add(ContainerKey::text(ROOT, "sound", "x"));
    let len = container.build().len() as u64;
    for (offset, size) in [(len - 7, 8), (len, 1), (u64::MAX, 1), (u64::MAX - 7, 8), (0, u32::MAX)] {
        let mut container = container.clone();
        container.add(ContainerKey::object(ROOT, "outside", 7, offset, size));
        let configuration = read(container.build());
        assert_eq!(problems(&configuration), [&Problem::FileObject("outside".into())]);
        let value = configuration.tree().find("outside").unwrap().value();
        assert!(matches!(value, Value::Malformed(bytes) if bytes.bytes.len() == 12), "{value:?}");
    }
}

/// Otherwise a small file could make a reader read the same bytes a million times.
#[test]
fn values_that_are_longer_than_the_file_in_total_are_malformed() {
    let mut container = Container::new();
    container.file_objects = vec![vec![7; 65536]];
    let offset = container.object_offset(0);
    for _ in 0..100 {
        container.add(ContainerKey::object(ROOT, "same", 7, offset, 65536));
    }
    let configuration = read(container.build());
    let sound = configuration.tree().keys().filter(|key| matches!(key.value(), Value::Object(_))).count();
    assert_eq!(sound, 1);
    assert_eq!(configuration.warnings().listed.len(), 99);
}

#[test]
fn places_that_no_object_table_describes_are_reported() {
    let mut container = Container::new();
    container.file_objects = vec![vec![7; 4096]];
    let offset = container.object_offset(0);
    for (offset, len) in [(offset + 1, 4096), (0, 8)] {
        container.add(ContainerKey::object(ROOT, "elsewhere", 7, offset, len));
    }
    container.add(ContainerKey::object(ROOT, "part", 7, offset + 8, 8));
    let expected = Problem::FileObjectPlace("elsewhere".into());
    assert_eq!(problems(&read(container.build())), [&expected, &expected]);
}

#[test]
fn long_and_broken_texts_are_errors_of_the_text_only() {
    let mut container = Container::new();
    container.file_objects = vec![vec![0x61; MAX_TEXT as usize + 2], vec![0, 0xd8]];
    let (long, broken) = (container.object_offset(0), container.object_offset(1));
    let root = container.add(ContainerKey::node(ROOT, "configuration"));
    let properties = container.add(ContainerKey::node(root, "properties"));
    container.add(ContainerKey::object(properties, "name", 6, long, MAX_TEXT + 2));
    container.add(ContainerKey::object(properties, "notes", 6, broken, 2));
    let configuration = read_soundly(&container);
    let text = |name: &str| configuration.text(configuration.tree().find(name).unwrap());
    assert_eq!(limit(text("configuration/properties/name")), (Limit::Object, Some(long)));
    assert!(matches!(text("configuration/properties/notes"), Err(Error::Corrupt { .. })));
    let machine = configuration.machine();
    assert_eq!((machine.name, machine.notes), (None, None));
    assert!(machine.warnings.listed.iter().all(|w| matches!(w.problem, Problem::Unreadable { .. })));
    assert_eq!(machine.warnings.listed.len(), 2);
}

/// A runtime state contains gigabytes of memory, which are not read.
#[test]
fn file_objects_are_read_only_on_request() {
    let mut container = Container::new();
    let (size, memory) = (64 << 30, 60 << 30);
    container.add(ContainerKey::object(ROOT, "memory", 7, memory, u32::MAX));
    let file = Arc::new(Sparse::new(size, container.build()));
    let configuration = Configuration::read(Arc::clone(&file)).unwrap();
    let read = file.read.load(Ordering::Relaxed);
    assert!(read < 20_000, "{read}");
    let Value::Object(object) = configuration.tree().find("memory").unwrap().value() else { panic!() };
    assert_eq!((object.offset, object.len), (memory, u32::MAX));
    assert_eq!(limit(configuration.read_object(object, 1 << 20)), (Limit::Object, Some(memory)));
    assert_eq!(file.read.load(Ordering::Relaxed), read);
}
