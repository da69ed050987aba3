use super::*;
use crate::error::Error;
use crate::file::DiskType::{Differencing, Dynamic, Fixed};
use crate::format::bat_entry::PayloadBlockState::*;
use crate::units::MIB;

const DATA: LayerCoverage = LayerCoverage { data: 1, zeros: 0, nothing: 0, cut_off: 0 };
const ZEROS: LayerCoverage = LayerCoverage { data: 0, zeros: 1, nothing: 0, cut_off: 0 };
const DATA_AND_ZEROS: LayerCoverage = LayerCoverage { zeros: 1, ..DATA };
const SOME_DATA: LayerCoverage = LayerCoverage { nothing: 1, ..DATA };
const SOME_ZEROS: LayerCoverage = LayerCoverage { nothing: 1, ..ZEROS };
const SOME_OF_BOTH: LayerCoverage = LayerCoverage { nothing: 1, ..DATA_AND_ZEROS };
const NOTHING: LayerCoverage = LayerCoverage { data: 0, zeros: 0, nothing: 1, cut_off: 0 };

const ALL_STATES: [PayloadBlockState; 6] =
    [NotPresent, Undefined, Zero, Unmapped, FullyPresent, PartiallyPresent];

fn action(target: DiskType, state: PayloadBlockState, says: LayerCoverage) -> Option<BlockAction> {
    decide(target, state, &says, || panic!("bits matter only when the block is partially present")).unwrap()
}

fn partial(says: LayerCoverage, bits: Bits) -> Option<BlockAction> {
    decide(Differencing, PartiallyPresent, &says, || Ok(bits)).unwrap()
}

#[test]
fn a_block_that_no_merged_layer_covers_does_not_change() {
    for target in [Dynamic, Fixed, Differencing] {
        for state in ALL_STATES {
            assert_eq!(action(target, state, NOTHING), None);
            assert_eq!(action(target, state, LayerCoverage { cut_off: 1, ..NOTHING }), None);
        }
    }
}

#[test]
fn a_full_block_is_overwritten_or_becomes_zero() {
    for target in [Dynamic, Differencing] {
        for says in [DATA, DATA_AND_ZEROS, SOME_DATA, SOME_ZEROS, SOME_OF_BOTH] {
            assert_eq!(action(target, FullyPresent, says), Some(BlockAction::Overwrite), "{says:?}");
        }
        assert_eq!(action(target, FullyPresent, ZEROS), Some(BlockAction::Zero));
        // Content past the end of the merged disk is cut off, so it does not matter.
        assert_eq!(
            action(target, FullyPresent, LayerCoverage { cut_off: 1, ..ZEROS }),
            Some(BlockAction::Zero)
        );
    }
}

#[test]
fn a_fixed_disk_keeps_its_blocks() {
    for says in [DATA, ZEROS, DATA_AND_ZEROS, SOME_DATA, SOME_ZEROS, SOME_OF_BOTH] {
        assert_eq!(action(Fixed, FullyPresent, says), Some(BlockAction::Overwrite), "{says:?}");
    }
    for state in ALL_STATES.into_iter().filter(|state| !state.is_present()) {
        for says in [DATA, DATA_AND_ZEROS, SOME_DATA, SOME_OF_BOTH] {
            assert_eq!(action(Fixed, state, says), Some(BlockAction::Fill), "{state:?} {says:?}");
        }
        let reads_as_zeros_everywhere = matches!(state, NotPresent | Zero);
        let expected = (!reads_as_zeros_everywhere).then_some(BlockAction::Fill);
        assert_eq!(action(Fixed, state, ZEROS), expected, "{state:?}");
        assert_eq!(action(Fixed, state, SOME_ZEROS), expected, "{state:?}");
    }
}

#[test]
fn a_partial_block_gets_bits_or_becomes_full_or_zero() {
    for says in [DATA, DATA_AND_ZEROS, SOME_DATA, SOME_ZEROS, SOME_OF_BOTH] {
        assert_eq!(partial(says, Bits::Same), Some(BlockAction::Overwrite), "{says:?}");
        assert_eq!(partial(says, Bits::More), Some(BlockAction::Mark), "{says:?}");
        assert_eq!(partial(says, Bits::All), Some(BlockAction::Promote), "{says:?}");
    }
    for says in [ZEROS, LayerCoverage { cut_off: 1, ..ZEROS }] {
        assert_eq!(action(Differencing, PartiallyPresent, says), Some(BlockAction::Zero));
    }
    let failed = decide(Differencing, PartiallyPresent, &DATA, || Err(Error::Cancelled));
    assert!(matches!(failed, Err(Error::Cancelled)));
}

#[test]
fn a_block_without_content_gets_a_place_for_data_only() {
    for state in [NotPresent, Zero] {
        assert_eq!(action(Dynamic, state, ZEROS), None);
        assert_eq!(action(Dynamic, state, SOME_ZEROS), None);
    }
    for state in [NotPresent, Zero, Undefined, Unmapped] {
        for says in [DATA, DATA_AND_ZEROS, SOME_DATA, SOME_OF_BOTH] {
            assert_eq!(action(Dynamic, state, says), Some(BlockAction::Fill), "{state:?} {says:?}");
        }
    }
}

#[test]
fn undefined_and_unmapped_blocks_become_zero_for_any_zeros() {
    for target in [Dynamic, Differencing] {
        for state in [Undefined, Unmapped] {
            assert_eq!(action(target, state, ZEROS), Some(BlockAction::Zero));
            assert_eq!(action(target, state, SOME_ZEROS), Some(BlockAction::Zero));
        }
    }
}

#[test]
fn uncovered_sectors_stay_with_the_parent_of_the_target() {
    let action = |says| action(Differencing, NotPresent, says);
    for says in [SOME_DATA, SOME_ZEROS, SOME_OF_BOTH] {
        assert_eq!(action(says), Some(BlockAction::FillPart), "{says:?}");
    }
    for says in [DATA, DATA_AND_ZEROS] {
        assert_eq!(action(says), Some(BlockAction::Fill), "{says:?}");
        // Until the end is cut off, the parent answers for it.
        assert_eq!(action(LayerCoverage { cut_off: 1, ..says }), Some(BlockAction::FillPart), "{says:?}");
    }
    assert_eq!(action(ZEROS), Some(BlockAction::Zero));
    assert_eq!(action(LayerCoverage { cut_off: 1, ..ZEROS }), Some(BlockAction::Zero));
}

#[test]
fn a_differencing_block_that_reads_as_zeros_is_filled_as_a_whole() {
    for state in [Zero, Undefined, Unmapped] {
        for says in [DATA, DATA_AND_ZEROS, SOME_DATA, SOME_OF_BOTH, LayerCoverage { cut_off: 1, ..SOME_DATA }]
        {
            assert_eq!(action(Differencing, state, says), Some(BlockAction::Fill), "{state:?} {says:?}");
        }
    }
    assert_eq!(action(Differencing, Zero, ZEROS), None);
    assert_eq!(action(Differencing, Zero, SOME_ZEROS), None);
}

#[test]
fn each_action_has_its_entry_and_bits() {
    let place = FileOffset::new(5 * MIB);
    let plan = |action| {
        let place = if action == BlockAction::Zero { FileOffset::default() } else { place };
        let plan =
            BlockPlan { block: BlockIndex::new(1), action, place, is_fresh: false, copied: 0, zeroed: 0 };
        (plan.entry(), plan.bits(), plan.is_new_place())
    };
    let entry = |state| Some(BatEntry::payload(state, place));
    let zero = Some(BatEntry::payload(Zero, FileOffset::default()));
    assert_eq!(plan(BlockAction::Zero), (zero, BitChange::None, false));
    assert_eq!(plan(BlockAction::Overwrite), (None, BitChange::None, false));
    assert_eq!(plan(BlockAction::Mark), (None, BitChange::Set, false));
    assert_eq!(plan(BlockAction::Promote), (entry(FullyPresent), BitChange::None, false));
    assert_eq!(plan(BlockAction::Fill), (entry(FullyPresent), BitChange::None, true));
    assert_eq!(plan(BlockAction::FillPart), (entry(PartiallyPresent), BitChange::Replace, true));
}
