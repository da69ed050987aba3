//! Damaged headers and keys, and files of other formats.

use std::fs;
use std::path::Path;

use hyperv_config::{Configuration, Damage, Error, ErrorKind, Problem, Value};
use vhdx_testkit::ConfiguredMachine;
use vhdx_testkit::container::{Container, ContainerKey, ROOT, header, seal_crc32};

use crate::common::{error, paths, problems, read, read_soundly};

fn container() -> Container {
    let mut container = Container::new();
    for name in ["a", "b", "c"] {
        container.add(ContainerKey::text(ROOT, name, "text"));
    }
    container
}

fn with_header(mut bytes: Vec<u8>, at: usize, change: impl Fn(&mut [u8])) -> Vec<u8> {
    change(&mut bytes[at..at + 46]);
    seal_crc32(&mut bytes[at..at + 46], 4);
    bytes
}

#[test]
fn one_damaged_header_is_a_warning() {
    for (at, offset) in [(0, 0), (4096, 4096)] {
        for field in 0..46 {
            let mut bytes = container().build();
            bytes[at + field] ^= 0x40;
            let configuration = read(bytes);
            assert_eq!(configuration.tree().len(), 3);
            assert_eq!(problems(&configuration), [&Problem::Header]);
            assert_eq!(configuration.warnings().listed[0].offset, offset);
        }
    }
    let mut bytes = container().build();
    bytes[4] ^= 1;
    bytes[4096 + 4] ^= 1;
    assert!(matches!(error(bytes.clone()), Error::Corrupt { damage: Damage::Headers, .. }));
    bytes[..46].fill(0);
    bytes[4096..4096 + 46].fill(0);
    assert!(
        matches!(error(bytes), Error::Corrupt { damage: Damage::Headers, .. }),
        "it is still a container"
    );
}

/// The log of the header that is not current lies past the end of the file.
#[test]
fn the_header_with_the_higher_sequence_is_current() {
    let broken_log = |header: &mut [u8]| header[26..34].fill(0xff);
    for (sequences, old) in [([5, 4], 4096), ([4, 5], 0), ([0x8000, 0x7fff], 4096), ([1, 0], 4096)] {
        let container = Container { headers: sequences, ..container() };
        assert_eq!(read_soundly(&container).tree().len(), 3);
        assert!(Configuration::read(with_header(container.build(), old, broken_log)).is_ok());
        let wrong = with_header(container.build(), 4096 - old, broken_log);
        assert!(matches!(error(wrong), Error::Corrupt { damage: Damage::ReplayLog, .. }));
    }
    // How a sequence of 16 bits wraps around is unknown, which matters only if the headers differ.
    for sequences in [[7, 7], [u16::MAX, 0], [0, u16::MAX]] {
        let container = Container { headers: sequences, ..container() };
        assert_eq!(read_soundly(&container).tree().len(), 3);
        let differing = with_header(container.build(), 0, broken_log);
        assert!(matches!(error(differing), Error::Corrupt { damage: Damage::AmbiguousHeaders, .. }));
    }
}

#[test]
fn other_versions_are_refused() {
    let changed = |at: usize, value: u32| {
        let change = |header: &mut [u8]| header[at..at + 4].copy_from_slice(&value.to_le_bytes());
        with_header(with_header(container().build(), 0, change), 4096, change)
    };
    for version in [0x100, 0x300, 0x401, 0x500, u32::MAX] {
        let error = error(changed(10, version));
        assert!(matches!(error, Error::Version(found) if found == version));
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    assert_eq!(
        error(changed(10, 0x301)).to_string(),
        "the container has version 3.1; only version 4.0 can be read"
    );
    for alignment in [0, 65537, u32::MAX] {
        assert!(matches!(error(changed(22, alignment)), Error::Corrupt { damage: Damage::Alignment(_), .. }));
    }
    assert_eq!(read(changed(22, 65536)).tree().len(), 3);
    for field in [14, 18] {
        assert_eq!(problems(&read(changed(field, 1))), [&Problem::HeaderField]);
    }
    let mut bytes = container().build();
    bytes[..46].copy_from_slice(&header(9));
    assert_eq!(read(bytes).warnings().listed, []);
}

#[test]
fn one_damaged_key_is_a_warning() {
    let container = container();
    let sound = container.build();
    let size = container.tables[0].keys.len() / 3;
    let second = container.table_offset(0) as usize + 10 + size;
    let slack = 12;
    for field in (0..size - slack).filter(|field| !(2..6).contains(field)) {
        let mut bytes = sound.clone();
        bytes[second + field] ^= 0x20;
        let configuration = read(bytes);
        assert_eq!(paths(configuration.tree()), ["/a", "/c"], "{field}");
        assert_eq!(configuration.warnings().listed.len(), 1, "{field}");
        assert_eq!(configuration.warnings().listed[0].offset, second as u64);
    }
    for field in size - slack..size {
        let mut bytes = sound.clone();
        bytes[second + field] ^= 0x20;
        assert_eq!(read(bytes).warnings().listed, [], "slack has no checksum");
    }
}

#[test]
fn warnings_are_bounded() {
    let mut container = Container::new();
    for _ in 0..1500 {
        container.add(ContainerKey::int((99, 10), "lost", 1));
    }
    let configuration = read(container.build());
    assert_eq!((configuration.warnings().listed.len(), configuration.warnings().more), (1000, 500));
}

#[test]
fn files_of_other_formats_are_named() {
    let vhdx = b"vhdxfile".to_vec();
    for bytes in [vec![], vec![0], vhdx, vec![0; 1 << 20], b"<html></html>".to_vec(), b"text".to_vec()] {
        let error = error(bytes);
        assert!(matches!(error, Error::NotAConfiguration), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}

#[test]
fn files_are_opened_by_path() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join("machine.vmcx");
    fs::write(&path, ConfiguredMachine::default().container().build()).unwrap();
    let configuration = Configuration::open(&path).unwrap();
    assert_eq!(
        configuration.tree().find("/CONFIGURATION/Properties/NAME").unwrap().value(),
        &Value::Text("server".into())
    );
    assert_eq!(Configuration::open(folder).unwrap_err().kind(), ErrorKind::NotARegularFile);
    assert_eq!(Configuration::open(folder.join("absent")).unwrap_err().kind(), ErrorKind::Io);
    fs::remove_file(path).unwrap();
}

/// A size of zero ends a table only if nothing follows.
#[test]
fn a_key_whose_size_is_zero_is_a_warning() {
    let container = container();
    let mut bytes = container.build();
    let size = container.tables[0].keys.len() / 3;
    let second = container.table_offset(0) as usize + 10 + size;
    bytes[second + 2..second + 6].fill(0);
    let configuration = read(bytes);
    assert_eq!(paths(configuration.tree()), ["/a"]);
    let [warning] = &configuration.warnings().listed[..] else { panic!("{:?}", configuration.warnings()) };
    assert_eq!((warning.offset, &warning.problem), (second as u64, &Problem::KeySize));
}
