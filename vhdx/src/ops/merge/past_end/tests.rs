use std::path::Path;

use vhdx_testkit::Image;

use super::*;
use crate::disk::Chain;
use crate::error::{ChainErrorKind, Error};
use crate::file::OpenOptions;
use crate::format::bat_entry::PayloadBlockState::Zero;
use crate::ops::merge::MergeOptions;
use crate::ops::merge::testing::{base, child, full, open, partial, relatives, with_entries};
use crate::units::MIB;

/// Plans a merge of the leaf into layer `target`.
fn plan(chain: &Chain, target: usize, shrink_target: bool) -> Result<MergePlan> {
    let options = MergeOptions { shrink_target, ..MergeOptions::default() };
    MergePlan::new(chain, target, &relatives(Vec::new()), &options)
}

/// Opens the image with one block changed to ZERO.
///
/// It reads as zeros whatever the parent has there.
fn with_zeros(image: &Image, block: u64) -> Vhdx {
    Vhdx::open_with(with_entries(image, [(block, Zero, 0)]), &OpenOptions::default()).unwrap()
}

#[track_caller]
fn drops<const N: usize>(layers: [Vhdx; N], target: usize, expected: u64) -> Chain {
    let (size, size_before) = (layers[0].virtual_size(), layers[target].virtual_size());
    let chain = Chain::from_layers(layers.into()).unwrap();
    let allowed = plan(&chain, target, true).unwrap();
    assert_eq!(
        (allowed.bytes_dropped, allowed.virtual_size, allowed.virtual_size_before),
        (expected, size, size_before)
    );
    match plan(&chain, target, false) {
        Ok(plan) => assert_eq!((plan.bytes_dropped, expected), (0, 0)),
        Err(Error::Chain(error)) => {
            assert_eq!(error.kind(), ChainErrorKind::DataPastEnd, "{error}");
            assert_eq!((error.bytes_past_end(), error.sizes()), (Some(expected), Some((size_before, size))));
            assert_eq!(error.path(), Path::new("layer 0"));
            assert_eq!(error.target(), Some(Path::new(&format!("layer {target}"))));
            assert_ne!(expected, 0);
        }
        Err(error) => panic!("{error}"),
    }
    chain
}

#[test]
fn data_of_the_target_past_the_end_is_counted_by_sectors() {
    let mut target = base(5 * MIB);
    target.blocks = [(0, full(1)), (1, full(2)), (3, full(3)), (4, full(4))].into();
    let mut leaf = child(&target);
    for (size, expected) in [
        (5 * MIB, 0),
        (5 * MIB - 512, 512),
        (3 * MIB, 2 * MIB),
        (2 * MIB, 2 * MIB),
        (MIB + 512, 3 * MIB - 512),
        (6 * MIB, 0),
    ] {
        leaf.virtual_size = size;
        drops([open(&leaf), open(&target)], 1, expected);
    }
}

#[test]
fn a_target_without_data_past_the_end_shrinks_without_the_option() {
    let mut target = base(4 * MIB);
    target.blocks = [(0, full(1))].into();
    let mut leaf = child(&target);
    leaf.virtual_size = MIB;
    let chain = drops([open(&leaf), with_zeros(&target, 3)], 1, 0);
    assert!(plan(&chain, 1, false).unwrap().shrinks);
}

/// The target's disk shows the data of its parents, except where the target answers itself.
#[test]
fn a_differencing_target_shows_data_of_its_parents() {
    let mut bottom = base(6 * MIB);
    bottom.blocks = (0..6).map(|block| (block, full(1))).collect();
    let mut target = child(&bottom);
    target.virtual_size = 5 * MIB;
    target.blocks = [(2, partial(2, 8))].into();
    let mut leaf = child(&target);
    leaf.virtual_size = 2 * MIB;
    drops([open(&leaf), with_zeros(&target, 3), open(&bottom)], 1, 2 * MIB);
    leaf.virtual_size = 3 * MIB;
    drops([open(&leaf), with_zeros(&target, 3), open(&bottom)], 1, MIB);
    // The target does not show what its parent holds past its own end, so that is not lost.
    leaf.virtual_size = 5 * MIB;
    drops([open(&leaf), with_zeros(&target, 3), open(&bottom)], 1, 0);
}

#[test]
fn a_layer_between_that_is_larger_loses_its_own_data() {
    let mut target = base(4 * MIB);
    target.blocks = [(3, full(1))].into();
    let mut middle = child(&target);
    middle.virtual_size = 6 * MIB;
    middle.blocks = [(2, partial(2, 3)), (5, full(3))].into();
    let mut leaf = child(&middle);
    leaf.virtual_size = 4 * MIB;
    drops([open(&leaf), open(&middle), open(&target)], 2, MIB);
    leaf.virtual_size = 2 * MIB;
    drops([open(&leaf), open(&middle), open(&target)], 2, MIB + 3 * 512 + MIB);
}
