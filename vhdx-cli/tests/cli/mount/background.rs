//! The files are there when the command returns, and a process in the background serves them.

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use vhdx::VhdxMut;

use super::mounted::{Mounted, can_mount, mount, unmount};
use crate::images::{MIB, SIZE, family};
use crate::run;
use crate::run::{command, output};

#[test]
fn every_checkpoint_can_be_read_when_the_command_returns() {
    if !can_mount() {
        return;
    }
    let family = family();
    let before = family.files();
    let mounted = Mounted::new(&family.leaf(), &[]);
    assert!(fs::read(mounted.path("latest/disk.raw")).unwrap() == family.content);
    for (name, file) in [("leaf", family.leaf()), ("mid", family.mid()), ("base", family.base())] {
        let expected = run!("convert", file, "-").exits(0).stdout;
        let found = fs::read(mounted.path(name).join("disk.raw")).unwrap();
        assert!(found == expected, "{name} has other bytes");
    }
    assert!(fs::read_dir(mounted.dir.path()).unwrap().count() == 4);
    Command::new("fusermount3").arg("-u").arg(mounted.dir.path()).status().unwrap();
    mounted.wait();
    assert_eq!(fs::read_dir(mounted.dir.path()).unwrap().count(), 0);
    assert!(family.files() == before, "a file was changed");
}

#[test]
fn the_answer_and_the_info_have_the_agreed_keys() {
    if !can_mount() {
        return;
    }
    let family = family();
    let mounted = Mounted::new(&family.leaf(), &[]);
    let checkpoint =
        |name: &str, path| json!({ "name": name, "path": path, "virtual_size": SIZE, "partitions": [] });
    let expected = json!({
        "mountpoint": mounted.dir.path().canonicalize().unwrap(),
        "checkpoints": [
            checkpoint("leaf", family.leaf()),
            checkpoint("mid", family.mid()),
            checkpoint("base", family.base()),
        ],
        "pid": mounted.answer["pid"],
        "unfinished": [],
        "found_by_guid": [],
        "left_over": [],
        "bat_entries": [],
        "held_by_writer": [],
    });
    assert_eq!(mounted.answer, expected);
    let info: Value = serde_json::from_slice(&fs::read(mounted.path("mid/info.json")).unwrap()).unwrap();
    let expected = json!({
        "name": "mid",
        "path": family.mid(),
        "layers": [family.mid(), family.base()],
        "type": "differencing",
        "virtual_size": SIZE,
        "logical_sector_size": 512,
        "data_write_guid": family.images.mid.data_write_guid.to_string(),
        "modified": info["modified"],
        "partitions": [],
        "contents": info["contents"],
        "contents_error": null,
    });
    assert_eq!(info, expected);
    assert_eq!(info["contents"]["partitions"], json!([]));
    let modified = |path| fs::metadata(path).unwrap().modified().unwrap();
    assert_eq!(modified(mounted.path("mid/disk.raw")), modified(family.mid()));
}

#[test]
fn the_text_answer_says_how_to_unmount() {
    if !can_mount() {
        return;
    }
    let family = family();
    // Inside the folder of the chain: that is allowed.
    let dir = family.path("mounted here");
    fs::create_dir(&dir).unwrap();
    let text = run!("mount", family.leaf(), &dir).exits(0).text();
    unmount(&dir);
    assert!(
        text.contains(&format!("{}/leaf/disk.raw: {}\n", dir.display(), family.leaf().display())),
        "{text}"
    );
    assert!(text.contains("latest leads to leaf\n"), "{text}");
    assert!(text.contains(&format!("to unmount: `fusermount3 -u '{}'`", dir.display())), "{text}");
}

#[test]
fn the_process_keeps_nothing_of_its_caller_open() {
    if !can_mount() {
        return;
    }
    let family = family();
    let dir = tempfile::tempdir().unwrap();
    let mut command = command();
    command.arg("mount").arg(family.leaf()).arg(dir.path()).current_dir(family.folder.path());
    // This only returns when nobody has the pipes open any more.
    let ran = output(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(dir.path().join("latest/disk.raw").exists());
    unmount(dir.path());
}

#[test]
fn the_files_are_locked_against_writers_while_they_are_mounted() {
    if !can_mount() {
        return;
    }
    let family = family();
    let mounted = Mounted::new(&family.leaf(), &[]);
    for file in [family.leaf(), family.mid(), family.base()] {
        assert!(VhdxMut::open(&file).is_err(), "{} can be written", file.display());
    }
    unmount(mounted.dir.path());
    mounted.wait();
    assert!(VhdxMut::open(family.leaf()).is_ok());
}

#[test]
fn a_file_that_a_writer_has_is_mounted_only_by_force() {
    if !can_mount() {
        return;
    }
    let family = family();
    let writer = VhdxMut::open(family.leaf()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let error = mount(&family.leaf(), dir.path(), &[]).exits(6).error();
    assert!(error["hint"].as_str().unwrap().contains("--force-share"), "{error}");
    let mounted = Mounted::new(&family.leaf(), &[OsStr::new("--force-share")]);
    assert_eq!(mounted.answer["held_by_writer"], json!([family.leaf()]));
    assert_eq!(fs::read(mounted.path("latest/disk.raw")).unwrap().len(), 6 * MIB);
    drop(writer);
}

#[test]
fn failures_have_the_exit_code_of_the_process_in_the_background() {
    if !can_mount() {
        return;
    }
    let family = family();
    let dir = tempfile::tempdir().unwrap();
    let kind = |ran: crate::run::Ran, code| ran.exits(code).error()["kind"].as_str().unwrap().to_owned();
    assert_eq!(kind(mount(&family.path("missing.vhdx"), dir.path(), &[]), 6), "io");
    fs::write(family.path("garbage.vhdx"), vec![7; MIB]).unwrap();
    assert_eq!(kind(mount(&family.path("garbage.vhdx"), dir.path(), &[]), 3), "corrupt");
    fs::remove_file(family.base()).unwrap();
    assert_eq!(kind(mount(&family.leaf(), dir.path(), &[]), 5), "chain");
    for place in [family.folder.path(), &family.path("missing"), &family.leaf()] {
        assert_eq!(kind(mount(&family.leaf(), place, &[]), 2), "usage", "{}", place.display());
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
