//! A layer that fails while it is mounted.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use rustix::process::Signal;

use super::mounted::{Mounted, can_mount, mount};
use crate::images::{MIB, family};
use vhdx_testkit::Part;

#[test]
fn a_layer_that_is_truncated_fails_only_where_it_is_needed_and_the_log_names_it() {
    if !can_mount() {
        return;
    }
    let family = family();
    let log = family.path("log");
    let mounted = Mounted::new(&family.leaf(), &["--log".as_ref(), log.as_os_str()]);
    let layout = family.images.base.layout();
    let place = |block: &u64| layout.offset(Part::Payload(*block));
    let lost = [0, 2, 3].into_iter().max_by_key(place).unwrap();
    let base = File::options().write(true).open(family.base()).unwrap();
    base.set_len(place(&lost)).unwrap();
    let file = File::open(mounted.path("base/disk.raw")).unwrap();
    for block in 0..6 {
        let mut page = vec![0; 4096];
        let read = file.read_exact_at(&mut page, block * MIB as u64 + 65536);
        assert_eq!(read.is_err(), block == lost, "block {block}: {read:?}");
    }
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("base/disk.raw") && text.contains(family.base().to_str().unwrap()), "{text}");
    assert!(text.contains(&format!("{:#x}", place(&lost) + 65536)), "{text}");
    mounted.send(Signal::TERM);
    mounted.wait();
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("changed while it was read"), "{text}");
}

#[test]
fn damage_that_is_found_at_the_start_is_an_error() {
    if !can_mount() {
        return;
    }
    let family = family();
    let base = &family.images.base;
    let file = File::options().write(true).open(family.base()).unwrap();
    let entry = base.layout().bat_entry(base.bat_index(3));
    file.write_all_at(&(6_u64 | (1 << 20) << 20).to_le_bytes(), entry).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let error = mount(&family.leaf(), dir.path(), &[OsStr::new("--quiet")]).exits(3).error();
    assert_eq!(error["kind"], "corrupt");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
