//! The merges that break what is done naively, each as small as it can be.

use vhdx::format::bat_entry::PayloadBlockState::{self, Undefined, Unmapped, Zero};
use vhdx::ops::MergeOptions;
use vhdx::{Guid, Vhdx};
use vhdx_testkit::{
    ChainModel, DirtyLog, ExtraItem, ExtraRegion, Family, Headers, Image, LayerModel, Operation, Part,
    RegionTables, SparseImage,
};

use super::scene::Scene;

const SECTORS_PER_MIB: u64 = 2048;

/// A chain, what hangs on it, and a merge.
pub(crate) struct Case {
    name: &'static str,
    model: ChainModel,
    siblings: Vec<(usize, LayerModel)>,
    child: usize,
    target: usize,
    options: MergeOptions,
    /// Makes the files of the chain unusual.
    change: fn(usize, &mut Image),
    then: fn(&Vhdx, &SparseImage),
}

impl Case {
    /// The top layer but one is merged into the base; the top layer is its child.
    fn new(name: &'static str, layers: Vec<LayerModel>) -> Self {
        Self {
            name,
            child: layers.len() - 2,
            model: ChainModel { seed: 1, sector_size: 512, layers },
            siblings: Vec::new(),
            target: 0,
            options: MergeOptions { shrink_target: true, ..MergeOptions::default() },
            change: |_, _| (),
            then: |_, _| (),
        }
    }

    pub(crate) fn scene(&self) -> Scene {
        let mut family = Family::with(&self.model, &self.siblings, self.change);
        for (layer, path) in family.chain.iter().enumerate() {
            let mut image = self.model.images().swap_remove(layer);
            (self.change)(layer, &mut image);
            if !image.extra_regions.is_empty() {
                let file = family.images.get_mut(path).unwrap();
                file.write(image.layout().offset(Part::Extra(0)), &IN_THE_REGION);
            }
        }
        let scene = Scene::of(family, self.child, self.target, self.options);
        Scene { name: self.name.into(), then: self.then, ..scene }
    }
}

/// Every merge by its name.
pub(crate) const ALL: [fn() -> Case; 20] = [
    into_a_dynamic_base,
    into_a_differencing_disk,
    into_a_fixed_disk,
    into_a_smaller_disk,
    into_a_smaller_differencing_disk,
    into_a_larger_disk,
    through_a_smaller_middle_layer,
    with_two_children,
    with_deletion,
    of_a_child_that_is_linked_by_its_second_linkage,
    in_small_batches,
    where_freed_space_is_used_again,
    with_dirty_logs_everywhere,
    of_files_without_a_log,
    with_large_sectors,
    where_metadata_has_no_room,
    with_metadata_and_a_region_that_nobody_knows,
    of_scattered_sectors_into_a_dynamic_disk,
    of_scattered_sectors_into_a_fixed_disk,
    of_scattered_sectors_into_a_differencing_disk,
];

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

/// Each layer has its own version of the first sectors.
pub(crate) fn three_versions_of_a_sector() -> ChainModel {
    let layers = vec![layer(2, vec![write(0, 3)]), layer(2, vec![write(0, 3)]), layer(2, vec![write(0, 3)])];
    ChainModel { seed: 1, sector_size: 512, layers }
}

pub(crate) fn four_versions_of_a_sector() -> ChainModel {
    let mut model = three_versions_of_a_sector();
    model.layers.push(layer(2, vec![write(0, 3)]));
    model
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

/// The content of the target's own parent past the target's end must not show either.
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

/// All headers have been changed so often that a session or two are still possible, and a merge is not.
pub(crate) fn of_files_with_worn_headers() -> Case {
    fn change(_: usize, image: &mut Image) {
        image.sequence_number = u64::MAX - 76;
    }
    Case { change, ..through_a_smaller_middle_layer() }
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
    let options = MergeOptions { delete_merged: true, shrink_target: true, ..MergeOptions::default() };
    Case { options, child: 2, ..Case::new("with deletion", layers) }
}

pub(crate) fn of_a_child_that_is_linked_by_its_second_linkage() -> Case {
    let child = LayerModel { second_linkage: true, ..busy_child() };
    Case::new("of a child that is linked by its second linkage", vec![busy_base(), child, top()])
}

pub(crate) fn in_small_batches() -> Case {
    let case = Case::new("in small batches", vec![busy_base(), busy_child(), top()]);
    Case { options: MergeOptions { batch_bytes: 1, shrink_target: true, ..MergeOptions::default() }, ..case }
}

/// Blocks that become zero are freed batch by batch, and taken by new ones.
pub(crate) fn where_freed_space_is_used_again() -> Case {
    let base = layer(6, vec![fill(0), fill(1), fill(2)]);
    let child = layer(
        6,
        vec![clear(0, Zero), clear(1, Zero), write(3 * SECTORS_PER_MIB, 1), write(4 * SECTORS_PER_MIB, 1)],
    );
    let case = Case::new("where freed space is used again", vec![base, child, layer(6, vec![write(0, 1)])]);
    Case { options: MergeOptions { batch_bytes: 1, shrink_target: true, ..MergeOptions::default() }, ..case }
}

/// Each log holds what its file is not right without; the children's too.
pub(crate) fn with_dirty_logs_everywhere() -> Case {
    let log = |seed| Some(DirtyLog { seed, entries: 3, stale: 2, runs: 12, closed: false });
    let dirty = |(seed, layer): (u64, LayerModel)| LayerModel { log: log(seed), ..layer };
    let middle = layer(5, vec![write(4 * SECTORS_PER_MIB, 1), clear(2, Zero)]);
    let layers = (1..).zip([busy_base(), busy_child(), middle, top()]).map(dirty).collect();
    let siblings = vec![(2, dirty((9, layer(3, vec![write(77, 5)]))))];
    Case { siblings, ..Case::new("with dirty logs everywhere", layers) }
}

/// Each session takes a place for a log before it takes any for content.
pub(crate) fn of_files_without_a_log() -> Case {
    fn change(_: usize, image: &mut Image) {
        image.log_length = 0;
    }
    let case = in_small_batches();
    Case { name: "of files without a log", change, ..case }
}

pub(crate) fn with_large_sectors() -> Case {
    let base = sized(5 * 256, 1, vec![fill(0), fill(4)]);
    let target = sized(3 * 256 + 5, 2, vec![write(7, 3), write(2 * 256 + 90, 4)]);
    let child = sized(4 * 256, 1, vec![write(6, 2), clear(2, Unmapped), write(3 * 256 + 2, 9)]);
    let case =
        Case::new("with large sectors", vec![base, target, child, sized(4 * 256, 1, vec![write(0, 1)])]);
    Case { target: 1, model: ChainModel { sector_size: 4096, ..case.model }, ..case }
}

/// Many writes between two syncs: over what is there, to new blocks, and to new parts of blocks.
fn of_scattered_sectors(name: &'static str, target: LayerModel) -> Case {
    let places = [3, 5, 9, 2000, SECTORS_PER_MIB + 1, SECTORS_PER_MIB + 3, 2 * SECTORS_PER_MIB + 7, 6200];
    let child = layer(4, places.map(|start| write(start, 1)).into());
    let base = layer(4, vec![fill(1), fill(2), fill(3)]);
    let layers = if target.is_fixed { vec![target] } else { vec![base, target] };
    let target = layers.len() - 1;
    let layers = [layers, vec![child, layer(4, vec![write(4, 1)])]].concat();
    Case { target, ..Case::new(name, layers) }
}

pub(crate) fn of_scattered_sectors_into_a_dynamic_disk() -> Case {
    let case = of_scattered_sectors("of scattered sectors into a dynamic disk", layer(4, vec![]));
    let mut layers = case.model.layers;
    layers.remove(1);
    Case { target: 0, child: 1, model: ChainModel { layers, ..case.model }, ..case }
}

pub(crate) fn of_scattered_sectors_into_a_fixed_disk() -> Case {
    let target = LayerModel { is_fixed: true, ..layer(4, vec![fill(0), fill(1)]) };
    of_scattered_sectors("of scattered sectors into a fixed disk", target)
}

pub(crate) fn of_scattered_sectors_into_a_differencing_disk() -> Case {
    let target = layer(4, vec![fill(0), write(SECTORS_PER_MIB + 2, 1)]);
    of_scattered_sectors("of scattered sectors into a differencing disk", target)
}

fn item(id: u128, is_user: bool, is_virtual_disk: bool, bytes: Vec<u8>) -> ExtraItem {
    ExtraItem { id: Guid::from_u128(id), is_user, is_virtual_disk, is_required: false, bytes }
}

fn content_of(vhdx: &Vhdx, id: u128) -> Option<Vec<u8>> {
    let entry = vhdx.metadata_entries().iter().find(|entry| entry.id == Guid::from_u128(id))?;
    Some(vhdx.read_metadata_item(entry).unwrap())
}

/// Locators without the key that a merge needs, and metadata regions with no gap for a longer one, nor for an item
/// that the target gets: the regions move.
pub(crate) fn where_metadata_has_no_room() -> Case {
    fn change(layer: usize, image: &mut Image) {
        if let Some(locator) = &mut image.parent_locator {
            locator.pop();
        }
        if layer == 1 {
            image.extra_items.push(item(7, true, true, vec![7; 300]));
        }
        let ends = image.placed_items().into_iter().map(|(at, item)| at as usize + item.bytes.len());
        let end = ends.max().unwrap().next_multiple_of(8);
        image.extra_items.push(item(8, true, false, vec![8; (1 << 20) - end - 64]));
    }
    fn then(target: &Vhdx, _: &SparseImage) {
        assert_eq!(content_of(target, 7).unwrap(), [7; 300]);
        let filler = content_of(target, 8).unwrap();
        assert!(filler[0] == 8 && filler[1..] == filler[..filler.len() - 1]);
        assert!(target.regions().iter().any(|region| region.length > 1 << 20));
    }
    let case = Case::new("where metadata has no room", vec![busy_base(), busy_child(), top()]);
    Case { change, then, ..case }
}

const IN_THE_REGION: [u8; 5000] = [0x77; 5000];

/// Metadata items of the merged virtual disk are copied. Those of the target's file stay, known or not.
pub(crate) fn with_metadata_and_a_region_that_nobody_knows() -> Case {
    fn change(layer: usize, image: &mut Image) {
        let own = |id, is_user, is_disk| item(id, is_user, is_disk, vec![10 * layer as u8 + id as u8; 40]);
        image.extra_items = match layer {
            0 => vec![own(1, true, false), own(2, true, true), own(3, true, true), own(4, false, false)],
            1 => vec![own(3, true, true), own(5, false, true), own(6, true, false)],
            _ => vec![],
        };
        if layer == 0 {
            image.extra_regions.push(ExtraRegion { id: REGION, mib: 2, required: false });
        }
        image.virtual_disk_id = Guid::from_u128(100 + layer as u128);
    }
    fn then(target: &Vhdx, file: &SparseImage) {
        let found: Vec<Option<u8>> =
            (1..=6).map(|id| content_of(target, id).map(|bytes| bytes[39])).collect();
        assert_eq!(found, [Some(1), None, Some(13), Some(4), Some(15), None]);
        assert_eq!(target.virtual_disk_id(), Some(Guid::from_u128(101)));
        let region = target.regions().iter().find(|region| region.id == REGION).unwrap();
        assert_eq!(file.read(region.offset.get(), IN_THE_REGION.len()), IN_THE_REGION);
    }
    let name = "with metadata and a region that nobody knows";
    Case { change, then, ..Case::new(name, vec![busy_base(), busy_child(), top()]) }
}

const REGION: Guid = Guid::from_u128(9);
