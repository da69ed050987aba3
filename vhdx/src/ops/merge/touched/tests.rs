use super::*;
use crate::ops::merge::testing::{base, child, full, open, partial};
use crate::units::MIB;

/// A block as numbers: its index, data, zeros, and the ranges in sectors.
type Numbers = (u64, u64, u64, Vec<(u64, u64)>);

fn touched(merged: &[Vhdx], target_block_mib: u64, size: u64) -> Vec<Numbers> {
    let geometry = Geometry::new(target_block_mib * MIB, 512, size, false).unwrap();
    let blocks = Touched::new(merged, geometry).map(|block| {
        let block = block.unwrap();
        let ranges = block.ranges.iter().map(|range| (range.start.get() / 512, range.end.get() / 512));
        (block.index.get(), block.data, block.zeros, ranges.collect())
    });
    blocks.collect()
}

#[test]
fn extents_are_cut_at_the_blocks_of_the_target() {
    let base = base(8 * MIB);
    let mut child = child(&base);
    child.blocks = [(1, full(1)), (2, full(2)), (5, partial(3, 4))].into();
    let merged = [open(&child)];
    assert_eq!(
        touched(&merged, 1, 8 * MIB),
        [
            (1, MIB, 0, vec![(2048, 4096)]),
            (2, MIB, 0, vec![(4096, 6144)]),
            (5, 2048, 0, vec![(10240, 10244)])
        ]
    );
    let two = [(0, 2 * MIB, 0, vec![(2048, 6144)]), (1, 2048, 0, vec![(10240, 10244)])];
    assert_eq!(touched(&merged, 4, 8 * MIB), two);
    let one = [(0, 2 * MIB + 2048, 0, vec![(2048, 6144), (10240, 10244)])];
    assert_eq!(touched(&merged, 8, 8 * MIB), one);
}

#[test]
fn a_smaller_layer_is_zero_past_its_end() {
    let base = base(4 * MIB);
    let mut lower = child(&base);
    lower.virtual_size = 2 * MIB + 512;
    let mut upper = child(&lower);
    upper.virtual_size = 4 * MIB;
    upper.blocks = [(3, partial(1, 1))].into();
    let found = touched(&[open(&upper), open(&lower)], 1, 4 * MIB);
    assert_eq!(found, [(2, 0, MIB - 512, vec![(4097, 6144)]), (3, 512, MIB - 512, vec![(6144, 8192)])]);
}

#[test]
fn empty_layers_touch_no_block() {
    let base = base(4 * MIB);
    assert_eq!(touched(&[open(&child(&base))], 1, 4 * MIB), []);
}
