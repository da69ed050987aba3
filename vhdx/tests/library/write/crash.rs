//! Power fails at every write and every sync while a disk is written to: each sector is old or new, and new after a flush.

use proptest::prelude::*;
use vhdx::DiskType;
use vhdx::ops::replay;
use vhdx_testkit::chains;
use vhdx_testkit::crash::{Sweep, Swept};

use super::script::{Change, Garbled, Script, changes, disk, empty_child, empty_disk};
use crate::common::{MIB, assert_same, cases, report};

fn write(start: u64, count: u64, fill: u8) -> Change {
    Change::Write { start, count, fill }
}

fn zero(start: u64, count: u64) -> Change {
    Change::Zero { start, count }
}

fn unmap(block: u64) -> Change {
    Change::Unmap { start: block * 2048, count: 2048 }
}

/// Over what is there, into new blocks, over several blocks at once; blocks that are freed and taken again.
pub(crate) fn everything() -> Vec<Change> {
    vec![
        write(5, 3, 1),
        write(2048 + 7, 9, 2),
        write(3 * 2048 + 40, 2, 3),
        zero(2048, 2048),
        Change::Flush,
        write(2 * 2048 - 2, 2048 + 4, 4),
        zero(12, 5),
        Change::WriteBytes { start: 3 * MIB - 300, len: 2000, fill: 11 },
        Change::ZeroBytes { start: 100, len: 50 },
        write(4 * 2048 + 3, 1, 5),
        Change::Flush,
        unmap(2),
        write(2048, 2048, 6),
        Change::Reopen,
        zero(3 * 2048 + 41, 30),
        write(2 * 2048 + 1, 1, 7),
        write(9, 2048, 8),
        Change::Flush,
        unmap(0),
        write(1, 1, 9),
        write(2048 + 11, 4, 10),
    ]
}

/// Nothing is written over what counts: whatever a medium does to sectors that are being written, it does no harm.
fn only_to_new_places() -> Vec<Change> {
    vec![
        write(5, 3, 1),
        write(2048 + 5, 3, 2),
        Change::Flush,
        zero(0, 2048),
        write(2 * 2048, 2048, 3),
        Change::Flush,
        write(3 * 2048 + 1, 700, 4),
        unmap(1),
        write(3, 1, 5),
        Change::Reopen,
        zero(2 * 2048, 2048),
        write(2048 + 9, 1, 6),
    ]
}

fn sweep(script: &Script, sweep: &Sweep, garbles_in_place: bool) -> Swept {
    let world = script.world();
    let (history, disk, result) = script.run(&world);
    result.unwrap();
    drop(disk);
    let recording = world.recording();
    let mut total = recording.crash(sweep, |image| {
        script.check(&image.world(), &history.versions_at(image.event()), &Garbled::default());
    });
    total += recording.garbling().crash(&Sweep { exhaustive: 0, ..*sweep }, |image| {
        let garbled = if garbles_in_place { history.garbled_in(image) } else { Garbled::default() };
        script.check(&image.world(), &history.versions_at(image.event()), &garbled);
    });
    report(&script.name, &total);
    total
}

#[test]
fn each_sector_is_old_or_new() {
    for disk_type in [DiskType::Fixed, DiskType::Dynamic, DiskType::Differencing] {
        for log in [false, true] {
            let name = format!("writes to a disk that is {disk_type}, dirty log: {log}");
            let script = Script::new(&name, &disk(disk_type, log), everything());
            let swept = sweep(&script, &Sweep::default(), true);
            assert!(swept.images > 150, "{swept:?}");
        }
    }
}

#[test]
fn a_sector_that_is_not_whole_does_no_harm_in_a_new_place() {
    for (name, model) in [("a dynamic disk", empty_disk()), ("a child", empty_child())] {
        let script = Script::new(&format!("writes to new places of {name}"), &model, only_to_new_places());
        let swept = sweep(&script, &Sweep::default(), false);
        assert!(swept.images > 100, "{swept:?}");
    }
}

/// The disk that the first failure left reads the same wherever power fails in its replay: a torn entry stays torn.
#[test]
fn power_fails_again_in_the_replay() {
    let script = Script::new("replays of what a power failure left", &empty_disk(), only_to_new_places());
    let world = script.world();
    let (_, disk, result) = script.run(&world);
    result.unwrap();
    drop(disk);
    let samples = Sweep::default().samples;
    let sweep = Sweep { exhaustive: 0, samples: 10 * samples, seed: 0 }; // few of them tear an entry
    let few = Sweep { exhaustive: 3, samples: 200, seed: 0 };
    let mut total = Swept::default();
    world.recording().garbling().crash(&sweep, |image| {
        let before = image.world().read_disk(&script.path).unwrap();
        let again = image.world();
        replay(again.storage(&script.path)).unwrap();
        total += again.recording().garbling().crash(&Sweep { seed: image.event() as u64, ..few }, |image| {
            assert_same(&image.world().read_disk(&script.path).unwrap(), &before, "after both failures");
        });
    });
    report(&script.name, &total);
    assert!(total.images > 10_000, "{total:?}");
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn each_sector_is_old_or_new_after_random_changes(
        model in chains(3),
        changes in changes(),
        seed in any::<u64>(),
    ) {
        let script = Script::new("random writes", &model, changes);
        let samples = Sweep::default().samples / 4;
        sweep(&script, &Sweep { exhaustive: 5, samples, seed }, true);
    }
}
