//! Random pairs of disks: no changed byte is missed.

use std::cell::Cell;

use proptest::test_runner::{Config, TestRunner};
use vhdx::ops::{ChangedRange, changed_ranges, differing_ranges};
use vhdx::{Jobs, NoProgress, Result};
use vhdx_testkit::families;

use super::{Members, Point};
use crate::common::cases;

/// How much was named and how much differs, in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    pairs: u64,
    siblings: u64,
    named: u64,
    /// The part of `named` past the end of the older disk, all of which is named.
    grown: u64,
    differing: u64,
}

/// The byte of a disk, which counts as zeros past its end.
fn bytes<'a>(point: &'a Point, range: &ChangedRange) -> impl Iterator<Item = u8> + 'a {
    let range = range.start.get() as usize..range.end().get() as usize;
    range.map(|at| point.bytes.get(at).copied().unwrap_or(0))
}

/// Returns whether each sector of the larger disk differs.
fn differing_sectors(old: &Point, new: &Point) -> Vec<bool> {
    let size = new.chain.logical_sector_size() as usize;
    let end = old.bytes.len().max(new.bytes.len());
    let sector = |bytes: &[u8], start: usize| {
        let mut sector = vec![0; size];
        let inside = bytes.get(start..bytes.len().min(start + size)).unwrap_or_default();
        sector[..inside.len()].copy_from_slice(inside);
        sector
    };
    (0..end).step_by(size).map(|start| sector(&old.bytes, start) != sector(&new.bytes, start)).collect()
}

fn check(old: &Point, new: &Point, sums: &mut Sums) {
    let sector = u64::from(new.chain.logical_sector_size());
    let differing = differing_sectors(old, new);
    let changed: Vec<ChangedRange> =
        changed_ranges(&old.chain, &new.chain).unwrap().collect::<Result<_>>().unwrap();
    assert_ascending(&changed, sector, differing.len() as u64 * sector);
    let mut missed = differing.clone();
    for range in &changed {
        missed[(range.start.get() / sector) as usize..(range.end().get() / sector) as usize].fill(false);
        assert!(!range.is_zero || bytes(new, range).all(|byte| byte == 0), "{range:?} is not zero");
    }
    let first = missed.iter().position(|missed| *missed);
    assert_eq!(first, None, "this sector changed, but is not in {changed:?}");

    let mut exact: Vec<ChangedRange> = Vec::new();
    differing_ranges(&old.chain, &new.chain, Jobs::default(), &NoProgress, |range| {
        exact.push(range);
        Ok(())
    })
    .unwrap();
    assert_ascending(&exact, sector, differing.len() as u64 * sector);
    let mut found = vec![false; differing.len()];
    for range in &exact {
        found[(range.start.get() / sector) as usize..(range.end().get() / sector) as usize].fill(true);
        let zeros = bytes(new, range).filter(|byte| *byte == 0).count() as u64;
        assert!(if range.is_zero { zeros == range.len } else { zeros < range.len }, "{range:?}");
    }
    assert!(found == differing, "the exact ranges are not the sectors that differ");

    sums.pairs += 1;
    sums.siblings += u64::from(!new.descends_from(old));
    sums.named += changed.iter().map(|range| range.len).sum::<u64>();
    let grown = changed.iter().filter(|range| range.start.get() >= old.bytes.len() as u64);
    sums.grown += grown.map(|range| range.len).sum::<u64>();
    sums.differing += exact.iter().map(|range| range.len).sum::<u64>();
}

/// Asserts that the ranges are sorted, consist of sectors, and are as long as possible.
fn assert_ascending(ranges: &[ChangedRange], sector: u64, end: u64) {
    for range in ranges {
        assert!(range.len > 0 && range.start.get().is_multiple_of(sector), "{range:?}");
        assert!(range.len.is_multiple_of(sector) && range.end().get() <= end, "{range:?}");
    }
    for pair in ranges.windows(2) {
        assert!(pair[0].end() <= pair[1].start, "{pair:?}");
        assert!(pair[0].end() < pair[1].start || pair[0].is_zero != pair[1].is_zero, "{pair:?}");
    }
}

#[test]
fn no_changed_byte_is_missed() {
    let sums = Cell::new(Sums::default());
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..cases(220) });
    let run = runner.run(&families(5), |(model, siblings)| {
        let members = Members::of(&model, &siblings);
        let mut now = sums.get();
        members.pairs().for_each(|(old, new)| check(old, new, &mut now));
        sums.set(now);
        Ok(())
    });
    let sums = sums.get();
    let percent = |named: u64| 100.0 * (named as f64 / sums.differing.max(1) as f64 - 1.0);
    let (all, grown) = (percent(sums.named), percent(sums.named - sums.grown));
    eprintln!("{sums:?}: the excess is {all:.1} %, and {grown:.1} % without ranges past the old end");
    run.unwrap();
    // Each family has several pairs, and some have siblings; slow hosts check few families.
    assert!(sums.pairs >= 20 && sums.siblings > 0, "{sums:?}");
}
