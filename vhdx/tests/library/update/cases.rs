//! Random pairs of disks, and targets that are refused.

use proptest::test_runner::{Config, TestRunner};
use vhdx::ops::{BaseProof, ensure_holds_base, update_raw};
use vhdx::{
    Chain, ChainErrorKind, Conflict, Error, InvalidArgument, Jobs, Memory, NoProgress, OpenOptions, Vhdx,
};
use vhdx_testkit::{Block, Image, Random, families};

use super::{PAST, check, target, update};
use crate::common::{MIB, assert_same, cases, read_all};
use crate::diff::{Members, Point};

fn point(chain: Chain) -> Point {
    Point { bytes: read_all(&chain), chain, line: Vec::new() }
}

/// A base of 4 MiB, and a child that changes a few sectors of it and is 512 bytes larger.
fn pair() -> (Point, Point) {
    let mut base = Image::dynamic(4 * MIB, 1 << 20);
    base.blocks.extend((0..4).map(|block| (block, Block::full(vec![1; 1 << 20]))));
    let mut child = Image::child_of(&base, "base.vhdx", 1 << 20);
    child.virtual_size += 512;
    child.blocks.insert(1, Block::partial(vec![2; 4096], vec![false, true, true, true]));
    child.blocks.insert(4, Block::full(vec![3; 512]));
    let open = |image: &Image| Vhdx::open_with(image.sparse(), &OpenOptions::default()).unwrap();
    let base = open(&base);
    let new = Chain::from_layers(vec![open(&child), base.clone()]).unwrap();
    (point(Chain::from_layers(vec![base]).unwrap()), point(new))
}

#[test]
fn random_targets_hold_the_newer_disk_afterwards() {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..cases(40) });
    let run = runner.run(&families(4), |(model, siblings)| {
        let members = Members::of(&model, &siblings);
        for (number, (old, new)) in members.pairs().enumerate() {
            check(old, new, [0, 1, 4096][number % 3]);
        }
        Ok(())
    });
    run.unwrap();
}

#[test]
fn only_what_changed_is_written() {
    let (old, new) = pair();
    let len = new.bytes.len();
    let (_, result) = update(&old.chain, &new.chain, target(&old.bytes, len), BaseProof::Full);
    let report = result.unwrap();
    assert_eq!((report.bytes_copied, report.bytes_zeroed), (3 * 512 + 512, 0));
}

/// Each 512 bytes that change may be old or new. Everything else must be old.
#[test]
fn a_mixture_is_accepted_only_where_the_disks_differ() {
    let (old, new) = pair();
    let len = new.bytes.len();
    let mut random = Random::new(1);
    for _ in 0..20 {
        let mut bytes = target(&old.bytes, len);
        for at in (0..len).step_by(512).filter(|_| random.below(2) == 0) {
            bytes[at..at + 512].copy_from_slice(&new.bytes[at..at + 512]);
        }
        let (now, result) = update(&old.chain, &new.chain, bytes, BaseProof::Full);
        result.unwrap();
        assert_same(&now, &new.bytes, "the target");
    }
    let changed = MIB as usize + 512;
    for (at, byte) in
        [(0, 9), (changed - 1, 2), (changed + 7, 9), (changed + 1536, 2), (old.bytes.len() - 1, 9)]
    {
        let mut bytes = target(&old.bytes, len);
        bytes[at] = byte;
        let before = bytes.clone();
        for proof in [BaseProof::Full, BaseProof::Sampled] {
            let (now, result) = update(&old.chain, &new.chain, bytes, proof);
            let error = result.unwrap_err();
            assert_eq!(error.conflict(), Some(&Conflict::OtherBase(vhdx::FileOffset::new(at as u64))));
            assert_eq!(error.offset(), Some(vhdx::FileOffset::new(at as u64)));
            assert!(now == before, "a target that was refused was written to");
            bytes = now;
        }
    }
    // Past the end of the older disk anything may be.
    let mut bytes = target(&old.bytes, len);
    bytes[len - 1] = PAST ^ 1;
    update(&old.chain, &new.chain, bytes, BaseProof::Full).1.unwrap();
}

/// A smaller newer disk leaves the content past its end alone, so it must be that of the older disk.
#[test]
fn a_disk_that_shrank() {
    let mut base = Image::dynamic(4 * MIB, 1 << 20);
    base.blocks.extend((0..4).map(|block| (block, Block::full(vec![1; 1 << 20]))));
    let mut child = Image::child_of(&base, "base.vhdx", 1 << 20);
    child.virtual_size = 2 * MIB + 512;
    child.blocks.insert(2, Block::full(vec![5; 512]));
    let open = |image: &Image| Vhdx::open_with(image.sparse(), &OpenOptions::default()).unwrap();
    let base = open(&base);
    let new = point(Chain::from_layers(vec![open(&child), base.clone()]).unwrap());
    let old = point(Chain::from_layers(vec![base]).unwrap());
    check(&old, &new, 100);
    let mut bytes = target(&old.bytes, old.bytes.len());
    bytes[2 * MIB as usize + 600] = 0;
    let error = update(&old.chain, &new.chain, bytes, BaseProof::Full).1.unwrap_err();
    assert_eq!(error.offset(), Some(vhdx::FileOffset::new(2 * MIB + 600)));
}

#[test]
fn targets_and_disks_that_do_not_fit() {
    let (old, new) = pair();
    let fails = |old: &Chain, new: &Chain, len: usize| {
        let target = Memory::new(vec![PAST; len]);
        let error =
            update_raw(old, new, &target, BaseProof::Sampled, Jobs::default(), &NoProgress).unwrap_err();
        ensure_holds_base(old, new, &target, BaseProof::Sampled, Jobs::default(), &NoProgress).unwrap_err();
        assert!(target.into_inner() == vec![PAST; len], "it was written to");
        error
    };
    let len = new.bytes.len();
    let error = fails(&old.chain, &new.chain, len - 1);
    assert!(matches!(error, Error::InvalidArgument(InvalidArgument::TargetTooSmall { .. })), "{error}");
    let error = fails(&new.chain, &old.chain, len);
    assert_eq!(error.chain_error().unwrap().kind(), ChainErrorKind::Reversed);
    let (other, _) = pair();
    let error = fails(&other.chain, &new.chain, len);
    assert_eq!(error.chain_error().unwrap().kind(), ChainErrorKind::Unrelated);
}

#[test]
fn an_update_can_be_cancelled_and_run_again() {
    use std::sync::atomic::{AtomicU64, Ordering};

    struct StopAt(AtomicU64, u64);
    impl vhdx::Progress for StopAt {
        fn start(&self, total: u64) {
            assert_eq!(total, 4 * MIB + 2048);
        }
        fn advance(&self, bytes: u64) {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }
        fn is_cancelled(&self) -> bool {
            self.0.load(Ordering::Relaxed) >= self.1
        }
    }
    let (old, new) = pair();
    for stop in [0, MIB, 4 * MIB, 4 * MIB + 1536] {
        let target = Memory::new(target(&old.bytes, new.bytes.len()));
        let stopping = StopAt(AtomicU64::new(0), stop);
        let stopped =
            update_raw(&old.chain, &new.chain, &target, BaseProof::Full, Jobs::default(), &stopping);
        assert!(matches!(stopped, Err(Error::Cancelled)), "{stop}");
        update_raw(&old.chain, &new.chain, &target, BaseProof::Full, Jobs::default(), &NoProgress).unwrap();
        assert_same(&target.into_inner(), &new.bytes, "the target");
    }
}
