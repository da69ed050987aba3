use super::*;
use crate::error::{Conflict, Error};
use crate::family::FileFacts;
use crate::file::{DiskType, OpenOptions};
use crate::format::bat_entry::PayloadBlockState::{Unmapped, Zero};
use crate::ops::merge::batch::Batch;
use crate::ops::merge::block::{BitChange, BlockAction};
use crate::ops::merge::pieces::{CopyPiece, pieces};
use crate::ops::merge::testing::{base, chain, child, content, full, open, partial, relatives, with_entries};
use crate::rules::Rule;
use crate::units::DiskOffset;
use std::path::Path;
use uuid::Uuid;
use vhdx_testkit::{Block, Image};

mod applied;

fn inputs(plan: &MergePlan) -> &BatchInputs {
    plan.batch_inputs.as_ref().unwrap()
}

/// The batches of a plan for these layers, leaf first. The last layers may be ancestors of the target.
fn batches(plan: &MergePlan, layers: &[Vhdx]) -> Vec<Batch> {
    let target = plan.layers.len() - 1;
    let mut batches = Batches::new(inputs(plan), &layers[..target]);
    std::iter::from_fn(|| batches.next(&layers[target]).unwrap()).collect()
}

fn plan(images: [&Image; 2]) -> MergePlan {
    let options = MergeOptions { shrink_target: true, ..MergeOptions::default() };
    MergePlan::new(&chain(images), 1, &relatives(Vec::new()), &options).unwrap()
}

/// The blocks of all batches, each with its action.
fn actions(plan: &MergePlan, chain: &Chain) -> Vec<(u64, BlockAction)> {
    let batches = batches(plan, chain.layers());
    let blocks = batches.iter().flat_map(|batch| &batch.blocks);
    blocks.map(|block| (block.block.get(), block.action)).collect()
}

#[test]
fn only_blocks_that_change_are_in_the_plan() {
    let mut base = base(8 * MIB);
    base.blocks = [(0, full(1)), (1, full(2))].into();
    let mut child = child(&base);
    child.blocks = [(1, partial(3, 8)), (6, full(4))].into();
    let plan = plan([&child, &base]);
    assert_eq!(
        actions(&plan, &chain([&child, &base])),
        [(1, BlockAction::Overwrite), (6, BlockAction::Fill)]
    );
    assert_eq!(plan.block_counts(), [(BlockAction::Overwrite, 1), (BlockAction::Fill, 1)].into());
    assert_eq!(plan.bytes_to_copy, MIB + 8 * 512);
    let len = base.layout().len;
    assert_eq!((plan.file_size, plan.growth_bytes, plan.overwritten_bytes), (len + MIB, MIB, 8 * 512));
    assert!(
        !plan.copied
            && !plan.detach
            && !plan.shrinks
            && inputs(&plan).growth.is_none()
            && plan.items.is_empty()
    );
    assert!(plan.delete.is_empty());
    let states: Vec<_> =
        plan.layers.iter().map(|state| (state.path.as_path(), state.data_write_guid)).collect();
    let expected = [("layer 0", &child), ("layer 1", &base)];
    assert_eq!(states, expected.map(|(name, image)| (Path::new(name), image.data_write_guid)));
}

#[test]
fn a_target_that_is_not_an_ancestor_is_refused() {
    let base = base(MIB);
    let chain = chain([&child(&base), &base]);
    for target in [0, 2, usize::MAX] {
        let result = MergePlan::new(&chain, target, &relatives(Vec::new()), &MergeOptions::default());
        let expected = InvalidArgument::MergeTarget { target, layers: 2 };
        assert!(matches!(result, Err(Error::InvalidArgument(found)) if found == expected), "{target}");
    }
}

#[test]
fn a_damaged_bat_of_any_file_is_refused() {
    for damaged in [0, 1] {
        let mut base = base(4 * MIB);
        base.blocks = [(1, full(1))].into();
        let mut child = child(&base);
        child.blocks = [(2, full(1))].into();
        let mut files = [child.build(), base.build()];
        let image = [&child, &base][damaged];
        files[damaged] =
            with_entries(image, [(3, crate::format::bat_entry::PayloadBlockState::FullyPresent, 1)]);
        let layers = files.map(|file| Vhdx::open_with(file, &OpenOptions::default()).unwrap()).into();
        let chain = Chain::from_layers(layers).unwrap();
        let result = MergePlan::new(&chain, 1, &relatives(Vec::new()), &MergeOptions::default());
        assert_eq!(result.unwrap_err().violation().unwrap().rule, Rule::BlockOverlapsLog);
    }
}

#[test]
fn children_decide_what_remains_to_be_done() {
    let base = base(MIB);
    let mut leaf = child(&base);
    leaf.blocks = [(0, full(1))].into();
    let other = |path: &str, linkage, linkage2| {
        let mut disk = FileFacts::of(Path::new(path), &open(&child(&leaf)));
        (disk.linkage, disk.linkage2) = (Some(linkage), linkage2);
        disk
    };
    let plan = |disks| {
        let options = MergeOptions { delete_merged: true, ..MergeOptions::default() };
        MergePlan::new(&chain([&leaf, &base]), 1, &relatives(disks), &options)
    };
    let alone = plan(Vec::new()).unwrap();
    assert!(!alone.detach && !alone.copied && alone.delete == [0]);

    let waiting = || other("a", leaf.data_write_guid, None);
    let found = plan(vec![waiting()]).unwrap();
    assert!(!found.detach && !found.copied && found.bytes_to_copy == MIB);
    assert_eq!(found.children.len(), 1);

    let relinked = other("b", base.data_write_guid, Some(leaf.data_write_guid));
    let found = plan(vec![waiting(), relinked]).unwrap();
    assert!(found.detach && found.copied && found.batch_count() == 0 && found.growth_bytes == 0);
    assert_eq!((found.children.len(), found.relinked.len()), (1, 1));
    assert_eq!(found.relinked[0].path, Path::new("b"));

    let blocked = plan(vec![other("c", base.data_write_guid, Some(Uuid::nil()))]).unwrap_err();
    assert!(blocked.to_string().contains("\"c\" is a child of \"layer 1\""), "{blocked}");
}

#[test]
fn a_plan_is_stale_for_other_files() {
    let base = base(MIB);
    let child = child(&base);
    let plan = plan([&child, &base]);
    plan.validate_state(&[open(&child), open(&base)]).unwrap();
    let mut changed = base.clone();
    changed.file_write_guid = Uuid::from_u128(1);
    for layers in [vec![open(&child), open(&changed)], vec![open(&child)], Vec::new()] {
        let error = plan.validate_state(&layers).unwrap_err();
        assert!(matches!(error, Error::Conflict(Conflict::StalePlan)), "{error}");
    }
}

#[test]
fn a_smaller_middle_layer_makes_the_target_zero() {
    let mut base = base(4 * MIB);
    base.blocks = (0..4).map(|block| (block, full(1))).collect();
    let mut middle = child(&base);
    middle.virtual_size = MIB + 512;
    let mut leaf = child(&middle);
    leaf.virtual_size = 4 * MIB;
    let chain = chain([&leaf, &middle, &base]);
    let plan = MergePlan::new(&chain, 2, &relatives(Vec::new()), &MergeOptions::default()).unwrap();
    assert_eq!(
        actions(&plan, &chain),
        [(1, BlockAction::Overwrite), (2, BlockAction::Zero), (3, BlockAction::Zero)]
    );
    assert_eq!(plan.bytes_to_copy, 0);
    let (blocks, merged) = (&batches(&plan, chain.layers())[0].blocks, &chain.layers()[..2]);
    let block = &blocks[0];
    let found: Vec<CopyPiece> = pieces(merged, inputs(&plan), block).map(Result::unwrap).collect();
    let (start, to) = (DiskOffset::new(MIB + 512), block.place.saturating_add(512));
    let content = super::super::pieces::Content::Zeros;
    assert_eq!(found, [CopyPiece { start, len: MIB - 512, to, content }]);
    assert_eq!(pieces(merged, inputs(&plan), &blocks[1]).count(), 0);
}

#[test]
fn a_leaf_of_another_size_resizes_the_target() {
    let target = base(2 * MIB + 512);
    let mut leaf = child(&target);
    leaf.virtual_size = 5 * MIB;
    leaf.blocks = [(2, full(1)), (4, full(2))].into();
    let larger = plan([&leaf, &target]);
    assert!(inputs(&larger).growth.is_some() && !larger.shrinks && larger.virtual_size == 5 * MIB);
    assert_eq!(actions(&larger, &chain([&leaf, &target])), [(2, BlockAction::Fill), (4, BlockAction::Fill)]);
    assert_eq!((larger.items.taken.len(), larger.growth_bytes), (1, 2 * MIB));

    let mut fixed = base(2 * MIB);
    fixed.leave_blocks_allocated = true;
    fixed.blocks = [(0, full(1)), (1, full(2))].into();
    let mut empty = child(&fixed);
    empty.virtual_size = 5 * MIB;
    let growing = plan([&empty, &fixed]);
    assert_eq!((growing.batch_count(), growing.growth_bytes), (0, 3 * MIB));

    leaf.virtual_size = MIB + 512;
    leaf.blocks = [(1, full(1))].into();
    let smaller = plan([&leaf, &target]);
    assert!(inputs(&smaller).growth.is_none() && smaller.shrinks && smaller.virtual_size == MIB + 512);
    assert_eq!(
        (actions(&smaller, &chain([&leaf, &target])), smaller.bytes_to_copy),
        (vec![(1, BlockAction::Fill)], 512)
    );
}

#[test]
fn a_new_block_of_a_differencing_target_leaves_the_rest_to_its_parent() {
    let bottom = base(4 * MIB);
    let mut target = child(&bottom);
    target.blocks = [(2, partial(1, 4))].into();
    let mut leaf = child(&target);
    leaf.blocks = [(1, partial(2, 8)), (2, partial(3, 8)), (3, full(4))].into();
    let chain = chain([&leaf, &target, &bottom]);
    let plan = MergePlan::new(&chain, 1, &relatives(Vec::new()), &MergeOptions::default()).unwrap();
    let expected = [(1, BlockAction::FillPart), (2, BlockAction::Mark), (3, BlockAction::Fill)];
    assert_eq!(actions(&plan, &chain), expected);
    let batch = &batches(&plan, chain.layers())[0];
    assert!(batch.bitmaps.is_empty(), "the chunk has a sector bitmap block");
    let bits: Vec<_> = batch.blocks.iter().map(|block| block.bits()).collect();
    assert_eq!(bits, [BitChange::Replace, BitChange::Set, BitChange::None]);
}

#[test]
fn reserved_places_are_filled_or_freed() {
    let mut target = base(4 * MIB);
    target.blocks = [(0, full(1))].into();
    let taken = target.layout().len / MIB;
    let mut file = with_entries(&target, [(1, Unmapped, taken), (2, Unmapped, taken + 1)]);
    file.resize(file.len() + (2 << 20), 0xee);
    let mut leaf = child(&target);
    leaf.blocks = [(1, full(2)), (2, Block { placed: false, ..full(0) }), (3, full(3))].into();
    let leaf = with_entries(&leaf, [(2, Zero, 0)]);
    let layers = [leaf, file].map(|file| Vhdx::open_with(file, &OpenOptions::default()).unwrap()).into();
    let options = MergeOptions { batch_bytes: MIB, ..MergeOptions::default() };
    let chain = Chain::from_layers(layers).unwrap();
    let plan = MergePlan::new(&chain, 1, &relatives(Vec::new()), &options).unwrap();
    let batches = batches(&plan, chain.layers());
    let blocks: Vec<_> = batches.iter().flat_map(|batch| &batch.blocks).collect();
    let found: Vec<_> = blocks.iter().map(|block| (block.action, block.place.get() / MIB)).collect();
    let expected = [(BlockAction::Fill, taken), (BlockAction::Zero, 0), (BlockAction::Fill, taken + 1)];
    assert_eq!(found, expected);
    assert_eq!((plan.growth_bytes, plan.batch_count()), (0, 2));
}

#[test]
fn the_type_of_the_target_is_kept() {
    let mut fixed = base(2 * MIB);
    fixed.leave_blocks_allocated = true;
    fixed.blocks = [(0, full(1)), (1, full(2))].into();
    let mut leaf = child(&fixed);
    leaf.blocks = [(0, full(0))].into();
    let leaf = with_entries(&leaf, [(0, Zero, 0)]);
    let layers = vec![Vhdx::open_with(leaf, &OpenOptions::default()).unwrap(), open(&fixed)];
    assert_eq!(layers[1].disk_type(), DiskType::Fixed);
    let chain = Chain::from_layers(layers).unwrap();
    let plan = MergePlan::new(&chain, 1, &relatives(Vec::new()), &MergeOptions::default()).unwrap();
    assert_eq!(actions(&plan, &chain), [(0, BlockAction::Overwrite)]);
    assert_eq!(content(chain.layers())[..1 << 20], vec![0; 1 << 20]);
}
