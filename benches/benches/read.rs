//! Benchmarks of opening, extents and reads of a chain with scattered sectors in each layer.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use vhdx::{Chain, DiskOffset, OpenOptions, Vhdx};
use vhdx_bench::scattered;

const DEPTHS: [usize; 3] = [1, 8, 32];

fn open(c: &mut Criterion) {
    let images = scattered(1);
    c.bench_function("open", |b| {
        b.iter(|| Vhdx::open_with(black_box(images[0].clone()), &OpenOptions::default()).unwrap());
    });
}

fn extents(c: &mut Criterion) {
    let mut group = c.benchmark_group("extents");
    for depth in DEPTHS {
        let chain = chain(depth);
        group.bench_with_input(BenchmarkId::from_parameter(depth), &chain, |b, chain| {
            b.iter(|| chain.extents(DiskOffset::new(0)..DiskOffset::new(chain.virtual_size())).count());
        });
    }
}

fn random_reads(c: &mut Criterion) {
    let mut group = c.benchmark_group("random 4 KiB read");
    for depth in DEPTHS {
        let chain = chain(depth);
        let pages = chain.virtual_size() / 4096;
        let (mut buf, mut page) = (vec![0; 4096], 1);
        group.bench_with_input(BenchmarkId::from_parameter(depth), &chain, |b, chain| {
            b.iter(|| {
                page = page * 6_364_136_223_846_793_005 % pages + 1;
                chain.read_exact_at(&mut buf, DiskOffset::new((page - 1) * 4096)).unwrap();
            });
        });
    }
}

fn chain(depth: usize) -> Chain {
    let layers =
        scattered(depth).into_iter().map(|image| Vhdx::open_with(image, &OpenOptions::default()).unwrap());
    Chain::from_layers(layers.collect()).unwrap()
}

criterion_group!(benches, open, extents, random_reads);
criterion_main!(benches);
