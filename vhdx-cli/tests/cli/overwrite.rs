//! `convert --in-place` overwrites files: their content afterwards, and the files that are refused.

use std::fs;

use serde_json::json;
use vhdx::FileStorage;

use crate::images::{Family, MIB, SIZE, family};
use crate::run;

/// A byte that no disk of these tests contains.
const OLD: u8 = 0xff;

fn old(family: &Family, name: &str, len: usize) -> std::path::PathBuf {
    let path = family.path(name);
    fs::write(&path, vec![OLD; len]).unwrap();
    path
}

#[test]
fn the_disk_is_written_and_bytes_past_its_end_stay() {
    let family = family();
    let size = family.content.len();
    let same = old(&family, "same.img", size);
    let answer = run!("convert", family.leaf(), same, "--in-place", "--json").exits(0).json();
    assert!(fs::read(&same).unwrap() == family.content);
    assert_eq!((&answer["bytes_copied"], &answer["bytes_zeroed"]), (&json!(4 * MIB), &json!(2 * MIB)));
    assert_eq!((&answer["in_place"], &answer["target_is_zero"]), (&json!(true), &json!(false)));
    assert_eq!((&answer["virtual_size"], &answer["file_size"]), (&json!(SIZE), &json!(SIZE)));
    assert_eq!((&answer["bytes_kept"], &answer["format"]), (&json!(0), &json!("raw")));
    assert_eq!((&answer["dropped"], &answer["stale"]), (&json!([]), &json!([])));
    run!("compare", family.leaf(), same).exits(0);

    let larger = old(&family, "larger", size + 700);
    let text = run!("convert", family.leaf(), larger, "--in-place").exits(0).text();
    assert!(text.starts_with("overwrote ") && text.contains("700 bytes of "), "{text}");
    let found = fs::read(&larger).unwrap();
    assert!(found[..size] == family.content && found[size..] == [OLD; 700]);
    let answer = run!("convert", family.leaf(), larger, "--in-place", "--json").exits(0).json();
    assert_eq!((&answer["bytes_kept"], &answer["file_size"]), (&json!(700), &json!(SIZE + 700)));
}

#[test]
fn target_is_zero_writes_only_data_that_is_not_zero() {
    let family = family();
    let target = family.path("disk.raw");
    fs::write(&target, vec![0; family.content.len()]).unwrap();
    let flags = ["--in-place", "--target-is-zero"];
    let answer = run!("convert", family.leaf(), target, flags[0], flags[1], "--json").exits(0).json();
    assert!(fs::read(&target).unwrap() == family.content);
    assert_eq!((&answer["bytes_zeroed"], &answer["target_is_zero"]), (&json!(0), &json!(true)));
    // The option is trusted: old data stays where the disk is zero.
    old(&family, "disk.raw", family.content.len());
    run!("convert", family.leaf(), target, flags[0], flags[1]).exits(0);
    assert_eq!(fs::read(&target).unwrap()[4 * MIB], OLD);
}

#[test]
fn a_raw_source_that_ends_in_a_sector() {
    let family = family();
    let source = family.path("source.raw");
    let mut content = family.content.clone();
    content.extend([7; 700]);
    fs::write(&source, &content).unwrap();
    let target = old(&family, "disk.raw", content.len());
    run!("convert", source, target, "--in-place").exits(0);
    assert!(fs::read(&target).unwrap() == content);
}

#[test]
fn a_dry_run_overwrites_nothing() {
    let family = family();
    let target = old(&family, "disk.raw", family.content.len() + 512);
    let before = family.files();
    let convert = |option| run!("convert", family.leaf(), target, "--in-place", "--dry-run", option);
    let answer = convert("--json").exits(0).json();
    assert_eq!((&answer["dry_run"], &answer["bytes_copied"]), (&json!(true), &json!(4 * MIB)));
    assert_eq!((&answer["bytes_zeroed"], &answer["bytes_kept"]), (&json!(2 * MIB), &json!(512)));
    assert!(convert("--quiet").exits(0).text().starts_with("would overwrite "));
    let held = FileStorage::open_exclusive(&target).unwrap();
    convert("--json").exits(6);
    drop(held);
    assert_eq!(family.files(), before);
}

#[test]
fn invalid_command_lines() {
    let family = family();
    let target = old(&family, "disk.raw", family.content.len());
    let before = family.files();
    let leaf = family.leaf();
    for extra in ["--force", "--type=fixed", "--block-size=2M", "--to=vhdx"] {
        run!("convert", leaf, target, "--in-place", extra).exits(2);
    }
    run!("convert", leaf, "-", "--in-place").exits(2);
    run!("convert", leaf, target, "--target-is-zero").exits(2);
    run!("convert", leaf, family.folder.path(), "--in-place").exits(2);
    run!("convert", leaf, family.path("absent.raw"), "--in-place").exits(6);
    assert_eq!(family.files(), before);
}

#[test]
fn targets_that_must_not_be_overwritten_are_refused() {
    let family = family();
    let small = old(&family, "small.raw", family.content.len() - 1);
    let used = old(&family, "used.raw", family.content.len());
    let other = family.path("other.vhdx");
    run!("convert", family.leaf(), other, "--type", "fixed").exits(0);
    let renamed = family.path("renamed.raw");
    fs::copy(&other, &renamed).unwrap();
    let named = old(&family, "named.vhdx", family.content.len());
    let mut qcow2 = b"QFI\xfb".to_vec();
    qcow2.resize(family.content.len(), 0);
    let foreign = family.path("foreign.img");
    fs::write(&foreign, qcow2).unwrap();
    let held = FileStorage::open_exclusive(&used).unwrap();
    // On Windows, a file that is open for writing cannot be read.
    let before = if cfg!(windows) { None } else { Some(family.files()) };

    let refused = |target: &std::path::Path, code, words: &[&str]| {
        let error = run!("convert", family.leaf(), target, "--in-place", "--json").exits(code).error();
        assert_eq!(error["path"], json!(target), "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
        assert!(!message.contains("partly"), "{message}");
    };
    refused(&small, 2, &["too few", &SIZE.to_string()]);
    refused(&used, 6, &["another program"]);
    for vhdx in [&other, &renamed, &named] {
        refused(vhdx, 4, &["looks like a VHDX image", "--to raw overwrites it"]);
    }
    refused(&foreign, 4, &["looks like a QCOW2 image"]);
    for source in [family.base(), family.mid(), family.leaf()] {
        refused(&source, 2, &["one of the sources"]);
        run!("convert", family.leaf(), source, "--in-place", "--to", "raw").exits(2);
    }
    drop(held);
    assert!(before.is_none_or(|before| before == family.files()));
    run!("convert", family.leaf(), renamed, "--in-place", "--to", "raw").exits(0);
    assert!(fs::read(&renamed).unwrap()[..family.content.len()] == family.content);
}

#[cfg(unix)]
#[test]
fn a_link_leads_to_the_target_and_to_a_source() {
    let family = family();
    let target = old(&family, "disk.raw", family.content.len());
    let (to_target, to_source) = (family.path("to-target"), family.path("to-source"));
    std::os::unix::fs::symlink(&target, &to_target).unwrap();
    fs::hard_link(family.mid(), &to_source).unwrap();
    let before = family.files();
    run!("convert", family.leaf(), to_source, "--in-place", "--to", "raw").exits(2);
    assert_eq!(family.files(), before);
    run!("convert", family.leaf(), to_target, "--in-place").exits(0);
    assert!(fs::read(&target).unwrap() == family.content);
}

#[test]
fn an_unreadable_source_fails_before_the_target_changes() {
    let family = family();
    let image = &family.images.base;
    let mut file = image.sparse();
    file.write(image.layout().bat_entry(image.bat_index(3)), &((1u64 << 40) | 6).to_le_bytes());
    file.write_to(&family.base()).unwrap();
    let target = old(&family, "disk.raw", family.content.len());
    let error = run!("convert", family.leaf(), target, "--in-place", "--json").exits(3).error();
    assert!(!error["message"].as_str().unwrap().contains("partly"), "{error}");
    assert!(fs::read(&target).unwrap() == vec![OLD; family.content.len()]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_failed_overwrite_reports_the_state_of_the_target() {
    let family = family();
    let folder = tempfile::tempdir().unwrap();
    let Some(private) = crate::private::Private::small(2, folder.path()) else { return };
    let target = folder.path().join("disk.raw");
    fs::File::create(private.seen(&target)).unwrap().set_len(SIZE).unwrap();
    for option in ["--in-place", "--target-is-zero"] {
        let convert = ["convert".into(), family.leaf(), target.clone(), "--in-place".into(), "--json".into()];
        let convert = convert.into_iter().chain((option == "--target-is-zero").then(|| option.into()));
        let error = private.vhdx(convert).exits(6).error();
        assert_eq!((&error["kind"], &error["path"]), (&json!("io"), &json!(target)), "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("No space") && message.contains("is partly overwritten"), "{message}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_overwrite_reports_the_state_of_the_target() {
    use std::os::unix::fs::FileExt;
    use std::process::Stdio;

    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("endless.vhdx"), folder.path().join("disk.raw"));
    let size = crate::new_files::long_work(folder.path());
    crate::new_files::endless(&source, size);
    let map = run!("map", source, "--json").exits(0).json();
    let first = map[0]["offset"].as_u64().unwrap();
    fs::File::options().write(true).open(&source).unwrap().write_all_at(&[1], first).unwrap();
    fs::File::create(&target).unwrap().set_len(size).unwrap();
    let begun = || {
        let mut byte = [0];
        fs::File::open(&target).unwrap().read_exact_at(&mut byte, 0).unwrap();
        byte == [1]
    };
    let mut convert = crate::run::command();
    convert.arg("convert").args([&source, &target]).args(["--in-place", "--json"]);
    let mut child = convert.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !begun() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was told to");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    crate::run::interrupt(&child);
    let ran = crate::run::ran(child.wait_with_output().unwrap()).exits(130);
    let error = ran.error();
    assert_eq!(error["kind"], "cancelled");
    assert!(error["message"].as_str().unwrap().contains("is partly overwritten"), "{error}");
    assert_eq!(ran.stdout, b"");
}
