//! Reads arbitrary bytes as a configuration of Hyper-V: as they are, and with correct checksums.
#![no_main]

use hyperv_config::{Configuration, Key, Machine, Register, Value};
use vhdx_testkit::container::seal_container;

const MAX_OBJECT: u32 = 1 << 16;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    exercise(bytes.to_vec());
    let mut sealed = bytes.to_vec();
    seal_container(&mut sealed);
    exercise(sealed);
});

/// Reads everything that a file has. Nothing that it holds may do more than give an error.
fn exercise(bytes: Vec<u8>) {
    let configuration = match Configuration::read(bytes) {
        Ok(configuration) => configuration,
        Err(error) => return drop(error.to_string()),
    };
    for key in configuration.tree().keys() {
        let path = key.path();
        assert!(path.starts_with('/'));
        let found = configuration.tree().find_all(&path);
        assert!(found.iter().all(|found| found.path().eq_ignore_ascii_case(&path)));
        // A name can contain the separator. Then its path leads elsewhere.
        let is_plain = path.matches('/').count() == std::iter::successors(Some(key), Key::parent).count();
        assert!(!is_plain || found.iter().any(|found| found.offset() == key.offset()));
        let _ = configuration.text(key);
        if let Value::Object(object) = key.value() {
            let _ = configuration.read_object(object, MAX_OBJECT);
        }
    }
    for warning in &configuration.warnings().listed {
        drop(warning.to_string());
    }
    let _ = (Machine::of(&configuration), Register::of(&configuration));
}
