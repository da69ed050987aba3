//! The largest disks, the largest blocks and the deepest chains: opening and reading stay cheap.

#[path = "../common/mod.rs"]
mod common;
#[cfg(target_os = "linux")]
mod memory;

use common::{MIB, assert_same, at, chain, folder};
use vhdx::{
    BlockIndex, Chain, ChainErrorKind, DiskOffset, Error, FileOffset, FolderResolver, Jobs, MAX_VIRTUAL_SIZE,
    OpenOptions, ReadAt, Vhdx,
};
use vhdx_testkit::{Block, ChainModel, Counting, Image, LayerModel, Operation, Part, content, name};
use vhdx_testkit::{Headers, RegionTables};

/// 64 TiB in blocks of 1 MiB: a BAT of 513 MiB. The last block and one in the middle hold content.
fn largest() -> Image {
    let mut image = Image::dynamic(MAX_VIRTUAL_SIZE, 1 << 20);
    for block in [MAX_VIRTUAL_SIZE / MIB / 2, MAX_VIRTUAL_SIZE / MIB - 1] {
        image.blocks.insert(block, Block::full(page(block * MIB)));
    }
    image
}

fn page(offset: u64) -> Vec<u8> {
    let mut page = vec![0; 4096];
    content(64, 0, offset, &mut page);
    page
}

fn base(image: &Image) -> Chain {
    Chain::from_layers(vec![Vhdx::open_with(image.sparse(), &OpenOptions::default()).unwrap()]).unwrap()
}

fn read(chain: &Chain, offset: u64) -> Vec<u8> {
    let mut bytes = vec![0xaa; 4096];
    chain.read_exact_at(&mut bytes, at(offset)).unwrap();
    bytes
}

#[test]
fn opening_the_largest_disk_reads_little_and_no_bat() {
    let image = largest();
    let (_, bat, bat_len) = image.layout().parts().find(|(part, ..)| *part == Part::Bat).unwrap();
    assert_eq!(bat_len, 513 * MIB);
    let (file, counts) = Counting::new(image.sparse());
    let vhdx = Vhdx::open_with(file, &OpenOptions::default()).unwrap();
    assert_eq!(vhdx.virtual_size(), MAX_VIRTUAL_SIZE);
    // The identifier, two headers, a region table of 64 KiB, the metadata table and the items.
    assert!(counts.reads() <= 6, "{counts:?}");
    assert!(counts.bytes() <= 80 << 10, "{counts:?}");
    assert!(!counts.touched(bat..bat + bat_len), "{counts:?}");

    let reads = counts.reads();
    let chain = Chain::from_layers(vec![vhdx]).unwrap();
    for offset in [0, MAX_VIRTUAL_SIZE / 2, MAX_VIRTUAL_SIZE - MIB] {
        let expected = if offset == 0 { vec![0; 4096] } else { page(offset) };
        assert_same(&read(&chain, offset), &expected, "a page");
    }
    assert!(counts.reads() - reads <= 9, "{counts:?}");
    assert!(counts.bytes() <= 1 << 20, "{counts:?}");
}

/// A file of 128 TiB whose BAT holds garbage.
struct GarbageBat<S> {
    file: S,
    bat: std::ops::Range<u64>,
    /// Makes an entry out of its number and a random number.
    entry: fn(u64, u64) -> u64,
}

impl<S: ReadAt> ReadAt for GarbageBat<S> {
    fn size(&self) -> std::io::Result<u64> {
        Ok(128 << 40)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> std::io::Result<()> {
        let at = offset.get();
        if !self.bat.contains(&at) {
            return self.file.read_exact_at(buf, offset);
        }
        assert!(at.is_multiple_of(8), "entries are read whole");
        for (number, entry) in ((at - self.bat.start) / 8..).zip(buf.chunks_exact_mut(8)) {
            let random = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
            let random = random.wrapping_mul(0xbf58_476d_1ce4_e5b9);
            entry.copy_from_slice(&(self.entry)(number, random).to_le_bytes());
        }
        Ok(())
    }
}

/// All blocks are full, one after the other.
#[cfg(target_os = "linux")]
fn all_blocks(number: u64, _: u64) -> u64 {
    if number % 4097 == 4096 { 0 } else { (1000 + number) << 20 | 6 }
}

/// Every second block is full, with space for three blocks after it, up to the end of the file.
#[cfg(target_os = "linux")]
fn every_second_block(number: u64, _: u64) -> u64 {
    let (block, place) = (number - number / 4097, 1000 + 2 * number);
    let is_full = number % 4097 != 4096 && block % 2 == 0 && place < 128 << 20;
    if is_full { place << 20 | 6 } else { 0 }
}

/// One of the last blocks lies where the first one does; all others are sound.
fn sound_to_the_end(number: u64, _: u64) -> u64 {
    let (chunk, in_chunk) = (number / 4097, number % 4097);
    match in_chunk {
        4096 => 0, // the sector bitmap entry of a file without a parent
        _ if chunk == (1 << 14) - 1 => 1000 << 20 | 6,
        _ => (1000 + number) << 20 | 6,
    }
}

/// The last of the tables has 67 million sound entries before the first fault, and is validated twice: that takes half a
/// minute in a release build, and a minute in a debug build. Five times that is for a slow and busy machine.
#[test]
fn a_garbage_bat_of_the_largest_disk_is_an_error_in_bounded_time() {
    let image = largest();
    let (_, bat, bat_len) = image.layout().parts().find(|(part, ..)| *part == Part::Bat).unwrap();
    // Anything; full blocks wherever; full blocks in a few places, so that most of them overlap.
    let entries: [fn(u64, u64) -> u64; 4] = [
        |_, random| random,
        |_, random| random & !0xf_ffff | 6,
        |_, random| (random % 1000 + 600) << 20 | 6,
        sound_to_the_end,
    ];
    for entry in entries {
        let file = GarbageBat { file: image.sparse(), bat: bat..bat + bat_len, entry };
        let chain =
            Chain::from_layers(vec![Vhdx::open_with(file, &OpenOptions::default()).unwrap()]).unwrap();
        let begun = std::time::Instant::now();
        let error = chain.validate_placement().unwrap_err();
        assert!(error.violation().is_some(), "{error}");
        let mut out = Vec::new();
        vhdx::ops::to_stream(&chain, &mut out, Jobs::default(), &vhdx::NoProgress).unwrap_err();
        assert!(out.is_empty());
        assert!(begun.elapsed().as_secs() < 300, "{:?}", begun.elapsed());
    }
}

#[test]
fn the_largest_blocks() {
    for sector_size in [512, 4096] {
        let block_size = 256 * MIB;
        let mut image = Image::dynamic(3 * block_size + 4096, 256 << 20);
        image.logical_sector_size = sector_size;
        image.litter = false;
        let mut content = vec![0; 4096];
        content[..8].copy_from_slice(b"in block");
        image.blocks.insert(1, Block::full(content.clone()));
        image.blocks.insert(3, Block::full(content.clone()));
        let mut child = Image::child_of(&image, "base.vhdx", 256 << 20);
        child.litter = false;
        let mut last_sector = vec![0; block_size as usize];
        last_sector[(block_size - u64::from(sector_size)) as usize..][..8].copy_from_slice(b"last one");
        let sectors = block_size / u64::from(sector_size);
        let bits = (0..sectors).map(|sector| sector == sectors - 1).collect();
        child.blocks.insert(2, Block::partial(last_sector, bits));
        let layers =
            [&child, &image].map(|image| Vhdx::open_with(image.sparse(), &OpenOptions::default()).unwrap());
        let chain = Chain::from_layers(layers.into()).unwrap();
        for block in [1, 3] {
            assert_same(&read(&chain, block * block_size), &content, "block");
        }
        let end = read(&chain, 3 * block_size - 4096);
        assert_eq!(&end[4096 - sector_size as usize..][..8], b"last one");
        assert_same(&read(&chain, 3 * block_size - 8192), &[0; 4096], "not present");
        let extents = chain.extents(at(0)..at(chain.virtual_size())).map(Result::unwrap);
        let layers: Vec<_> = extents.map(|extent| (extent.len, extent.source)).collect();
        assert_eq!(layers.len(), 5, "{layers:?}");
        assert_eq!(layers[3].0, u64::from(sector_size));
    }
}

/// Blocks on both sides of the places where the bitmap entries interrupt the payload entries of the BAT.
#[test]
fn chunk_boundaries() {
    for sector_size in [512u32, 4096] {
        let chunk = (1 << 23) * u64::from(sector_size);
        let mut image = Image::dynamic(2 * chunk + 5 * MIB, 1 << 20);
        image.logical_sector_size = sector_size;
        let mut child = Image::child_of(&image, "base.vhdx", 1 << 20);
        let places = [0, chunk - MIB, chunk, 2 * chunk - MIB, 2 * chunk, 2 * chunk + 4 * MIB];
        for (number, place) in places.into_iter().enumerate() {
            let block = place / MIB;
            image.blocks.insert(block, Block::full(page(place)));
            if number % 2 == 0 {
                let sectors = (0..8).map(|_| true).collect();
                child.blocks.insert(block, Block::partial(page(place + 1024 * MIB), sectors));
            }
        }
        let layers =
            [&child, &image].map(|image| Vhdx::open_with(image.sparse(), &OpenOptions::default()).unwrap());
        assert_eq!(layers[1].payload_entry(BlockIndex::new(chunk / MIB)).unwrap().state_bits(), 6);
        let chain = Chain::from_layers(layers.into()).unwrap();
        for (number, place) in places.into_iter().enumerate() {
            let expected = page(if number % 2 == 0 { place + 1024 * MIB } else { place });
            assert_same(&read(&chain, place), &expected, &format!("{place:#x}"));
            if place > 0 && !places.contains(&(place - MIB)) {
                assert_same(&read(&chain, place - 4096), &[0; 4096], "before it");
            }
        }
    }
}

fn deep(layers: usize) -> ChainModel {
    let layer = |number: usize| LayerModel {
        block_mib: 1,
        sectors: 2048,
        operations: vec![Operation::Write { start: number as u64 * 3, count: 2, zeros: false }],
        second_linkage: false,
        shuffled: false,
        headers: Headers::SecondIsCurrent,
        region_tables: RegionTables::Both,
        log: None,
        is_fixed: false,
    };
    ChainModel { seed: 256, sector_size: 512, layers: (0..layers).map(layer).collect() }
}

#[test]
fn chains_of_256_files_open_and_of_257_do_not() {
    let model = deep(256);
    let expected = model.disks().pop().unwrap();
    assert_same(&common::read_all(&chain(&model)), &expected, "256 files");

    let folder = folder();
    let paths = deep(257).write_to(folder.path()).unwrap();
    let chain = Chain::open(&paths[1], &FolderResolver::default()).unwrap();
    assert_eq!(chain.layers().len(), 256);
    assert_same(&common::read_all(&chain), &expected, "256 files in a folder");
    let error = Chain::open(&paths[0], &FolderResolver::default()).unwrap_err();
    assert_eq!(error.chain_error().unwrap().kind(), ChainErrorKind::TooDeep, "{error}");
    assert_eq!(error.path(), Some(&*folder.path().join(name(1))));
    let layers = deep(257)
        .files()
        .into_iter()
        .map(|file| Vhdx::open_with(file, &OpenOptions::default()).unwrap())
        .collect();
    assert!(matches!(Chain::from_layers(layers), Err(Error::Chain(_))));
}

#[test]
fn reading_past_the_end_is_the_callers_mistake() {
    let chain = base(&Image::dynamic(MIB, 1 << 20));
    for (offset, len) in [(MIB, 1), (MIB - 1, 2), (u64::MAX, 1), (u64::MAX, 4096)] {
        let error = chain.read_exact_at(&mut vec![0; len], DiskOffset::new(offset)).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument(_)), "{error:?}");
    }
    chain.read_exact_at(&mut [], at(MIB)).unwrap();
}
