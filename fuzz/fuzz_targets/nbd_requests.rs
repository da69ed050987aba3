//! Sends arbitrary bytes as requests to an NBD export: as they are, and as fields of requests.
#![no_main]

use std::sync::Arc;

use vhdx::{ChainMut, OpenOptions, Vhdx, VhdxMut};
use vhdx_serve::{Export, SharedDisk, answer_requests};
use vhdx_testkit::{Block, Image};

const SIZE: u64 = 4 << 20;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [kind, bytes @ ..] = bytes else { return };
    let (is_structured, is_writable) = (kind & 1 == 1, kind & 2 == 2);
    exercise(export(is_writable), is_structured, bytes);
    let mut requests = Vec::new();
    for (cookie, fields) in bytes.chunks_exact(8).enumerate() {
        let [command, flags, offset @ .., len, high] = fields else { return };
        let offset = u64::from(u32::from_be_bytes([offset[0], offset[1], offset[2], offset[3]]));
        let len = u32::from(*len) << (high % 20);
        let command = u16::from(command % 9);
        requests.extend(0x2560_9513_u32.to_be_bytes());
        requests.extend(u16::from(flags % 33).to_be_bytes());
        requests.extend(command.to_be_bytes());
        requests.extend((cookie as u64).to_be_bytes());
        // Most ranges are on the disk.
        requests.extend((offset % (SIZE + 512)).to_be_bytes());
        requests.extend(len.to_be_bytes());
        if command == 1 {
            requests.resize(requests.len() + (len as usize).min(1 << 20), *high);
        }
    }
    exercise(export(is_writable), is_structured, &requests);
});

/// A disk of 4 MiB in memory whose first block has content.
fn export(is_writable: bool) -> Export {
    let mut image = Image::dynamic(SIZE, 1 << 20);
    image.blocks.insert(0, Block::full(vec![7; 5000]));
    let file = image.sparse();
    let disk = if is_writable {
        let storage = Arc::new(vhdx::Memory::new(file.to_vec()));
        let leaf = VhdxMut::open_with(storage, &OpenOptions::default()).unwrap();
        SharedDisk::writable(ChainMut::from_layers(leaf, Vec::new()).unwrap())
    } else {
        let layer = Vhdx::open_with(file, &OpenOptions::default()).unwrap();
        SharedDisk::read_only(Arc::new(vhdx::Chain::from_layers(vec![layer]).unwrap()), 1)
    };
    Export::new("x", "", Arc::new(disk)).unwrap()
}

fn exercise(export: Export, is_structured: bool, bytes: &[u8]) {
    let mut output = &answer_requests(export, is_structured, bytes)[..];
    // Without chunks, the length of a reply depends on its request.
    while is_structured && !output.is_empty() {
        let len = match output[..4] {
            [0x67, 0x44, 0x66, 0x98] => 16,
            [0x66, 0x8e, 0x33, 0xef] => 20 + u32::from_be_bytes(output[16..20].try_into().unwrap()) as usize,
            _ => panic!("this is no reply"),
        };
        output = &output[len..];
    }
}
