//! Commands that read whole disks while other programs write to the files. Only on Unix can a program write to a locked
//! file, or read a file that is open for writing.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use vhdx::{DiskOffset, FileStorage, VhdxMut};

use crate::images::{Family, family, names};
use crate::run;
use crate::run::{Ran, command, ran, vhdx};

/// A running `convert DISK -`. It waits in the middle, because a pipe has less room than the disk needs.
struct Slow {
    child: Child,
    first: Vec<u8>,
}

impl Slow {
    fn convert(disk: &Path, options: &[&str]) -> Self {
        let mut convert = command();
        convert.arg("convert").arg(disk).arg("-").args(options);
        let mut child = convert.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = vec![0; 4096];
        child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        Self { child, first }
    }

    /// Reads the rest, and returns the disk and the result of the command.
    fn finish(mut self) -> (Vec<u8>, Ran) {
        let mut disk = self.first;
        self.child.stdout.take().unwrap().read_to_end(&mut disk).unwrap();
        (disk, ran(self.child.wait_with_output().unwrap()))
    }
}

/// Writes to a file like a program that ignores locks.
fn write_without_a_lock(path: &Path) {
    let mut file = File::options().append(true).open(path).unwrap();
    file.write_all(&[0; 1 << 20]).unwrap();
}

/// Changes the time of a file's last change, as a write in place does.
fn write_in_place(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    // File times may be coarser than the duration of this test.
    file.set_modified(SystemTime::now() + Duration::from_secs(2)).unwrap();
}

#[track_caller]
fn changed(ran: Ran, path: &Path) {
    let ran = ran.exits(6);
    for word in [path.to_str().unwrap(), "changed while it was read", "not reliable", "do not use the result"]
    {
        assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
    }
}

#[test]
fn a_merge_is_refused_while_a_disk_is_read() {
    let family = family();
    let before = family.files();
    let slow = Slow::convert(&family.leaf(), &[]);
    let error = run!("merge", family.mid(), "--json").exits(6).error();
    assert_eq!(error["kind"], "conflict", "{error}");
    assert!(error["message"].as_str().unwrap().contains("another program has the file open"), "{error}");
    // Other readers are allowed.
    assert!(run!("convert", family.leaf(), "-").exits(0).stdout == family.content);
    run!("check", family.leaf(), "--chain").exits(0);
    let (disk, ran) = slow.finish();
    ran.exits(0);
    assert!(disk == family.content);
    assert!(family.files() == before);
    run!("merge", family.mid()).exits(0);
}

#[test]
fn convert_to_stdout_fails_if_a_layer_changed() {
    let changes: [fn(&Path); 2] = [write_without_a_lock, write_in_place];
    for change in changes {
        for name in ["base.vhdx", "mid.avhdx", "leaf.avhdx"] {
            let family = family();
            let slow = Slow::convert(&family.leaf(), &[]);
            change(&family.path(name));
            changed(slow.finish().1, &family.path(name));
        }
        let family = family();
        let raw = family.path("disk.raw");
        fs::write(&raw, &family.content).unwrap();
        let slow = Slow::convert(&raw, &["--from", "raw"]);
        change(&raw);
        changed(slow.finish().1, &raw);
    }
    let family = family();
    let slow = Slow::convert(&family.leaf(), &["--json"]);
    write_without_a_lock(&family.base());
    let error = slow.finish().1.exits(6).error();
    assert_eq!((&error["kind"], &error["path"]), (&json!("conflict"), &json!(family.base())), "{error}");
}

/// Makes a disk that takes a while to read: one sector of data, and 2 GiB of zeros in allocated blocks.
fn long_disk(folder: &Path) -> PathBuf {
    let disk = folder.join("long.vhdx");
    run!("create", disk, "--size", "2G", "--type", "fixed").exits(0);
    let mut file = VhdxMut::open(&disk).unwrap();
    file.write_all_at(&[1; 512], DiskOffset::new(0)).unwrap();
    file.close().unwrap();
    disk
}

/// Runs a command, and changes its source as soon as `has_begun` is true.
fn change_meanwhile(args: &[&str], disk: &Path, has_begun: impl Fn() -> bool) -> Ran {
    let mut running = command();
    let child = running.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while !has_begun() {
        assert!(Instant::now() < until, "it did not begin");
        std::thread::sleep(Duration::from_millis(1));
    }
    write_in_place(disk);
    ran(child.wait_with_output().unwrap())
}

#[test]
fn no_new_file_is_left_if_the_source_changed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = long_disk(folder.path());
    let source = disk.to_str().unwrap();
    for (new, command) in [("new.raw", "convert"), ("new.vhdx", "convert"), ("merged.vhdx", "merge")] {
        let path = folder.path().join(new);
        let path = path.to_str().unwrap();
        let args = match command {
            "merge" => vec![command, source, "--output", path],
            _ => vec![command, source, path],
        };
        let has_begun = || names(folder.path()).iter().any(|name| name.ends_with(".part"));
        changed(change_meanwhile(&args, &disk, has_begun), &disk);
        assert_eq!(names(folder.path()), ["long.vhdx"], "{new}");
    }
}

#[test]
fn the_target_is_reported_as_unusable_if_the_source_changed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = long_disk(folder.path());
    let target = folder.path().join("target.raw");
    File::create(&target).unwrap().set_len(2 << 30).unwrap();
    let source = disk.to_str().unwrap();
    let stamp = || target.metadata().unwrap().modified().unwrap();
    let before = stamp();
    let args = ["convert", source, target.to_str().unwrap(), "--in-place", "--target-is-zero"];
    let ran = change_meanwhile(&args, &disk, || stamp() != before);
    assert!(ran.stderr.contains("target.raw is partly overwritten"), "{}", ran.stderr);
    changed(ran, &disk);
}

/// Returns the commands that read the whole disk of the leaf. Two of them make the file `new.vhdx`.
fn readers(family: &Family) -> Vec<Vec<PathBuf>> {
    let (leaf, new) = (family.leaf(), family.path("new.vhdx"));
    let command = |words: &[&Path]| words.iter().map(|word| word.to_path_buf()).collect();
    let word = Path::new;
    vec![
        command(&[word("convert"), &leaf, word("-")]),
        command(&[word("convert"), &leaf, &new]),
        command(&[word("compare"), &leaf, &leaf]),
        command(&[word("hash"), &leaf]),
        command(&[word("hash"), &leaf, word("--blocks"), word("1M")]),
        command(&[word("check"), &leaf, word("--chain")]),
        command(&[word("merge"), &leaf, word("--output"), &new]),
    ]
}

#[test]
fn files_held_by_a_writer_need_force_share() {
    let family = family();
    for name in ["base.vhdx", "mid.avhdx", "leaf.avhdx"] {
        let path = family.path(name);
        let held = FileStorage::open_exclusive(&path).unwrap();
        for words in readers(&family) {
            let run = |extra: &[&str]| {
                let _ = fs::remove_file(family.path("new.vhdx"));
                vhdx(words.iter().cloned().chain(extra.iter().map(PathBuf::from)))
            };
            let refused = run(&[]).exits(6).stderr;
            assert!(refused.contains(name) && refused.contains("`--force-share`"), "{words:?}: {refused}");
            assert!(!family.path("new.vhdx").exists());
            let forced = run(&["--force-share"]).exits(0).stderr;
            assert!(forced.contains("warning: ") && forced.contains(name), "{words:?}: {forced}");
            assert!(forced.contains("open for writing"), "{words:?}: {forced}");
            let forced = run(&["--force-share", "--json"]).exits(0);
            let answer = match forced.stderr.is_empty() {
                true => forced.json(),
                false => serde_json::from_str(&forced.stderr).unwrap(),
            };
            assert_eq!(answer["held_by_writer"], json!([path]), "{words:?}");
        }
        drop(held);
    }
    let raw = family.path("disk.raw");
    fs::write(&raw, &family.content).unwrap();
    let held = FileStorage::open_exclusive(&raw).unwrap();
    run!("convert", raw, "-").exits(6);
    run!("compare", family.leaf(), raw).exits(6);
    run!("check", family.leaf()).exits(0);
    assert!(run!("convert", raw, "-", "--force-share").exits(0).stdout == family.content);
    run!("compare", family.leaf(), raw, "--force-share").exits(0);
    drop(held);
    run!("merge", family.leaf(), "--force-share").exits(2);
}

/// Commands that read only metadata can read a disk in use.
#[test]
fn metadata_of_a_disk_in_use_can_be_read() {
    let family = family();
    let _held = FileStorage::open_exclusive(&family.leaf()).unwrap();
    for command in ["info", "chain", "map"] {
        run!(command, family.leaf()).exits(0);
    }
    run!("tree", family.folder.path()).exits(0);
}

/// Evidence is often on read-only media or in read-only files.
#[cfg(target_os = "linux")]
#[test]
fn files_that_cannot_be_written_to_are_read() {
    let family = family();
    for path in [family.base(), family.mid(), family.leaf()] {
        let mut permissions = path.metadata().unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).unwrap();
    }
    assert!(run!("convert", family.leaf(), "-").exits(0).stdout == family.content);
    let Some(private) = crate::private::Private::read_only("base.vhdx", family.folder.path()) else { return };
    for words in [vec!["convert".into(), family.leaf(), "-".into()], vec!["check".into(), family.leaf()]] {
        private.vhdx(words).exits(0);
    }
}
