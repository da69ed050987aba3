//! Signals unmount the folder.

use std::fs::{self, File};
use std::io::Read;

use rustix::process::{Pid, Signal, kill_process};

use super::mounted::{Mounted, can_mount, foreground, mount, unmount, wait_until};
use crate::images::family;
use crate::run::{interrupt, ran};

#[test]
fn signals_unmount_and_end_the_process_in_the_background() {
    if !can_mount() {
        return;
    }
    let family = family();
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let mounted = Mounted::new(&family.leaf(), &[]);
        mounted.send(signal);
        mounted.wait();
        assert_eq!(fs::read_dir(mounted.dir.path()).unwrap().count(), 0, "{signal:?}");
    }
}

#[test]
fn a_signal_unmounts_although_a_file_is_open() {
    if !can_mount() {
        return;
    }
    let family = family();
    let log = family.path("log");
    let mounted = Mounted::new(&family.leaf(), &["--log".as_ref(), log.as_os_str()]);
    let mut file = File::open(mounted.path("latest/disk.raw")).unwrap();
    let mut sector = [0; 512];
    file.read_exact(&mut sector).unwrap();
    mounted.send(Signal::TERM);
    mounted.wait();
    assert_eq!(fs::read_dir(mounted.dir.path()).unwrap().count(), 0);
    assert!(fs::read_to_string(log).unwrap().contains("is unmounted although files in it are open"));
    // No program waits for a server that is gone.
    assert!(file.read_to_end(&mut Vec::new()).is_err());
}

#[test]
fn ctrl_c_ends_the_foreground() {
    if !can_mount() {
        return;
    }
    let family = family();
    let dir = tempfile::tempdir().unwrap();
    let child = foreground(&family.leaf(), dir.path());
    assert!(fs::read(dir.path().join("latest/disk.raw")).unwrap() == family.content);
    interrupt(&child);
    let ran = ran(child.wait_with_output().unwrap()).exits(0);
    assert!(ran.text().contains("Ctrl-C"), "{}", ran.text());
    assert_eq!((ran.stderr.as_str(), fs::read_dir(dir.path()).unwrap().count()), ("", 0));
}

#[test]
fn the_foreground_ends_when_another_program_unmounts() {
    if !can_mount() {
        return;
    }
    let family = family();
    let dir = tempfile::tempdir().unwrap();
    let child = foreground(&family.leaf(), dir.path());
    unmount(dir.path());
    assert_eq!(ran(child.wait_with_output().unwrap()).exits(0).stderr, "");
}

#[test]
fn a_killed_server_leaves_a_folder_and_the_error_says_how_to_clean_it() {
    if !can_mount() {
        return;
    }
    let family = family();
    let dir = tempfile::tempdir().unwrap();
    let mut child = foreground(&family.leaf(), dir.path());
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    wait_until("the connection has ended", || fs::read_dir(dir.path()).is_err());
    let error = mount(&family.leaf(), dir.path(), &[]).exits(6).error();
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("fusermount3 -u"), "{error}");
    unmount(dir.path());
    // The folder is as it was before.
    let child = foreground(&family.leaf(), dir.path());
    interrupt(&child);
    ran(child.wait_with_output().unwrap()).exits(0);
}
