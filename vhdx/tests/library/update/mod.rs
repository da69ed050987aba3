//! A raw target that holds an older disk is brought to a newer one.

mod cases;
mod killed;
mod proof;

use vhdx::Chain;
use vhdx::ops::{BaseProof, UpdateReport, update_raw};
use vhdx::{Jobs, Memory, NoProgress, Result};

use crate::common::assert_same;
use crate::diff::Point;

/// A byte that the target has past the end of the older disk.
const PAST: u8 = 0xcd;

/// Returns a target of `len` bytes that holds a disk.
fn target(disk: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = disk.to_vec();
    bytes.resize(len, PAST);
    bytes
}

/// Returns the bytes of the target after an update: the newer disk, and what follows it as before.
fn updated(old: &[u8], new: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = target(old, len);
    bytes[..new.len()].copy_from_slice(new);
    bytes
}

fn update(old: &Chain, new: &Chain, bytes: Vec<u8>, proof: BaseProof) -> (Vec<u8>, Result<UpdateReport>) {
    let target = Memory::new(bytes);
    let result = update_raw(old, new, &target, proof, Jobs::default(), &NoProgress);
    (target.into_inner(), result)
}

/// Checks an update, and a second one over its result.
#[track_caller]
fn check(old: &Point, new: &Point, tail: usize) {
    let len = old.bytes.len().max(new.bytes.len()) + tail;
    let expected = updated(&old.bytes, &new.bytes, len);
    let mut bytes = target(&old.bytes, len);
    for proof in [BaseProof::Full, BaseProof::Sampled] {
        let (now, result) = update(&old.chain, &new.chain, bytes, proof);
        let report = result.unwrap();
        assert_same(&now, &expected, "the target");
        assert_eq!((report.bytes_verified, report.target_size), (old.bytes.len() as u64, len as u64));
        bytes = now;
    }
}
