//! `convert --in-place` overwrites block devices. The tests use loop devices.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use vhdx_testkit::shared;

use crate::images::{MIB, family};
use crate::run;

const OLD: u8 = 0xff;

/// A loop device, detached when it is dropped.
struct Loop(PathBuf);

impl Loop {
    fn of(file: &Path) -> Option<Self> {
        Self::with(&[], file)
    }

    fn with(options: &[&str], file: &Path) -> Option<Self> {
        shared::program("losetup")?;
        let out =
            Command::new("losetup").args(["--find", "--show"]).args(options).arg(file).output().unwrap();
        if !out.status.success() {
            let why = String::from_utf8_lossy(&out.stderr).into_owned();
            return shared::skip(&format!("this user can make no loop device: {why}"));
        }
        Some(Self(String::from_utf8(out.stdout).unwrap().trim().into()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

#[track_caller]
fn done<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) {
    let out = Command::new(program).args(args).output().unwrap();
    assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
}

fn filled(path: &Path, len: usize) {
    fs::write(path, vec![OLD; len]).unwrap();
}

#[test]
fn a_device_becomes_the_disk() {
    let family = family();
    let (size, file) = (family.content.len(), family.path("behind.img"));
    for sector_size in ["512", "4096"] {
        filled(&file, size + MIB);
        let Some(device) = Loop::with(&["--sector-size", sector_size], &file) else { return };
        let dry =
            run!("convert", family.leaf(), device.0, "--in-place", "--dry-run", "--json").exits(0).json();
        assert_eq!((&dry["bytes_copied"], &dry["bytes_kept"]), (&json!(4 * MIB), &json!(MIB)));
        assert!(fs::read(&device.0).unwrap().iter().all(|&byte| byte == OLD));
        let answer = run!("convert", family.leaf(), device.0, "--in-place", "--json").exits(0).json();
        assert_eq!((&answer["bytes_copied"], &answer["bytes_zeroed"]), (&json!(4 * MIB), &json!(2 * MIB)));
        assert_eq!(answer["file_size"], size + MIB);
        let found = fs::read(&device.0).unwrap();
        assert!(found[..size] == family.content && found[size..].iter().all(|&byte| byte == OLD));
        drop(device);
        // The file behind the device has the synced content.
        assert!(fs::read(&file).unwrap() == found);
    }
}

/// The zeros begin and end inside sectors of the device that also have data.
#[test]
fn zeros_that_do_not_fill_whole_sectors_of_the_device() {
    let folder = tempfile::tempdir().unwrap();
    let (source, file) = (folder.path().join("source.raw"), folder.path().join("behind.img"));
    let mut content = vec![0; 6 * MIB + 512];
    for at in [0, 512, 2 * MIB + 3 * 512, 4 * MIB + 512, 6 * MIB] {
        content[at..at + 512].fill(at as u8 | 1);
    }
    let to = fs::File::create(&source).unwrap();
    to.set_len(content.len() as u64).unwrap();
    for (at, sector) in content.chunks(512).enumerate().filter(|(_, sector)| sector[0] != 0) {
        to.write_all_at(sector, at as u64 * 512).unwrap();
    }
    for sector_size in ["512", "4096"] {
        filled(&file, 7 * MIB);
        let Some(device) = Loop::with(&["--sector-size", sector_size], &file) else { return };
        run!("convert", source, device.0, "--in-place", "--quiet").exits(0);
        drop(device);
        let found = fs::read(&file).unwrap();
        assert!(found[..content.len()] == content);
        assert!(found[content.len()..].iter().all(|&byte| byte == OLD));
    }
}

#[test]
fn a_device_that_is_too_small_or_read_only() {
    let family = family();
    let file = family.path("behind.img");
    filled(&file, family.content.len() - 512);
    let Some(device) = Loop::of(&file) else { return };
    let error = run!("convert", family.leaf(), device.0, "--in-place", "--json").exits(2).error();
    assert_eq!(error["path"], json!(device.0));
    drop(device);
    assert!(fs::read(&file).unwrap().iter().all(|&byte| byte == OLD));
    filled(&file, family.content.len());
    let Some(device) = Loop::with(&["--read-only"], &file) else { return };
    let error = run!("convert", family.leaf(), device.0, "--in-place", "--json").exits(6).error();
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("cannot open for writing") && !message.contains("partly"), "{message}");
}

#[test]
fn a_device_that_is_mounted() {
    let family = family();
    let (file, folder) = (family.path("behind.img"), tempfile::tempdir().unwrap());
    fs::File::create(&file).unwrap().set_len(16 << 20).unwrap();
    let Some(device) = Loop::of(&file) else { return };
    if ["mkfs.ext4", "mount"].iter().any(|program| shared::program(program).is_none()) {
        return;
    }
    done("mkfs.ext4", ["-q".as_ref(), device.0.as_os_str()]);
    done("mount", [device.0.as_os_str(), folder.path().as_os_str()]);
    let refused = std::panic::catch_unwind(|| {
        for option in ["--in-place", "--dry-run"] {
            let ran = run!(
                "convert",
                family.leaf(),
                device.0,
                "--in-place",
                option.replace("--in-place", "--quiet")
            );
            let ran = ran.exits(6);
            let said = ["cannot lock", "mounted or otherwise in use", "hint: unmount"];
            assert!(said.iter().all(|words| ran.stderr.contains(words)), "{}", ran.stderr);
            assert!(!ran.stderr.contains("partly"), "{}", ran.stderr);
        }
    });
    done("umount", [folder.path()]);
    refused.unwrap();
    done("e2fsck", ["-fn".as_ref(), device.0.as_os_str()]);
    run!("convert", family.leaf(), device.0, "--in-place").exits(0);
    assert!(fs::read(&device.0).unwrap()[..family.content.len()] == family.content);
}

#[test]
fn a_file_behind_a_device_and_a_device_made_of_a_source() {
    let family = family();
    let file = family.path("behind.img");
    filled(&file, family.content.len());
    let Some(device) = Loop::of(&file) else { return };
    let error = run!("convert", family.leaf(), file, "--in-place", "--json").exits(6).error();
    let name = device.0.file_name().unwrap().to_str().unwrap();
    assert!(error["message"].as_str().unwrap().contains(name), "{error}");
    let source = run!("convert", file, device.0, "--in-place", "--json", "--from", "raw").exits(2).error();
    assert!(source["message"].as_str().unwrap().contains("one of the sources"), "{source}");
    drop(device);
    let Some(device) = Loop::of(&family.leaf()) else { return };
    let option = ["--in-place", "--to", "raw", "--json"];
    let error =
        run!("convert", family.leaf(), device.0, option[0], option[1], option[2], option[3]).exits(2).error();
    assert!(error["message"].as_str().unwrap().contains("one of the sources"), "{error}");
}

#[test]
fn other_devices_are_no_targets() {
    let family = family();
    for device in ["/dev/null", "/dev/zero"] {
        let error = run!("convert", family.leaf(), device, "--in-place", "--json").exits(2).error();
        assert!(error["message"].as_str().unwrap().contains("neither a regular file nor"), "{error}");
    }
}

/// `--force` never replaces a device.
#[test]
fn a_device_as_the_destination_gets_a_hint_for_in_place() {
    let family = family();
    let file = family.path("behind.img");
    filled(&file, family.content.len());
    let Some(device) = Loop::of(&file) else { return };
    for options in [&["--quiet"][..], &["--to", "raw"], &["--to", "raw", "--force"], &["--to", "vhdx"]] {
        let args = ["convert".into(), family.leaf(), device.0.clone()];
        let refused = run::vhdx(args.into_iter().chain(options.iter().map(PathBuf::from))).exits(2).stderr;
        assert!(refused.contains("--in-place"), "{refused}");
        assert!(!refused.contains("`--force`") && !refused.contains("add --to"), "{refused}");
    }
    drop(device);
    assert!(fs::read(&file).unwrap().iter().all(|&byte| byte == OLD));
}
