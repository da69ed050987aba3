//! A power failure or a failed call leaves no disk or the whole disk.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use vhdx::format::bat_entry::PayloadBlockState;
use vhdx::ops::{IncrementPlan, check_storage};
use vhdx::{Chain, Jobs, NoProgress, OpenOptions, Vhdx};
use vhdx_testkit::crash::{Calls, CrashWorld, Fault, Images, Sweep, for_each_failure};
use vhdx_testkit::{Block, Image, SparseImage};

use super::INC;
use crate::common::{MIB, assert_same, read_all, report};

const BLOCK: usize = 1 << 20;

/// The older and the newer disk. The newer one has blocks in all states.
fn disks() -> (Chain, Chain) {
    let mut base = Image::dynamic(6 * MIB, BLOCK as u32);
    base.blocks.extend((0..6).map(|block| (block, Block::full(vec![1; BLOCK]))));
    let mut leaf = Image::child_of(&base, "base.vhdx", BLOCK as u32);
    leaf.virtual_size = 6 * MIB + 512;
    leaf.blocks.insert(0, Block::full(vec![2; BLOCK]));
    leaf.blocks.insert(1, Block::partial(vec![3; 4096], vec![false, true, true, false, true]));
    leaf.blocks.insert(2, Block::empty(PayloadBlockState::Zero, false));
    leaf.blocks.insert(5, Block::partial(vec![4; BLOCK], vec![true; 2047]));
    let open = |image: &Image, name: &str| {
        Vhdx::open_with(image.sparse(), &OpenOptions::default().name(Path::new("/vm").join(name))).unwrap()
    };
    let base = open(&base, "base.vhdx");
    let new = Chain::from_layers(vec![open(&leaf, "leaf.avhdx"), base.clone()]).unwrap();
    (Chain::from_layers(vec![base]).unwrap(), new)
}

fn empty() -> Images {
    Images::from([(PathBuf::from(INC), SparseImage::new(0))])
}

/// Returns whether the file is the complete disk. Otherwise it must not be a VHDX.
fn is_whole(image: SparseImage, old: &Chain, expected: &[u8]) -> bool {
    let Ok(vhdx) = Vhdx::open_with(image.clone(), &OpenOptions::default()) else { return false };
    let checked = check_storage(std::sync::Arc::new(image));
    assert!(checked.is_valid(), "{checked:?}");
    let layers = [vec![vhdx], old.layers().to_vec()].concat();
    assert_same(&read_all(&Chain::from_layers(layers).unwrap()), expected, "the increment");
    true
}

#[test]
fn a_power_failure_leaves_no_disk_or_the_whole_disk() {
    let (old, new) = disks();
    let expected = read_all(&new);
    let plan = IncrementPlan::new(&old, &new, Path::new(INC), &NoProgress).unwrap();
    let world = CrashWorld::new(empty());
    plan.execute(&old, &new, &*world.storage(INC), Jobs::default(), &NoProgress).unwrap();
    let whole = Cell::new(0_usize);
    let swept = world.recording().crash(&Sweep::default(), |image| {
        let is_whole = is_whole(image.file(INC).unwrap_or_default(), &old, &expected);
        whole.set(whole.get() + usize::from(is_whole));
    });
    report("increment", &swept);
    assert!(swept.forged > 400 && (1..swept.images).contains(&whole.get()), "{swept:?}");
    assert!(is_whole(world.images()[Path::new(INC)].clone(), &old, &expected));
}

#[test]
fn a_call_that_fails_leaves_no_disk_or_the_whole_disk() {
    let (old, new) = disks();
    let expected = read_all(&new);
    let plan = IncrementPlan::new(&old, &new, Path::new(INC), &NoProgress).unwrap();
    for fault in
        [Fault::full, |n| Fault::once(Calls::Any, n), |n| Fault::forever(Calls::Any, n), Fault::losing]
    {
        let calls = for_each_failure(&empty(), fault, |world| {
            let result = plan.execute(&old, &new, &*world.storage(INC), Jobs::default(), &NoProgress);
            assert!(result.is_err() == world.has_failed(), "{result:?}");
            is_whole(world.images()[Path::new(INC)].clone(), &old, &expected);
        });
        assert!(calls > 12, "{calls}");
    }
}
