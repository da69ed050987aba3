//! What the benchmarks in `benches/` read; this crate keeps their dependencies out of `cargo test`.

use vhdx_testkit::{ChainModel, Headers, LayerModel, Operation, RegionTables, SparseImage};

/// A chain of `depth` differencing disks of 64 MiB in 2 MiB blocks over a full base, leaf first; each holds runs of
/// 4 KiB all over the disk.
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
