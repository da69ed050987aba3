//! Benchmarks of bitmaps, blocks, logs, plans and families: the work before a byte of a disk is read or copied.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use vhdx::ops::{MergeOptions, MergePlan};
use vhdx::{BlockIndex, Chain, DiskOffset, NoProgress, OpenOptions, Vhdx, discover};
use vhdx_bench::{dirty, family, long_runs, scattered};

fn bitmap_scan(c: &mut Criterion) {
    let child = Vhdx::open_with(long_runs(), &OpenOptions::default()).unwrap();
    let all = || DiskOffset::new(0)..DiskOffset::new(child.virtual_size());
    assert_eq!(child.extents(all()).count(), 1024);
    c.bench_function("bitmap scan, 2 GiB in runs of 2 MiB", |b| b.iter(|| child.extents(all()).count()));
}

fn block_resolution(c: &mut Criterion) {
    let child = Vhdx::open_with(long_runs(), &OpenOptions::default()).unwrap();
    let mut block = 0;
    c.bench_function("block resolution", |b| {
        b.iter(|| {
            block = (block + 37) % 64;
            child.payload_entry(black_box(BlockIndex::new(block))).unwrap()
        });
    });
}

fn log_replay(c: &mut Criterion) {
    let image = dirty();
    assert!(Vhdx::open_with(image.clone(), &OpenOptions::default()).unwrap().log_content().is_some());
    c.bench_function("log replay in memory", |b| {
        b.iter(|| Vhdx::open_with(image.clone(), &OpenOptions::default()).unwrap())
    });
}

fn merge_plan(c: &mut Criterion) {
    let layers = (0..).zip(scattered(2)).map(|(layer, image)| {
        Vhdx::open_with(image, &OpenOptions::default().name(format!("{layer}.vhdx"))).unwrap()
    });
    let chain = Chain::from_layers(layers.collect()).unwrap();
    let plan = || MergePlan::new(&chain, 2, &vhdx::Relatives::default(), &MergeOptions::default());
    assert!(plan().unwrap().bytes_to_copy() > 0);
    c.bench_function("plan of a merge of two scattered layers", |b| b.iter(plan));
}

fn tree(c: &mut Criterion) {
    let folder = family(20);
    let roots = [folder.path().to_owned()];
    let found = discover(&roots, &NoProgress).unwrap();
    assert_eq!((found.disks.len(), found.orphans().count()), (20, 0));
    c.bench_function("tree of 20 disks", |b| b.iter(|| discover(&roots, &NoProgress).unwrap()));
}

criterion_group!(benches, bitmap_scan, block_resolution, log_replay, merge_plan, tree);
criterion_main!(benches);
