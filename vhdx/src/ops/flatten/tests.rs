use super::*;
use crate::disk::Chain;
use crate::error::{Conflict, Error};
use crate::file::{DiskType, NewDisk, NewItem, OpenOptions, Vhdx};
use crate::ops::testing::{self, Meter, link, set_entry};
use crate::rules::Rule;
use crate::storage::Memory;
use crate::transfer::Jobs;
use crate::units::{DiskOffset, MIB};
use uuid::Uuid;

const SIZE: u64 = 9 * MIB + 512;

fn item(id: u128, is_virtual_disk: bool) -> NewItem {
    let (id, content) = (Uuid::from_u128(id), b"content".to_vec());
    NewItem { id, is_user: true, is_virtual_disk, is_required: false, content }
}

/// Blocks 1, 2 and 9 hold data; block 5 holds zeros.
fn image() -> Vec<u8> {
    let items = vec![item(1, true), item(2, false)];
    let disk = NewDisk { block_size: 1 << 20, items, ..NewDisk::new(SIZE) };
    testing::image(&disk, &[(2 * MIB - 256, &[1; 512]), (5 * MIB, &[0; 512]), (SIZE - 512, &[2; 512])])
}

fn chain(image: Vec<u8>) -> Chain {
    Chain::from_layers(vec![Vhdx::open_with(image, &OpenOptions::default()).unwrap()]).unwrap()
}

fn content(chain: &Chain) -> Vec<u8> {
    let mut bytes = vec![1; chain.virtual_size() as usize];
    chain.read_exact_at(&mut bytes, DiskOffset::new(0)).unwrap();
    bytes
}

#[test]
fn the_plan_states_the_result() {
    let plan = FlattenPlan::new(&chain(image()), &FlattenOptions::default()).unwrap();
    assert_eq!((plan.blocks, plan.bytes_to_copy), (4, 3 * MIB + 512));
    assert_eq!(plan.file_size, (4 + 4) * MIB);
    assert_eq!(plan.disk.items, [item(1, true)]);
    let part = DroppedPart::MetadataItem { id: Uuid::from_u128(2), is_user: true };
    assert_eq!(plan.dropped, [Dropped { layer: 0, part }]);
}

#[test]
fn the_new_disk_reads_as_the_chain() {
    let source = chain(image());
    for (disk_type, blocks) in [(DiskType::Dynamic, 3), (DiskType::Fixed, 10)] {
        let plan = FlattenPlan::new(&source, &FlattenOptions { disk_type }).unwrap();
        let (file, meter) = (Memory::default(), Meter::new());
        let done = plan.execute(&source, &file, Jobs::default(), &meter).unwrap();
        assert_eq!(done.blocks, blocks);
        assert!(done.file_size <= plan.file_size);
        assert_eq!(meter.total(), plan.bytes_to_copy);
        let merged = chain(file.into_inner());
        assert!(content(&merged) == content(&source));
        assert_eq!(merged.leaf().virtual_disk_id(), source.leaf().virtual_disk_id());
        assert_ne!(merged.leaf().data_write_guid(), source.leaf().data_write_guid());
    }
}

#[test]
fn a_plan_for_another_state_is_refused() {
    let plan = FlattenPlan::new(&chain(image()), &FlattenOptions::default()).unwrap();
    let changed =
        plan.execute(&chain(image()), &Memory::default(), Jobs::default(), &Meter::new()).unwrap_err();
    assert!(matches!(changed, Error::Conflict(Conflict::StalePlan)), "{changed}");
}

#[test]
fn a_damaged_table_is_refused_before_anything_is_written() {
    let mut image = image();
    set_entry(&mut image, 8, 6, 4); // the place of block 1
    let error = FlattenPlan::new(&chain(image), &FlattenOptions::default()).unwrap_err();
    assert_eq!(error.violation().unwrap().rule, Rule::BlockOverlapsBlock);
}

#[test]
fn a_differencing_result_is_refused() {
    let options = FlattenOptions { disk_type: DiskType::Differencing };
    assert!(FlattenPlan::new(&chain(image()), &options).is_err());
}

/// The child is larger and has smaller blocks.
///
/// One is ZERO where the base has data; others are NOT_PRESENT.
#[test]
fn two_layers_become_one_disk() {
    let sized = |block_size, size| NewDisk { block_size, ..NewDisk::new(size) };
    let base_disk = NewDisk { items: vec![item(3, true)], ..sized(2 << 20, 6 * MIB) };
    let base = testing::image(&base_disk, &[(0, &[1; 6 << 20])]);
    let mut child = testing::image(&sized(1 << 20, 9 * MIB), &[(MIB, &[2; 1 << 20]), (8 * MIB, &[3; 512])]);
    link(&mut child, &base, "base.vhdx");
    set_entry(&mut child, 4, 2, 0);
    let mut expected = vec![0; 9 << 20];
    expected[..6 << 20].fill(1);
    expected[1 << 20..2 << 20].fill(2);
    expected[4 << 20..5 << 20].fill(0);
    expected[8 << 20..][..512].fill(3);

    let layers = [child, base].map(|image| Vhdx::open_with(image, &OpenOptions::default()).unwrap()).into();
    let source = Chain::from_layers(layers).unwrap();
    let plan = FlattenPlan::new(&source, &FlattenOptions::default()).unwrap();
    assert_eq!((plan.blocks, plan.bytes_to_copy), (4, 6 * MIB));
    assert_eq!(plan.disk.virtual_disk_id, source.leaf().virtual_disk_id().unwrap());
    let part = DroppedPart::MetadataItem { id: Uuid::from_u128(3), is_user: true };
    assert_eq!(plan.dropped, [Dropped { layer: 1, part }]);

    let file = Memory::default();
    let done = plan.execute(&source, &file, Jobs::default(), &Meter::new()).unwrap();
    assert_eq!((done.blocks, done.file_size), (plan.blocks, plan.file_size));
    let merged = chain(file.into_inner());
    assert_eq!((merged.leaf().block_size(), merged.virtual_size()), (2 * MIB, 9 * MIB));
    assert!(content(&merged) == expected);
}
