//! Makes the disks for the benchmarks in `benches/`. This crate keeps their dependencies out of `cargo test`.

use vhdx_testkit::{
    Block, ChainModel, DirtyLog, Headers, Image, LayerModel, Operation, Random, RegionTables, SparseImage,
};

/// Returns a chain of `depth` differencing disks and a full base, leaf first.
///
/// The disks are 64 MiB large, in blocks of 2 MiB. Each differencing disk holds runs of 4 KiB all over the disk.
pub fn scattered(depth: usize) -> Vec<SparseImage> {
    const SECTORS: u64 = (64 << 20) / 512;
    let layer = |operations| LayerModel {
        block_mib: 2,
        sectors: SECTORS,
        operations,
        second_linkage: false,
        shuffled: true,
        headers: Headers::SecondIsCurrent,
        region_tables: RegionTables::Both,
        log: None,
        is_fixed: false,
    };
    let base = layer((0..32).map(|block| Operation::Fill { block }).collect());
    let children = (0..depth as u64).map(|number| {
        let runs = (0..512).map(|run| Operation::Write {
            start: (run * 31 + number * 17) * 8 % SECTORS,
            count: 8,
            zeros: false,
        });
        layer(runs.collect())
    });
    let layers = std::iter::once(base).chain(children).collect();
    ChainModel { seed: 1, sector_size: 512, layers }.files()
}

/// Returns a child of 2 GiB, in which 2 MiB with data alternate with 2 MiB without.
pub fn long_runs() -> SparseImage {
    const BLOCK: u32 = 32 << 20;
    let mut child = Image::child_of(&Image::dynamic(2 << 30, BLOCK), "base.vhdx", BLOCK);
    child.litter = false;
    let sectors: Vec<bool> = (0..BLOCK / 512).map(|sector| sector / 4096 % 2 == 0).collect();
    child.blocks = (0..64).map(|block| (block, Block::partial(Vec::new(), sectors.clone()))).collect();
    child.sparse()
}

/// Returns a disk whose log must be replayed.
pub fn dirty() -> SparseImage {
    let mut image = Image::dynamic(64 << 20, 2 << 20);
    image.log = Some(DirtyLog { seed: 1, entries: 8, stale: 4, runs: 32, closed: false });
    image.blocks = (0..8).map(|block| (block, Block::full(vec![1; 2 << 20]))).collect();
    image.sparse()
}

/// Makes a folder with a base and its children, `members` disks in total.
///
/// # Panics
/// If the folder or a file cannot be created.
pub fn family(members: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let base = Image::dynamic(64 << 30, 32 << 20);
    let write = |image: &Image, name: &str| image.sparse().write_to(&folder.path().join(name));
    write(&base, "base.vhdx").expect("a file is written");
    for member in 1..members {
        let mut child = Image::child_of(&base, "base.vhdx", 2 << 20);
        child.data_write_guid = Random::new(member).guid();
        write(&child, &format!("child{member:02}.avhdx")).expect("a file is written");
    }
    folder
}
