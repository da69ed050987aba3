//! The number of threads changes nothing but the time.

use crate::images::{MIB, family};
use crate::run::vhdx;

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    for jobs in ["1", "3", "64", "1000000"] {
        let family = family();
        let (leaf, raw) = (family.leaf(), family.path("disk.raw"));
        let ran =
            vhdx(["convert".as_ref(), leaf.as_os_str(), "-".as_ref(), "--jobs".as_ref(), jobs.as_ref()]);
        assert!(ran.exits(0).stdout == family.content);
        vhdx(["convert".as_ref(), leaf.as_os_str(), raw.as_os_str(), "-j".as_ref(), jobs.as_ref()]).exits(0);
        assert!(std::fs::read(&raw).unwrap() == family.content);
        vhdx(["compare".as_ref(), leaf.as_os_str(), raw.as_os_str(), "-j".as_ref(), jobs.as_ref()]).exits(0);
        let mut changed = family.content.clone();
        changed[3 * MIB + 5] ^= 1;
        changed[MIB + 7] ^= 1;
        std::fs::write(&raw, changed).unwrap();
        let ran = vhdx([
            "compare".as_ref(),
            leaf.as_os_str(),
            raw.as_os_str(),
            "--json".as_ref(),
            "-j".as_ref(),
            jobs.as_ref(),
        ]);
        assert_eq!(ran.exits(1).json()["first_difference"], MIB + 7);
        vhdx(["merge".as_ref(), leaf.as_os_str(), "-j".as_ref(), jobs.as_ref()]).exits(0);
        let ran = vhdx(["convert".as_ref(), leaf.with_file_name("mid.avhdx").as_os_str(), "-".as_ref()]);
        assert!(ran.exits(0).stdout == family.content);
    }
}

#[test]
fn no_thread_is_a_usage_error() {
    let family = family();
    for jobs in ["0", "-1", "x", ""] {
        let ran = vhdx([
            "convert".as_ref(),
            family.leaf().as_os_str(),
            "-".as_ref(),
            "--jobs".as_ref(),
            jobs.as_ref(),
        ]);
        ran.exits(2);
    }
}
