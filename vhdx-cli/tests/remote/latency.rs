//! A server that answers after 20 ms: how many requests and bytes a scattered chain takes.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use vhdx::{Chain, Disk, DiskOffset, OpenOptions, Vhdx};
use vhdx_testkit::http::FileServer;
use vhdx_testkit::{Block, Image, Random};

use crate::run::command;

const MIB: usize = 1 << 20;
const BLOCKS: u64 = 96;
const DELAY: Duration = Duration::from_millis(20);
/// The most memory of the process: 34 MiB of buffers, 16 MiB of answers, 16 MiB of metadata, and the program.
#[cfg(target_os = "linux")]
const MAX_KIB: u64 = 84 << 10;

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
    server.set_delay(DELAY);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("disk.raw");
    let start = Instant::now();
    let mut child = command()
        .args(["convert", &server.url("/layer-2.avhdx"), "-"])
        .stdout(File::create(&out).unwrap())
        .spawn()
        .unwrap();
    let mut peak = None;
    let status = loop {
        peak = peak.max(peak_kib(child.id()));
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    let took = start.elapsed();
    assert!(status.success());
    assert!(is_content(&images, &out), "the bytes are wrong");
    let needed = out.metadata().unwrap().len();
    let (requests, bytes) = (server.take_requests().len(), server.bytes_sent());
    let ratio = bytes as f64 / needed as f64;
    eprintln!("{requests} requests, {ratio:.2} times the bytes, {took:?}, {peak:?} KiB for {needed} bytes");
    assert!(ratio <= 1.3, "{ratio}");
    assert!(requests <= 1500, "{requests}");
    let one_by_one = DELAY * u32::try_from(requests).unwrap();
    assert!(took < one_by_one / 3, "{took:?}; one by one, the requests would wait for {one_by_one:?}");
    #[cfg(target_os = "linux")]
    assert!(peak.unwrap() < MAX_KIB, "{peak:?} KiB");
}

/// Returns the most memory that a process has used so far, where the operating system tells.
fn peak_kib(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().trim_end_matches(" kB").parse().ok()
}

/// Returns whether a file holds the disk of the newest image.
fn is_content(images: &[Image], file: &Path) -> bool {
    let open = |image: &Image| Vhdx::open_with(image.sparse(), &OpenOptions::default()).unwrap();
    let chain = Chain::from_layers(images.iter().rev().map(open).collect()).unwrap();
    let mut file = File::open(file).unwrap();
    (0..chain.virtual_size()).step_by(MIB).all(|offset| {
        let (mut expected, mut found) = (vec![0; MIB], vec![0; MIB]);
        Disk::read_exact_at(&chain, &mut expected, DiskOffset::new(offset)).unwrap();
        file.read_exact(&mut found).unwrap();
        expected == found
    })
}
