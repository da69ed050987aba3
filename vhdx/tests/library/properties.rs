//! Random chains read like a plain array, in every way in which they can be read.

use std::io::{Read, Seek, SeekFrom};

use crate::common::{assert_same, at, cases, chain, read_all};
use proptest::prelude::*;
use vhdx::ops::{self, FlattenOptions, FlattenPlan};
use vhdx::{Chain, DiskType, Extent, Jobs, Memory, NewDisk, NoProgress, OpenOptions, Source, Vhdx};
use vhdx_testkit::{ChainModel, Image, SparseImage, chains};

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn chains_read_like_the_model(model in chains(8), ranges in prop::collection::vec(any::<[u64; 2]>(), 8)) {
        let disks = model.disks();
        let expected = disks.last().unwrap();
        let chain = chain(&model);
        prop_assert_eq!(chain.layers().len(), model.layers.len());
        assert_same(&read_all(&chain), expected, "whole disk");
        for [start, len] in ranges {
            let start = start % (expected.len() as u64 + 1);
            let len = len % (expected.len() as u64 + 1 - start);
            let mut bytes = vec![0xaa; len as usize];
            chain.read_exact_at(&mut bytes, at(start)).unwrap();
            assert_same(&bytes, &expected[start as usize..][..len as usize], &format!("{len} from {start}"));
        }
        for past in [1, 512, u64::MAX / 2] {
            let start = expected.len() as u64;
            prop_assert!(chain.read_exact_at(&mut vec![0; past.min(4096) as usize], at(start)).is_err());
        }
    }

    #[test]
    fn every_layer_reads_like_the_model(model in chains(4)) {
        for (depth, expected) in model.disks().iter().enumerate() {
            let shorter = ChainModel { layers: model.layers[..=depth].to_vec(), ..model.clone() };
            assert_same(&read_all(&chain(&shorter)), expected, &format!("layer {depth}"));
        }
    }

    #[test]
    fn extents_tile_the_range_and_say_where_the_bytes_are(model in chains(6), range in any::<[u64; 2]>()) {
        let chain = chain(&model);
        let disks = model.disks();
        let expected = disks.last().unwrap();
        let files = replayed_files(&model);
        let size = expected.len() as u64;
        let start = range[0] % size;
        let end = start + range[1] % (size - start + 1);
        for (start, end) in [(0, size), (start, end)] {
            let extents: Vec<Extent> = chain.extents(at(start)..at(end)).map(Result::unwrap).collect();
            let mut next = at(start);
            for extent in &extents {
                prop_assert_eq!(extent.start, next);
                prop_assert!(extent.len > 0);
                next = extent.end();
                let expected = &expected[extent.start.get() as usize..next.get() as usize];
                let found = bytes_of(extent, &files);
                assert_same(&found, expected, &format!("{extent:?}"));
            }
            prop_assert_eq!(next, at(end));
            for pair in extents.windows(2) {
                prop_assert!(!is_one_run(&pair[0], &pair[1]), "{:?} and {:?} are one run", pair[0], pair[1]);
            }
        }
    }

    #[test]
    fn a_layer_alone_answers_only_for_what_it_has(model in chains(3)) {
        let files = replayed_files(&model);
        let chain = chain(&model);
        for (number, layer) in chain.layers().iter().enumerate() {
            let own: Vec<Extent> = layer.extents(at(0)..at(layer.virtual_size())).map(Result::unwrap).collect();
            prop_assert_eq!(own.iter().map(|extent| extent.len).sum::<u64>(), layer.virtual_size());
            if number == 0 {
                let disks = model.disks();
                for extent in own.iter().filter(|extent| extent.source != Source::Unallocated) {
                    let range = extent.start.get() as usize..extent.end().get() as usize;
                    assert_same(&bytes_of(extent, &files), &disks.last().unwrap()[range], "own data");
                }
            }
        }
    }

    #[test]
    fn the_reader_is_a_stream_of_the_same_bytes(model in chains(3), seeks in prop::collection::vec(any::<[u64; 2]>(), 6)) {
        let disks = model.disks();
        let expected = disks.last().unwrap();
        let mut reader = chain(&model).into_reader();
        for [place, len] in seeks {
            let place = place % (expected.len() as u64 + 4096);
            let back = place as i64 - expected.len() as i64;
            prop_assert_eq!(reader.seek(SeekFrom::End(back)).unwrap(), place);
            let mut bytes = Vec::new();
            (&mut reader).take(len % 70_000).read_to_end(&mut bytes).unwrap();
            let from = expected.len().min(place as usize);
            let to = expected.len().min(from + (len % 70_000) as usize);
            assert_same(&bytes, &expected[from..to], "after a seek");
            prop_assert_eq!(reader.stream_position().unwrap(), place.max(to as u64));
        }
        reader.rewind().unwrap();
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert_same(&bytes, expected, "whole stream");
    }
}

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn copies_read_like_the_model(model in chains(5)) {
        let chain = chain(&model);
        let disks = model.disks();
        let expected = disks.last().unwrap();

        let raw = Memory::default();
        ops::to_raw(&chain, &raw, Jobs::default(), &NoProgress).unwrap();
        assert_same(&raw.into_inner(), expected, "raw");
        let mut stream = Vec::new();
        ops::to_stream(&chain, &mut stream, Jobs::default(), &NoProgress).unwrap();
        assert_same(&stream, expected, "stream");

        for disk_type in [DiskType::Dynamic, DiskType::Fixed] {
            let block_size = model.layers[0].block_mib << 20;
            let new = NewDisk {
                block_size,
                logical_sector_size: model.sector_size,
                disk_type,
                ..NewDisk::new(expected.len() as u64)
            };
            let copy = Memory::default();
            ops::to_vhdx(&chain, &new, &copy, Jobs::default(), &NoProgress).unwrap();
            assert_copy(copy, expected, disk_type, block_size);

            let plan = FlattenPlan::new(&chain, &FlattenOptions { disk_type }).unwrap();
            let merged = Memory::default();
            plan.execute(&chain, &merged, Jobs::default(), &NoProgress).unwrap();
            assert_copy(merged, expected, disk_type, block_size);
        }
    }

    #[test]
    fn sound_chains_pass_the_check(model in chains(4)) {
        for file in model.files() {
            let report = ops::check_storage(std::sync::Arc::new(file));
            prop_assert!(report.is_valid(), "{report:?}");
        }
    }
}

/// The files as they are once their logs are replayed, leaf first.
fn replayed_files(model: &ChainModel) -> Vec<SparseImage> {
    let files = model.images().into_iter().rev();
    files.map(|image| Image { log: None, ..image }.sparse()).collect()
}

fn bytes_of(extent: &Extent, files: &[SparseImage]) -> Vec<u8> {
    match extent.source {
        Source::Data { layer, offset } => files[layer].read(offset.get(), extent.len as usize),
        Source::Zero { .. } | Source::Unallocated => vec![0; extent.len as usize],
    }
}

fn is_one_run(a: &Extent, b: &Extent) -> bool {
    match (a.source, b.source) {
        (Source::Data { layer: la, offset: oa }, Source::Data { layer: lb, offset: ob }) => {
            la == lb && oa.get() + a.len == ob.get()
        }
        (a, b) => a == b,
    }
}

fn assert_copy(copy: Memory, expected: &[u8], disk_type: DiskType, block_size: u32) {
    let copy = std::sync::Arc::new(copy);
    let report = ops::check_storage(copy.clone());
    assert!(report.is_valid() && report.files[0].violations.as_slice().is_empty(), "{report:?}");
    let copy = Vhdx::open_with(copy, &OpenOptions::default()).unwrap();
    assert_eq!((copy.disk_type(), copy.block_size()), (disk_type, u64::from(block_size)));
    let copy = Chain::from_layers(vec![copy]).unwrap();
    assert_same(&read_all(&copy), expected, "copy");
}
