//! Operations on the largest disks take little memory.

use vhdx::{Chain, FolderResolver, Jobs, MAX_VIRTUAL_SIZE, OpenOptions, Vhdx};
use vhdx_testkit::{Block, Image, Part};

use super::common::{MIB, at, folder};
use super::{GarbageBat, all_blocks, every_second_block, largest, page, read, sound_to_the_end};

/// Runs `test` again in a process of its own, and checks that `work` there takes less than 64 MiB of memory at its peak.
///
/// `test` is the name of the calling test.
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
    let child =
        child.args(["--exact", &format!("memory::{test}"), "--nocapture"]).env(CHILD, "1").output().unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{output}{}", String::from_utf8_lossy(&child.stderr));
    assert!(output.contains("1 passed"), "{output}");
}

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
