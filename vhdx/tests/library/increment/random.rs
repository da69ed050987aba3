//! Random families: the new file on the old disk reads as the new disk.

use std::cell::Cell;

use proptest::test_runner::{Config, TestRunner};
use vhdx_testkit::families;

use super::check;
use crate::common::cases;
use crate::diff::Members;

#[test]
fn an_increment_on_the_old_disk_reads_as_the_new_disk() {
    let made = Cell::new(0_u64);
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..cases(500) });
    let run = runner.run(&families(5), |(model, siblings)| {
        let members = Members::of(&model, &siblings);
        for (old, new) in members.pairs().filter(|(old, new)| new.descends_from(old)) {
            check(old, new);
            made.set(made.get() + 1);
        }
        Ok(())
    });
    eprintln!("{} increments", made.get());
    run.unwrap();
}
