//! Reads of what was read before: a chain remembers where its bytes are, and must never remember wrong.

use crate::common::{assert_same, at, read_all};
use vhdx::format::bat_entry::PayloadBlockState;
use vhdx::{Chain, MIB, OpenOptions, Source, Vhdx};
use vhdx_testkit::{Block, Image};

const SIZE: usize = 80 << 20; // two and a half of the regions that are remembered

/// A base of 1 MiB blocks under two children of 32 and 8 MiB, in which long runs of sectors are present and absent, and
/// what the chain reads as.
fn chain(sector_size: u32) -> (Vec<Image>, Vec<u8>) {
    let mut disk = vec![0; SIZE];
    let mut base = Image::dynamic(SIZE as u64, 1 << 20);
    base.logical_sector_size = sector_size;
    for block in (0..80).filter(|block| block % 3 != 2) {
        let bytes: Vec<u8> = (0..1 << 20).map(|byte: usize| (byte >> 9) as u8 ^ block as u8 | 1).collect();
        disk[block << 20..][..1 << 20].copy_from_slice(&bytes);
        base.blocks.insert(block as u64, Block::full(bytes));
    }
    let mut images = vec![base];
    // In sectors of 4 KiB: where runs begin, and how long they are. Some pass 64, 4096 and whole blocks' ends.
    let runs: [&[(usize, usize)]; 2] = [
        &[(1, 3000), (3003, 1), (3100, 5000), (8192, 7), (9000, 7192), (16400, 4000)],
        &[(0, 64), (100, 2000), (2113, 1), (4095, 2), (6000, 3000), (9001, 1), (16383, 2), (20479, 1)],
    ];
    for (layer, (block_size, runs)) in [(32 << 20, runs[0]), (8 << 20, runs[1])].into_iter().enumerate() {
        let mut image = Image::child_of(images.last().unwrap(), "parent", block_size as u32);
        let in_page = 4096 / sector_size as usize;
        let mut present = vec![false; SIZE / 4096];
        runs.iter().for_each(|&(start, len)| present[start..start + len].fill(true));
        for block in 0..SIZE.div_ceil(block_size) {
            let pages = &present[block * block_size / 4096..((block + 1) * block_size).min(SIZE) / 4096];
            let bytes: Vec<u8> =
                (0..pages.len() * 4096).map(|byte| 0x40 << layer | (byte >> 12) as u8 & 63).collect();
            for (page, _) in pages.iter().enumerate().filter(|(_, is_present)| **is_present) {
                let (from, to) = (page * 4096, block * block_size + page * 4096);
                disk[to..to + 4096].copy_from_slice(&bytes[from..from + 4096]);
            }
            if pages.contains(&true) {
                let sectors = pages.iter().flat_map(|&is_present| std::iter::repeat_n(is_present, in_page));
                image.blocks.insert(block as u64, Block::partial(bytes, sectors.collect()));
            }
        }
        images.push(image);
    }
    images.reverse();
    (images, disk)
}

fn open(images: &[Image]) -> Chain {
    Chain::from_layers(
        images
            .iter()
            .map(|image| Vhdx::open_with(image.sparse(), &OpenOptions::default()).unwrap())
            .collect(),
    )
    .unwrap()
}

#[test]
fn every_way_of_reading_finds_the_same() {
    for sector_size in [512, 4096] {
        let (images, disk) = chain(sector_size);
        let opened = open(&images);
        assert_same(&read_all(&opened), &disk, "all at once");
        let places = (0..SIZE - 5000).step_by(1_000_003 / 7 * 3);
        for chain in [&opened, &open(&images)] {
            for place in places.clone().chain([(32 << 20) - 2048, (64 << 20) - 1]) {
                for _ in 0..3 {
                    let mut found = [0xaa; 5000];
                    chain.read_exact_at(&mut found, at(place as u64)).unwrap();
                    assert_same(&found, &disk[place..place + 5000], &format!("at {place}"));
                }
            }
        }
        // Runs of the same source are one extent, however long, and none is cut where nothing changes.
        let extents: Vec<_> = opened.extents(at(0)..at(SIZE as u64)).map(|extent| extent.unwrap()).collect();
        assert!(extents.windows(2).all(|pair| !pair[0].clone().try_join(&pair[1])));
        let longest = extents.iter().filter(|extent| matches!(extent.source, Source::Data { layer: 1, .. }));
        assert!(longest.map(|extent| extent.len).max().unwrap() > 12 * MIB);
    }
}

#[test]
fn threads_share_what_is_remembered() {
    let (images, disk) = chain(512);
    let chain = open(&images);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (chain, disk) = (&chain, &disk);
            scope.spawn(move || {
                let mut place = thread * 7919;
                for _ in 0..2000 {
                    place = (place + 1_234_577) % (SIZE - 4096);
                    let mut found = [0; 4096];
                    chain.read_exact_at(&mut found, at(place as u64)).unwrap();
                    assert_same(&found, &disk[place..place + 4096], &format!("at {place}"));
                }
            });
        }
    });
}

/// Sound blocks beside a damaged one can be read, and each read of the damaged block is an error.
#[test]
fn damage_is_not_in_the_way_of_what_is_sound() {
    let (mut images, disk) = chain(512);
    let base = images.last_mut().unwrap();
    // A place outside of the file.
    base.blocks.insert(63, Block::empty(PayloadBlockState::FullyPresent, false));
    let chain = open(&images);
    for _ in 0..3 {
        for place in [33 << 20, 62 << 20, 63 << 20, 64 << 20] {
            let mut found = vec![0; 1 << 17];
            chain.read_exact_at(&mut found, at(place as u64)).unwrap();
            assert_same(&found, &disk[place..place + (1 << 17)], &format!("at {place}"));
        }
        let mut found = [0; 512];
        assert!(chain.read_exact_at(&mut found, at(16_200 * 4096)).unwrap_err().violation().is_some());
    }
}
