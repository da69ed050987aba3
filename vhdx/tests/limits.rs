//! The largest disks, the largest blocks and the deepest chains: opening and reading stay cheap.

mod common;

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

/// Runs `test` again in a process of its own, and checks that `work` there takes less than 64 MiB of memory at its peak.
///
/// `test` is the name of the calling test.
#[cfg(target_os = "linux")]
fn takes_less_than_64_mib(test: &str, work: impl FnOnce()) {
    const CHILD: &str = "VHDX_TEST_MEMORY";
    if std::env::var_os(CHILD).is_some() {
        work();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        println!("{peak} KiB");
        assert!(peak < 64 << 10, "{peak} KiB");
        return;
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let child = child.args(["--exact", test, "--nocapture"]).env(CHILD, "1").output().unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{output}{}", String::from_utf8_lossy(&child.stderr));
    assert!(output.contains("1 passed"), "{output}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_largest_disk_takes_less_than_64_mib() {
    takes_less_than_64_mib("the_largest_disk_takes_less_than_64_mib", || {
        let folder = folder();
        let path = folder.path().join("largest.vhdx");
        largest().sparse().write_to(&path).unwrap();
        let chain = Chain::open(path, &FolderResolver::default()).unwrap();
        for offset in [0, MAX_VIRTUAL_SIZE / 2] {
            read(&chain, offset);
        }
        let first = chain.extents(at(0)..at(chain.virtual_size())).next().unwrap().unwrap();
        assert_eq!((first.len, first.source), (MAX_VIRTUAL_SIZE / 2, vhdx::Source::Unallocated));
    });
}

/// 16 million blocks of 4 MiB, two of which hold content.
#[cfg(target_os = "linux")]
#[test]
fn the_block_digests_of_the_largest_disk_take_less_than_64_mib() {
    use std::ops::ControlFlow;
    use std::time::{Duration, Instant};
    use vhdx::NoProgress;
    use vhdx::ops::{HashAlgorithm, hash_blocks};

    takes_less_than_64_mib("the_block_digests_of_the_largest_disk_take_less_than_64_mib", || {
        let folder = folder();
        let path = folder.path().join("largest.vhdx");
        largest().sparse().write_to(&path).unwrap();
        let chain = Chain::open(path, &FolderResolver::default()).unwrap();
        for algorithm in HashAlgorithm::ALL {
            let (start, mut counts) = (Instant::now(), Vec::new());
            hash_blocks(&chain, algorithm, 4 << 20, Jobs::default(), &NoProgress, &mut |run| {
                counts.push(run.count);
                ControlFlow::Continue(())
            })
            .unwrap();
            assert_eq!(counts, [8 << 20, 1, (8 << 20) - 2, 1]);
            // A debug build is slower, and the machine may be busy.
            let (taken, limit) = (start.elapsed(), if cfg!(debug_assertions) { 60 } else { 10 });
            assert!(taken < Duration::from_secs(limit), "{taken:?}");
        }
    });
}

/// Both layers of the chain have 64 TiB in blocks of 1 MiB: two BATs of 513 MiB.
#[cfg(target_os = "linux")]
#[test]
fn the_map_of_the_largest_chain_takes_less_than_64_mib_and_5_s() {
    use std::time::{Duration, Instant};
    use vhdx::ops::{CellOwner, DiskMap};

    takes_less_than_64_mib("the_map_of_the_largest_chain_takes_less_than_64_mib_and_5_s", || {
        let base = largest();
        let mut child = Image::child_of(&base, "base.vhdx", 1 << 20);
        child.blocks.insert(7, Block::full(page(7 * MIB)));
        let folder = folder();
        let path = folder.path().join("child.avhdx");
        base.sparse().write_to(&folder.path().join("base.vhdx")).unwrap();
        child.sparse().write_to(&path).unwrap();
        let chain = Chain::open(path, &FolderResolver::default()).unwrap();
        let start = Instant::now();
        let map = DiskMap::of(&chain, 2000.try_into().unwrap(), &vhdx::NoProgress).unwrap();
        let taken = start.elapsed();
        println!("{taken:?}");
        // A debug build is slower, and the machine may be busy.
        let limit = if cfg!(debug_assertions) { 30 } else { 5 };
        assert!(taken < Duration::from_secs(limit), "{taken:?}");
        let owned: Vec<_> = map.cells.iter().map(|cell| cell.owner).enumerate().collect();
        let owned = owned.into_iter().filter(|(_, owner)| *owner != CellOwner::Unallocated);
        // The block in the middle reaches over the end of a cell, which is a multiple of the sector size.
        let layers = [(0, 0), (999, 1), (1000, 1), (1999, 1)];
        let layers = layers.map(|(cell, layer)| (cell, CellOwner::Layer(layer)));
        assert_eq!((map.cells.len(), owned.collect::<Vec<_>>()), (2000, layers.into()));
    });
}

/// A child of 64 TiB in which 1 % of the blocks changed, in 64 runs, and a sector of every second one of another 1 %.
#[cfg(target_os = "linux")]
#[test]
fn the_changes_of_the_largest_disk_take_less_than_64_mib() {
    use std::os::unix::fs::FileExt;
    use std::time::Instant;
    use vhdx::ops::changed_ranges;

    const RUNS: u64 = 64;
    takes_less_than_64_mib("the_changes_of_the_largest_disk_take_less_than_64_mib", || {
        let base = Image::dynamic(MAX_VIRTUAL_SIZE, 32 << 20);
        let mut child = Image::child_of(&base, "base.vhdx", 2 << 20);
        child.litter = false;
        let chunks = MAX_VIRTUAL_SIZE >> 32;
        child.blocks.insert(0, Block::full(page(0)));
        child.blocks.insert(1, Block::partial(page(0), vec![true; 8]));
        let folder = folder();
        let path = folder.path().join("child.avhdx");
        base.sparse().write_to(&folder.path().join("base.vhdx")).unwrap();
        child.sparse().write_to(&path).unwrap();
        // More blocks at the same place: the places are not validated.
        let layout = child.layout();
        let (full, part) = (layout.offset(Part::Payload(0)) | 6, layout.offset(Part::Payload(1)) | 7);
        let bitmap = layout.offset(Part::Bitmap(0)) | 6;
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        let put = |index: u64, entry: u64| {
            file.write_all_at(&entry.to_le_bytes(), layout.bat_entry(index)).unwrap();
        };
        let of_run = MAX_VIRTUAL_SIZE / (2 * MIB) / 100 / RUNS;
        let mut expected = Vec::new();
        for run in 0..RUNS {
            let first = run * (chunks / RUNS) * child.chunk_ratio() + 7;
            (first..first + of_run).for_each(|block| put(child.bat_index(block), full));
            expected.push((first * 2 * MIB, of_run * 2 * MIB));
            let first = first + of_run + 1;
            for block in (first..first + of_run).step_by(2) {
                put(child.bat_index(block), part);
                put(child.bitmap_bat_index(block / child.chunk_ratio()), bitmap);
            }
        }
        let open = |path: &std::path::Path| Chain::open(path, &FolderResolver::default()).unwrap();
        let (old, new) = (open(&folder.path().join("base.vhdx")), open(&path));
        let start = Instant::now();
        let (_, bat, len) = layout.parts().find(|(part, ..)| *part == Part::Bat).unwrap();
        let (mut buffer, mut at) = (vec![0; 1 << 20], bat);
        let file = std::fs::File::open(&path).unwrap();
        while at < bat + len {
            file.read_exact_at(&mut buffer, at).unwrap();
            at += buffer.len() as u64;
        }
        let read = start.elapsed();
        let start = Instant::now();
        let found: Vec<(u64, u64)> = changed_ranges(&old, &new)
            .unwrap()
            .map(|range| range.map(|range| (range.start.get(), range.len)).unwrap())
            .filter(|(_, len)| *len > 4 * MIB)
            .collect();
        println!("reading the BAT: {read:?}, the changed ranges: {:?}", start.elapsed());
        assert_eq!(found, expected[..]);
    });
}

/// 500 machines with 20 images each, one image in 21 damaged: another one in each family, and seldom the newest.
#[cfg(target_os = "linux")]
#[test]
fn ten_thousand_images_take_less_than_64_mib() {
    use std::time::SystemTime;
    use vhdx::ops::{HostFiles, PruneOptions, PrunePlan, ReportLimits, report};
    use vhdx::{NoProgress, discover};
    use vhdx_testkit::estate::{BulkOptions, generate_bulk};

    takes_less_than_64_mib("ten_thousand_images_take_less_than_64_mib", || {
        let folder = folder();
        let mut bulk = BulkOptions::default();
        bulk.damaged_one_in = 21;
        let bulk = generate_bulk(folder.path(), &bulk).unwrap();
        let forest = discover(&[folder.path().to_owned()], &NoProgress).unwrap();
        assert_eq!(forest.disks.len() + bulk.damaged.len(), 10_000);
        assert_eq!(forest.machines.len(), 500);
        let now = SystemTime::now();
        let mut options = PruneOptions::all();
        options.ignore_undetermined = true;
        let plan = PrunePlan::new(&forest, &options, now, &HostFiles, &NoProgress).unwrap();
        assert!(plan.selected().count() > 1000, "{}", plan.selected().count());
        let report = report(&forest, &ReportLimits::default(), now, &NoProgress).unwrap();
        assert!(report.findings.len() >= bulk.damaged.len(), "{}", report.findings.len());
    });
}

/// The child has 4 million blocks that the target does not have. A plan that stored them would take 160 MiB.
#[cfg(target_os = "linux")]
#[test]
fn a_merge_plan_takes_less_than_64_mib() {
    use vhdx::Relatives;
    use vhdx::ops::{BlockAction, MergeOptions, MergePlan};

    takes_less_than_64_mib("a_merge_plan_takes_less_than_64_mib", || {
        let base = Image::dynamic(4 << 40, 1 << 20);
        let child = Image::child_of(&base, "base.vhdx", 1 << 20);
        let (_, bat, len) = child.layout().parts().find(|(part, ..)| *part == Part::Bat).unwrap();
        let full = GarbageBat { file: child.sparse(), bat: bat..bat + len, entry: sound_to_the_end };
        let layers = [
            Vhdx::open_with(full, &OpenOptions::default()),
            Vhdx::open_with(base.sparse(), &OpenOptions::default()),
        ];
        let chain = Chain::from_layers(layers.map(Result::unwrap).into()).unwrap();
        let plan = MergePlan::new(&chain, 1, &Relatives::default(), &MergeOptions::default()).unwrap();
        assert_eq!(plan.block_counts(), [(BlockAction::Fill, 4 << 20)].into());
    });
}

/// The new blocks of a fixed target lie in one piece. A plan that stored 16 million places would take 256 MiB.
#[cfg(target_os = "linux")]
#[test]
fn a_plan_for_a_growing_fixed_target_takes_less_than_64_mib() {
    use vhdx::Relatives;
    use vhdx::ops::{BlockAction, MergeOptions, MergePlan};

    takes_less_than_64_mib("a_plan_for_a_growing_fixed_target_takes_less_than_64_mib", || {
        let mut base = Image::dynamic(1 << 30, 1 << 20);
        (base.leave_blocks_allocated, base.litter) = (true, false);
        base.blocks = (0..1 << 10).map(|block| (block, Block::full(Vec::new()))).collect();
        let mut child = Image::child_of(&base, "base.vhdx", 1 << 20);
        child.virtual_size = 16 << 40;
        child.blocks.insert((16 << 20) - 1, Block::full(page(0)));
        let layers = [&child, &base].map(|image| Vhdx::open_with(image.sparse(), &OpenOptions::default()));
        let chain = Chain::from_layers(layers.map(Result::unwrap).into()).unwrap();
        let plan = MergePlan::new(&chain, 1, &Relatives::default(), &MergeOptions::default()).unwrap();
        assert_eq!(plan.block_counts(), [(BlockAction::Overwrite, 1)].into());
        assert!(plan.growth_bytes() >= (16 << 40) - (1 << 30), "{}", plan.growth_bytes());
    });
}

/// The largest plan: a disk of 64 TiB in blocks of 1 MiB, all of which the child has, and a target whose file is 128 TiB
/// long and has every second block, with free space after each of them.
#[cfg(target_os = "linux")]
#[test]
fn the_largest_merge_plan_takes_less_than_64_mib() {
    use vhdx::Relatives;
    use vhdx::ops::{MergeOptions, MergePlan};

    takes_less_than_64_mib("the_largest_merge_plan_takes_less_than_64_mib", || {
        let base = Image::dynamic(MAX_VIRTUAL_SIZE, 1 << 20);
        let child = Image::child_of(&base, "base.vhdx", 1 << 20);
        let open = |image: &Image, entry| {
            let (_, bat, len) = image.layout().parts().find(|(part, ..)| *part == Part::Bat).unwrap();
            let file = GarbageBat { file: image.sparse(), bat: bat..bat + len, entry };
            Vhdx::open_with(file, &OpenOptions::default()).unwrap()
        };
        let chain =
            Chain::from_layers(vec![open(&child, all_blocks), open(&base, every_second_block)]).unwrap();
        let plan = MergePlan::new(&chain, 1, &Relatives::default(), &MergeOptions::default()).unwrap();
        assert_eq!(plan.bytes_to_copy(), MAX_VIRTUAL_SIZE);
    });
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
