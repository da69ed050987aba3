//! A server that answers after 20 ms: how many requests and bytes a scattered chain takes.

use std::fs::File;
use std::time::{Duration, Instant};

use vhdx_testkit::http::FileServer;
use vhdx_testkit::{Block, Image, Random};

use crate::run::command;

const MIB: usize = 1 << 20;
const BLOCKS: u64 = 96;

/// A base and two children of 192 MiB. Each has runs of 4 KiB to 1 MiB at random places.
fn images(random: &mut Random) -> Vec<Image> {
    let block_size = 2 * MIB as u32;
    let mut images = vec![Image::dynamic(BLOCKS * u64::from(block_size), block_size)];
    for layer in 1..3 {
        images.push(Image::child_of(
            &images[layer - 1],
            ["base.vhdx", "layer-1.avhdx"][layer - 1],
            block_size,
        ));
    }
    for image in &mut images {
        for block in 0..BLOCKS {
            let mut sectors = vec![false; 4096];
            for _ in 0..3 {
                let (at, len) = (random.below(4096), 8 << random.below(9));
                sectors[at..(at + len).min(4096)].fill(true);
            }
            let bytes = random.bytes(2 * MIB);
            let block_image = if image.parent_locator.is_some() {
                Block::partial(bytes, sectors)
            } else {
                Block::full(bytes)
            };
            image.blocks.insert(block, block_image);
        }
    }
    images
}

#[test]
fn scattered_data_takes_few_requests_and_few_bytes() {
    let images = images(&mut Random::new(1));
    let files = FileServer::default();
    for (name, image) in ["base.vhdx", "layer-1.avhdx", "layer-2.avhdx"].iter().zip(&images) {
        files.put(&format!("/{name}"), image.sparse());
    }
    let server = files.start();
    server.set_delay(Duration::from_millis(20));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("disk.raw");
    let start = Instant::now();
    let status = command()
        .args(["convert", &server.url("/layer-2.avhdx"), "-"])
        .stdout(File::create(&out).unwrap())
        .status()
        .unwrap();
    let took = start.elapsed();
    assert!(status.success());
    let needed = out.metadata().unwrap().len();
    let (requests, bytes) = (server.take_requests().len(), server.bytes_sent());
    let ratio = bytes as f64 / needed as f64;
    eprintln!("{requests} requests, {ratio:.2} times the bytes, {took:?} for {needed} bytes");
    assert!(ratio <= 1.3, "{ratio}");
    assert!(requests <= 1500, "{requests}");
}
