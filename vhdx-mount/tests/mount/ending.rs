//! A session ends when it is asked to, and when another program unmounts.

use std::fs::{self, File};
use std::sync::Arc;

use vhdx::{Memory, RawDisk};
use vhdx_mount::End;

use crate::mounted::{Mounted, can_mount, run};

fn mounted() -> Mounted {
    let disk = RawDisk::open_with(Memory::new(vec![5; 1 << 20]), "memory").unwrap();
    Mounted::one(Arc::new(disk), &[])
}

fn is_empty(mounted: &Mounted) -> bool {
    fs::read_dir(mounted.path("")).unwrap().next().is_none()
}

#[test]
fn a_session_ends_and_unmounts_when_it_is_asked_to() {
    if !can_mount() {
        return;
    }
    let mut mounted = mounted();
    assert!(!is_empty(&mounted));
    assert_eq!(mounted.stop(), End::Stopped);
    assert!(is_empty(&mounted));
}

#[test]
fn a_session_unmounts_although_a_file_is_open() {
    if !can_mount() {
        return;
    }
    let mut mounted = mounted();
    let file = File::open(mounted.path("disk/disk.raw")).unwrap();
    assert_eq!(mounted.stop(), End::StoppedInUse);
    assert!(is_empty(&mounted));
    drop(file);
}

#[test]
fn a_session_ends_when_another_program_unmounts() {
    if !can_mount() {
        return;
    }
    for lazy in [false, true] {
        let mut mounted = mounted();
        let option = if lazy { "-uz" } else { "-u" };
        run("fusermount3", &[&option, &mounted.path("")]);
        assert_eq!(mounted.wait(), End::Unmounted);
        assert!(is_empty(&mounted));
    }
}
