//! The merges that break what is done naively, each as small as it can be.

use vhdx::format::bat_entry::PayloadBlockState::{self, Undefined, Unmapped, Zero};
use vhdx::ops::MergeOptions;
use vhdx_testkit::{ChainModel, Headers, LayerModel, Operation, RegionTables};

const SECTORS_PER_MIB: u64 = 2048;

/// A chain, what hangs on it, and a merge.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) model: ChainModel,
    pub(crate) siblings: Vec<(usize, LayerModel)>,
    pub(crate) child: usize,
    pub(crate) target: usize,
    pub(crate) options: MergeOptions,
    pub(crate) delete: bool,
}

impl Case {
    /// The top layer but one is merged into the base; the top layer is its child.
    fn new(name: &'static str, layers: Vec<LayerModel>) -> Self {
        let child = layers.len() - 2;
        let model = ChainModel { seed: 1, sector_size: 512, layers };
        let options = MergeOptions::default();
        Self { name, model, siblings: Vec::new(), child, target: 0, options, delete: false }
    }
}

fn layer(mib: u64, operations: Vec<Operation>) -> LayerModel {
    sized(mib * SECTORS_PER_MIB, 1, operations)
}

fn sized(sectors: u64, block_mib: u32, operations: Vec<Operation>) -> LayerModel {
    LayerModel {
        block_mib,
        sectors,
        operations,
        second_linkage: false,
        shuffled: false,
        headers: Headers::FirstIsCurrent,
        region_tables: RegionTables::Both,
        log: None,
        is_fixed: false,
    }
}

fn write(start: u64, count: u64) -> Operation {
    Operation::Write { start, count, zeros: false }
}

fn fill(block: u64) -> Operation {
    Operation::Fill { block }
}

fn clear(block: u64, state: PayloadBlockState) -> Operation {
    Operation::Clear { block, state, placed: state != Zero }
}

/// Overwrites, new blocks and cleared ones, over blocks in every state.
fn busy_base() -> LayerModel {
    layer(5, vec![fill(0), write(SECTORS_PER_MIB + 3, 9), clear(3, Unmapped)])
}

fn busy_child() -> LayerModel {
    layer(
        5,
        vec![
            write(1, 2),
            write(9, 1),
            clear(1, Zero),
            write(2 * SECTORS_PER_MIB, 5),
            write(3 * SECTORS_PER_MIB, 1),
        ],
    )
}

fn top() -> LayerModel {
    layer(5, vec![write(5, 7), write(4 * SECTORS_PER_MIB + 8, 3)])
}

pub(crate) fn into_a_dynamic_base() -> Case {
    Case::new("into a dynamic base", vec![busy_base(), busy_child(), top()])
}

pub(crate) fn into_a_differencing_disk() -> Case {
    let base = layer(5, vec![fill(0), fill(1), fill(2), fill(4)]);
    let target = layer(5, vec![write(7, 3), clear(1, Undefined), write(2 * SECTORS_PER_MIB + 7, 9)]);
    Case { target: 1, ..Case::new("into a differencing disk", vec![base, target, busy_child(), top()]) }
}

pub(crate) fn into_a_fixed_disk() -> Case {
    let base = LayerModel { is_fixed: true, ..busy_base() };
    let child =
        layer(7, vec![write(1, 2), clear(1, Zero), clear(2, Unmapped), write(6 * SECTORS_PER_MIB + 1, 1)]);
    Case::new("into a fixed disk", vec![base, child, top()])
}

/// The last block of the target is cut off, and holds what must not show when the disk grows.
pub(crate) fn into_a_smaller_disk() -> Case {
    let base = sized(2 * SECTORS_PER_MIB + 100, 1, vec![fill(0), fill(2)]);
    let child = layer(5, vec![write(2 * SECTORS_PER_MIB + 50, 20), write(4 * SECTORS_PER_MIB, 3)]);
    Case::new("into a smaller disk", vec![base, child, top()])
}

/// What the target's own parent holds past the target's end must not show either.
pub(crate) fn into_a_smaller_differencing_disk() -> Case {
    let base = layer(5, vec![fill(0), fill(1), fill(2), fill(3), fill(4)]);
    let target = sized(2 * SECTORS_PER_MIB + 100, 1, vec![write(3, 4)]);
    let child = layer(4, vec![write(SECTORS_PER_MIB, 2), write(3 * SECTORS_PER_MIB + 9, 1)]);
    Case { target: 1, ..Case::new("into a smaller differencing disk", vec![base, target, child, top()]) }
}

pub(crate) fn into_a_larger_disk() -> Case {
    let child = sized(2 * SECTORS_PER_MIB + 100, 2, vec![write(3, 4), write(2 * SECTORS_PER_MIB + 90, 5)]);
    Case::new("into a larger disk", vec![layer(5, vec![fill(0), fill(2), fill(3)]), child, top()])
}

/// A merged layer answers zeros for everything past its own end.
pub(crate) fn through_a_smaller_middle_layer() -> Case {
    let base = layer(5, vec![fill(0), fill(1), fill(2), fill(3)]);
    let middle = sized(SECTORS_PER_MIB + 77, 1, vec![write(9, 4)]);
    let child = layer(4, vec![write(3 * SECTORS_PER_MIB + 2, 2)]);
    Case::new("through a smaller middle layer", vec![base, middle, child, top()])
}

pub(crate) fn with_two_children() -> Case {
    let sibling = layer(3, vec![write(SECTORS_PER_MIB + 1, 2)]);
    let other = layer(5, vec![clear(0, Zero)]);
    let case = Case::new("with two children", vec![busy_base(), busy_child(), top()]);
    Case { siblings: vec![(1, sibling), (1, other)], ..case }
}

pub(crate) fn with_deletion() -> Case {
    let middle = layer(5, vec![write(4 * SECTORS_PER_MIB, 1)]);
    let layers = vec![busy_base(), middle, busy_child()];
    Case { delete: true, child: 2, ..Case::new("with deletion", layers) }
}

pub(crate) fn of_a_child_that_is_linked_by_its_second_linkage() -> Case {
    let child = LayerModel { second_linkage: true, ..busy_child() };
    Case::new("of a child that is linked by its second linkage", vec![busy_base(), child, top()])
}

pub(crate) fn in_small_batches() -> Case {
    let case = Case::new("in small batches", vec![busy_base(), busy_child(), top()]);
    Case { options: MergeOptions { batch_bytes: 1, ..MergeOptions::default() }, ..case }
}

/// Blocks that become zero are freed batch by batch, and taken by new ones.
pub(crate) fn where_freed_space_is_used_again() -> Case {
    let base = layer(6, vec![fill(0), fill(1), fill(2)]);
    let child = layer(
        6,
        vec![clear(0, Zero), clear(1, Zero), write(3 * SECTORS_PER_MIB, 1), write(4 * SECTORS_PER_MIB, 1)],
    );
    let case = Case::new("where freed space is used again", vec![base, child, layer(6, vec![write(0, 1)])]);
    Case { options: MergeOptions { batch_bytes: 1, ..MergeOptions::default() }, ..case }
}
