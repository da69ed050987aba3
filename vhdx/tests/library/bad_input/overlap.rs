//! Blocks that share a place in the file: whatever reads a whole disk refuses them before it writes anything.

use std::sync::Arc;

use vhdx::ops::{self, FlattenOptions, FlattenPlan, TargetContent};
use vhdx::{
    BatIndex, Chain, Error, Found, Jobs, Memory, NewDisk, NoProgress, OpenOptions, ReadAt, Result, Rule,
    Structure, Vhdx,
};
use vhdx_testkit::{Block, Image};

use super::{block_content, child, sample};
use crate::common::MIB;

/// Three layers. In the base, which is two levels down, the block `child` lies where another does.
fn chain(overlapping: impl Fn(&Image, &mut Vec<u8>)) -> Chain {
    let base = sample();
    let mid = child();
    let mut leaf = Image::child_of(&mid, "mid.avhdx", 1 << 20);
    leaf.blocks.insert(1, Block::full(block_content(1)));
    let mut file = base.build();
    overlapping(&base, &mut file);
    let layers =
        [leaf.build(), mid.build(), file].map(|file| Vhdx::open_with(file, &OpenOptions::default()).unwrap());
    Chain::from_layers(layers.into()).unwrap()
}

/// The blocks 0 and 2 in one place.
fn crossed() -> Chain {
    chain(|base, file| {
        let layout = base.layout();
        let (from, to) = (layout.bat_entry(0) as usize, layout.bat_entry(2) as usize);
        file.copy_within(from..from + 8, to);
    })
}

#[track_caller]
fn names_both<T: std::fmt::Debug>(result: Result<T>) {
    let error = result.expect_err("overlapping blocks were read");
    let found = error.violation().unwrap_or_else(|| panic!("{error}"));
    assert_eq!(found.rule(), Rule::BlockOverlapsBlock);
    assert_eq!(found.structure(), Structure::BatEntry(BatIndex::new(2)));
    assert_eq!(*found.found(), Found::Other(Structure::BatEntry(BatIndex::new(0))));
    let message = error.to_string();
    assert!(message.contains("BAT entry 2 ") && message.contains("BAT entry 0)"), "{message}");
}

#[test]
fn every_operation_on_a_whole_disk_refuses_them_two_levels_down() {
    let (sound, crossed) = (chain(|_, _| {}), crossed());
    sound.validate_placement().unwrap();
    names_both(crossed.validate_placement());
    names_both(crossed.validate_placement());

    names_both(ops::compare(&crossed, &sound, Jobs::default(), &NoProgress));
    names_both(ops::compare(&sound, &crossed, Jobs::default(), &NoProgress));
    names_both(FlattenPlan::new(&crossed, &FlattenOptions::default()));

    let new = Arc::new(Memory::default());
    names_both(ops::to_raw(&crossed, &*new, Jobs::default(), &NoProgress));
    names_both(ops::to_vhdx(&crossed, &NewDisk::new(64 * MIB), &*new, Jobs::default(), &NoProgress));
    assert_eq!(new.size().unwrap(), 0);

    let mut stream = Vec::new();
    names_both(ops::to_stream(&crossed, &mut stream, Jobs::default(), &NoProgress));
    assert!(stream.is_empty());

    for content in [TargetContent::Unknown, TargetContent::Zeros] {
        let target = Memory::new(vec![7; 4 * MIB as usize]);
        names_both(ops::overwrite_raw(&crossed, &target, content, Jobs::default(), &NoProgress));
        assert!(target.into_inner().iter().all(|&byte| byte == 7));
    }
}

/// A single read cannot know the places of all blocks, and does not pay for it.
#[test]
fn a_single_read_is_answered() {
    let mut sector = [0; 512];
    crossed().read_exact_at(&mut sector, crate::common::at(0)).unwrap();
}

/// Offsets in the middle of nowhere, up to the last one that an entry can hold.
#[test]
fn a_place_far_past_the_end_is_refused() {
    for mib in [1 << 20, 1 << 27, (1 << 27) + 1, 1 << 40, (1 << 44) - 1] {
        let far = chain(|base, file| {
            let at = base.layout().bat_entry(2) as usize;
            file[at..at + 8].copy_from_slice(&((mib << 20) | 6_u64).to_le_bytes());
        });
        let refused = far.validate_placement();
        let is_past_end =
            |error: &Error| error.violation().map(|found| found.rule()) == Some(Rule::BlockPastEnd);
        assert!(refused.as_ref().is_err_and(is_past_end), "{mib}: {refused:?}");
        assert!(ops::to_stream(&far, &mut std::io::sink(), Jobs::default(), &NoProgress).is_err());
    }
}
