//! Random chains for property tests.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use vhdx::format::bat_entry::PayloadBlockState;

use crate::image::{Headers, RegionTables};
use crate::log::DirtyLog;
use crate::model::{ChainModel, LayerModel, Operation};
use crate::workload::{Step, Workload};

/// The size of the largest disk in MiB. It is small because its plain array is compared again and again.
const MAX_MIB: u64 = 5;

/// Returns chains of 1 to `max_depth` layers. Each layer has its own block size, 1 to 8 MiB.
pub fn chains(max_depth: usize) -> impl Strategy<Value = ChainModel> {
    (any::<u64>(), prop_oneof![3 => Just(512u32), 1 => Just(4096)]).prop_flat_map(
        move |(seed, sector_size)| {
            let layers = vec(layer(sector_size), 1..=max_depth);
            layers.prop_map(move |layers| ChainModel { seed, sector_size, layers })
        },
    )
}

/// Returns chains of 2 to `max_depth` layers, with up to two further children.
///
/// Each child comes with the number of its parent.
pub fn families(max_depth: usize) -> impl Strategy<Value = (ChainModel, Vec<(usize, LayerModel)>)> {
    chains(max_depth).prop_filter("a merge needs two layers", |model| model.layers.len() > 1).prop_flat_map(
        |model| {
            let sibling = (1..model.layers.len(), layer(model.sector_size));
            (Just(model), vec(sibling, 0..=2))
        },
    )
}

/// Returns random operations on families of up to `max_depth` layers.
pub fn workloads(max_depth: usize) -> impl Strategy<Value = Workload> {
    let count = || prop_oneof![4 => 1..64u64, 2 => 1..5000u64, 1 => Just(u64::MAX)];
    let start = || prop_oneof![3 => 0..12_000u64, 1 => (0..MAX_MIB).prop_map(|mib| mib * 2048)];
    let leaf = || 0..3usize;
    let merge = (leaf(), 0..4usize, 0..4usize, prop::bool::weighted(0.3), option::of(any::<u64>()));
    let step = prop_oneof![
        5 => (leaf(), start(), count(), 1..=255u8)
            .prop_map(|(leaf, start, count, fill)| Step::Write { leaf, start, count, fill }),
        2 => (leaf(), start(), count()).prop_map(|(leaf, start, count)| Step::Zero { leaf, start, count }),
        2 => (leaf(), start(), count()).prop_map(|(leaf, start, count)| Step::Unmap { leaf, start, count }),
        1 => Just(Step::Flush),
        1 => Just(Step::Close),
        3 => merge.prop_map(|(leaf, child, levels, delete, failure)| {
            Step::Merge { leaf, child, levels, delete, failure }
        }),
        2 => any::<u64>().prop_map(Step::PowerFailure),
    ];
    (families(max_depth), vec(step, 1..16)).prop_map(|((model, siblings), steps)| Workload {
        model,
        siblings,
        steps,
    })
}

fn layer(sector_size: u32) -> impl Strategy<Value = LayerModel> {
    let sectors_per_mib = (1 << 20) / u64::from(sector_size);
    let block_mib = prop_oneof![4 => Just(1u32), 3 => Just(2), 1 => Just(4), 1 => Just(8)];
    let sectors = prop_oneof![
        4 => (1..=MAX_MIB).prop_map(move |mib| mib * sectors_per_mib),
        4 => 1..=MAX_MIB * sectors_per_mib,
        1 => 1..=16u64,
    ];
    let headers = prop_oneof![
        Just(Headers::FirstIsCurrent),
        Just(Headers::SecondIsCurrent),
        Just(Headers::Equal),
        Just(Headers::FirstIsSound),
        Just(Headers::SecondIsSound),
    ];
    let region_tables = prop_oneof![
        Just(RegionTables::Both),
        Just(RegionTables::FirstIsSound),
        Just(RegionTables::SecondIsSound)
    ];
    let operations = vec(operation(sectors_per_mib), 0..8);
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
    let parts = (block_mib, sectors, operations, flags, headers, region_tables);
    (parts, option::weighted(0.4, dirty_log())).prop_map(
        |(
            (block_mib, sectors, operations, (second_linkage, shuffled, is_fixed), headers, region_tables),
            log,
        )| {
            LayerModel {
                block_mib,
                sectors,
                operations,
                second_linkage,
                shuffled,
                headers,
                region_tables,
                log,
                is_fixed,
            }
        },
    )
}

fn operation(sectors_per_mib: u64) -> impl Strategy<Value = Operation> {
    let count = prop_oneof![3 => Just(1), 3 => 1..64u64, 2 => 1..=2 * sectors_per_mib];
    let start = 0..MAX_MIB * sectors_per_mib;
    let state = prop_oneof![
        Just(PayloadBlockState::Zero),
        Just(PayloadBlockState::Unmapped),
        Just(PayloadBlockState::Undefined)
    ];
    // ZERO must have no place in the file ([MS-VHDX] 2.5.1.1); the other two may keep one.
    let clear = (0..MAX_MIB, state, any::<bool>()).prop_map(|(block, state, placed)| Operation::Clear {
        block,
        state,
        placed: placed && state != PayloadBlockState::Zero,
    });
    prop_oneof![
        6 => (start, count, prop::bool::weighted(0.2))
            .prop_map(|(start, count, zeros)| Operation::Write { start, count, zeros }),
        1 => (0..MAX_MIB).prop_map(|block| Operation::Fill { block }),
        2 => clear,
    ]
}

fn dirty_log() -> impl Strategy<Value = DirtyLog> {
    (any::<u64>(), 1..4usize, 0..3usize, 0..24usize, prop::bool::weighted(0.2))
        .prop_map(|(seed, entries, stale, runs, closed)| DirtyLog { seed, entries, stale, runs, closed })
}
