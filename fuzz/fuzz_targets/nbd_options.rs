//! Sends arbitrary bytes to the handshake of the NBD server: as they are, and as the data of options.
#![no_main]

use std::sync::Arc;

use vhdx::{Memory, RawDisk};
use vhdx_serve::{Export, SharedDisk, answer_options};

/// The data of an option has at most this many bytes when the bytes are cut into options.
const LONGEST: usize = 64;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    exercise(bytes);
    let mut options = vec![0, 0, 0, bytes.first().copied().unwrap_or(3) & 3];
    let mut rest = bytes.get(1..).unwrap_or(&[]);
    // Each option begins with its number and its length.
    while let [number, len, data @ ..] = rest {
        let (data, later) = data.split_at((usize::from(*len) % LONGEST).min(data.len()));
        options.extend(b"IHAVEOPT");
        options.extend(u32::from(number % 13).to_be_bytes());
        options.extend((data.len() as u32).to_be_bytes());
        options.extend(data);
        rest = later;
    }
    exercise(&options);
});

fn export(name: &str) -> Export {
    let disk = RawDisk::open_with(Memory::new(vec![0; 4096]), "memory").unwrap();
    Export::new(name, "text", Arc::new(SharedDisk::read_only(Arc::new(disk), 1))).unwrap()
}

fn exercise(bytes: &[u8]) {
    let (output, name) = answer_options(vec![export("a"), export("b")], bytes);
    assert!(output.starts_with(b"NBDMAGICIHAVEOPT"));
    assert!(name.is_none_or(|name| name == "a" || name == "b"));
    // Every answer is short, whatever was sent.
    assert!(output.len() <= 64 + 1024 * (1 + bytes.len() / 16));
}
