//! Every call fails, one after the other, while a disk is written to: each sector is old or new, nothing more is done with
//! the open disk, and the file can be opened again.

use vhdx::{ChainMut, DiskMut, DiskType, Error, ErrorKind, InvalidState};
use vhdx_testkit::crash::{Calls, CrashWorld, Fault, for_each_failure};

use super::crash::everything;
use super::script::{Change, Garbled, Script, disk, empty_child};
use crate::common::at;

const CHANGING: &[fn(usize) -> Fault] = &[
    Fault::full,
    |number| Fault { partial: true, ..Fault::once(Calls::Writes, number) },
    |number| Fault::forever(Calls::Writes, number),
];
const ANY: &[fn(usize) -> Fault] =
    &[|number| Fault::once(Calls::Any, number), |number| Fault::forever(Calls::Any, number)];

fn assert_refuses_all_changes(mut disk: ChainMut, world: &CrashWorld) {
    assert!(disk.leaf().has_failed());
    let calls = world.calls(Calls::Writes);
    let results = [
        disk.write_all_at(&[1; 512], at(0)),
        disk.write_zeros(at(0)..at(1 << 20)),
        disk.unmap(at(0)..at(1 << 20)),
        disk.flush(),
        disk.close(),
    ];
    for result in results {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::InvalidState(InvalidState::FailedBefore)), "{error}");
    }
    assert_eq!(world.calls(Calls::Writes), calls, "a change that was refused has written");
}

fn let_calls_fail(script: &Script, faults: &[fn(usize) -> Fault]) -> usize {
    let mut calls = 0;
    for fault in faults {
        // A header that cannot be read is as good as a damaged one.
        let is_necessary = fault(0).calls == Calls::Writes;
        calls += for_each_failure(&script.images, fault, |world| {
            let (history, open, result) = script.run(world);
            let left = world.images();
            if let Err(error) = result {
                assert!(world.has_failed(), "{error}");
                assert!(!is_necessary || error.kind() == ErrorKind::Io, "{error}");
                if let Some(open) = open {
                    assert_refuses_all_changes(open, world);
                }
            }
            let versions = history.versions_at(usize::MAX);
            script.check(&CrashWorld::new(left), &versions, &Garbled::default());
            let after_power_failed = world.recording().at_the_end(1);
            script.check(&CrashWorld::new(after_power_failed), &versions, &Garbled::default());
        });
    }
    calls
}

#[test]
fn each_sector_is_old_or_new_and_the_disk_opens_again() {
    for disk_type in [DiskType::Fixed, DiskType::Dynamic, DiskType::Differencing] {
        let changes = [everything(), vec![Change::Reopen]].concat();
        let script = Script::new(&disk_type.to_string(), &disk(disk_type, true), changes);
        let calls = let_calls_fail(&script, CHANGING);
        eprintln!("{disk_type}: {calls} failed calls");
        assert!(calls > 200, "{calls}");
    }
}

#[test]
fn a_child_gets_its_first_blocks() {
    let changes = vec![
        Change::Write { start: 5, count: 9, fill: 1 },
        Change::Zero { start: 2048, count: 2049 },
        Change::Reopen,
        Change::Write { start: 2, count: 4, fill: 2 },
        Change::Unmap { start: 0, count: 4096 },
        Change::Reopen,
    ];
    let script = Script::new("a child", &empty_child(), changes);
    let calls = let_calls_fail(&script, CHANGING) + let_calls_fail(&script, ANY);
    eprintln!("a child: {calls} failed calls");
    assert!(calls > 300, "{calls}");
}
