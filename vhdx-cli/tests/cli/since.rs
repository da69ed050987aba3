//! `merge --since` makes an incremental file, and `convert --in-place --since` updates a raw file.

use std::fs;
use std::path::PathBuf;

use serde_json::json;
use vhdx_testkit::Image;

use crate::images::{Family, MIB, SIZE, family, write};
use crate::run;

/// The disk of the base.
fn of_base(family: &Family) -> Vec<u8> {
    run!("convert", family.base(), "-").exits(0).stdout
}

/// A raw file that holds the base, and `tail` more bytes.
fn raw_base(family: &Family, tail: usize) -> PathBuf {
    let path = family.path("disk.raw");
    let mut bytes = of_base(family);
    bytes.extend(vec![0xee; tail]);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn an_incremental_file_with_its_parent_reads_as_the_newest_disk() {
    let family = family();
    let inc = family.path("inc.avhdx");
    let before = family.files();
    let (base, leaf) = (family.base(), family.leaf());
    let dry = run!("merge", leaf, "--since", base, "--output", inc, "--dry-run", "--json").exits(0).json();
    assert_eq!(family.files(), before);
    let made = run!("merge", leaf, "--since", base, "--output", inc, "--json").exits(0).json();
    assert_eq!((&dry["dry_run"], &made["dry_run"]), (&json!(true), &json!(false)));
    for key in ["merged", "into", "since", "type", "virtual_size", "block_size", "blocks", "file_size"] {
        assert_eq!(dry[key], made[key], "{key}");
    }
    assert_eq!(made["merged"], json!([leaf, family.mid()]));
    assert_eq!((&made["into"], &made["since"]), (&json!(inc), &json!(base)));
    assert_eq!((&made["type"], &made["virtual_size"]), (&json!("differencing"), &json!(SIZE)));
    assert_eq!((&made["blocks"], &made["block_size"]), (&json!(3), &json!(MIB)));
    assert_eq!((&made["relinked"], &made["deleted"], &made["stale"]), (&json!([]), &json!([]), &json!([])));
    let mut files = family.files();
    files.remove("inc.avhdx");
    assert!(files == before, "an existing file was changed");

    run!("check", inc, "--chain").exits(0);
    run!("compare", inc, leaf).exits(0);
    let chain = run!("chain", inc, "--json").exits(0).json();
    assert_eq!(chain["layers"].as_array().unwrap().len(), 2);
    // A restored chain: the full backup, and the incremental one.
    let restored = tempfile::tempdir().unwrap();
    for path in [&base, &inc] {
        fs::copy(path, restored.path().join(path.file_name().unwrap())).unwrap();
    }
    assert_eq!(run!("convert", restored.path().join("inc.avhdx"), "-").exits(0).stdout, family.content);
    let text = run!("merge", leaf, "--since", base, "--output", inc, "--force").exits(0).text();
    assert!(text.starts_with("made ") && text.contains("a child of "), "{text}");
}

#[test]
fn increments_that_are_refused() {
    let family = family();
    let inc = family.path("inc.avhdx");
    let mut sibling = Image::child_of(&family.images.base, "base.vhdx", MIB as u32);
    sibling.data_write_guid = vhdx::Guid::from_u128(5);
    let other = family.path("sibling.avhdx");
    write(&sibling, &other);
    let before = family.files();
    let (base, leaf) = (family.base(), family.leaf());
    let error = run!("merge", leaf, "--since", other, "--output", inc, "--json").exits(5).error();
    assert_eq!((&error["old"], &error["common_ancestor"]), (&json!(other), &json!(base)), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("vhdx chain NEW"), "{error}");
    run!("merge", base, "--since", leaf, "--output", inc).exits(5);
    run!("merge", leaf, "--since", base).exits(2);
    run!("merge", leaf, "--since", base, "--into", base).exits(2);
    for option in ["--delete-merged", "--ignore-undetermined", "--shrink-target", "--type=fixed"] {
        run!("merge", leaf, "--since", base, option).exits(2);
    }
    run!("merge", leaf, "--since", base, "--output", family.path("inc.raw")).exits(2);
    run!("merge", leaf, "--since", base, "--output", inc, "--type", "fixed").exits(2);
    run!("merge", leaf, "--since", base, "--output", base).exits(2);
    run!("merge", leaf, "--since", base, "--output", other).exits(6);
    run!("merge", leaf, "--since", family.path("absent"), "--output", inc).exits(6);
    assert_eq!(family.files(), before);
}

#[test]
fn a_raw_file_is_brought_to_the_newest_disk() {
    let family = family();
    let raw = raw_base(&family, 700);
    let (base, leaf) = (family.base(), family.leaf());
    let convert = |extra: &str| run!("convert", leaf, raw, "--in-place", "--since", base, "--json", extra);
    let before = family.files();
    let dry = convert("--dry-run").exits(0).json();
    assert_eq!(family.files(), before);
    let done = convert("--verify-base").exits(0).json();
    for key in ["bytes_copied", "bytes_zeroed", "bytes_kept", "bytes_verified", "file_size"] {
        assert_eq!(dry[key], done[key], "{key}");
    }
    assert_eq!((&done["bytes_copied"], &done["bytes_zeroed"]), (&json!(2 * MIB + 1024), &json!(MIB)));
    assert_eq!((&done["bytes_verified"], &done["bytes_kept"]), (&json!(SIZE), &json!(700)));
    assert_eq!((&done["since"], &done["verify_base"]), (&json!(base), &json!(true)));
    assert_eq!((&done["in_place"], &done["target_is_zero"]), (&json!(true), &json!(false)));
    let found = fs::read(&raw).unwrap();
    assert!(found[..SIZE as usize] == family.content && found[SIZE as usize..] == [0xee; 700]);
    // Again, over the new content.
    let text = run!("convert", leaf, raw, "--in-place", "--since", base).exits(0).text();
    assert!(text.starts_with("updated ") && text.contains("compared with "), "{text}");
    assert!(fs::read(&raw).unwrap() == found);
}

#[test]
fn a_raw_file_that_does_not_hold_the_older_disk_is_not_touched() {
    let family = family();
    let raw = raw_base(&family, 0);
    let (base, leaf) = (family.base(), family.leaf());
    let mut bytes = fs::read(&raw).unwrap();
    bytes[3 * MIB + 77] ^= 1;
    fs::write(&raw, bytes).unwrap();
    let before = family.files();
    let error = run!("convert", leaf, raw, "--in-place", "--since", base, "--json").exits(6).error();
    assert_eq!((&error["kind"], &error["path"]), (&json!("conflict"), &json!(raw)));
    assert_eq!(error["offset"], json!(3 * MIB + 77));
    assert!(error["hint"].as_str().unwrap().contains("nothing was written"), "{error}");
    run!("convert", leaf, raw, "--in-place", "--since", base, "--dry-run").exits(6);
    run!("convert", base, raw, "--in-place", "--since", leaf).exits(5);
    let other = family.path("other.vhdx");
    run!("create", other, "--size", "6M").exits(0);
    run!("convert", leaf, raw, "--in-place", "--since", other).exits(5);
    fs::remove_file(other).unwrap();
    run!("convert", leaf, base, "--in-place", "--to", "raw", "--since", base).exits(2);
    run!("convert", leaf, raw, "--in-place", "--since", raw).exits(2);
    for option in ["--quiet", "--force", "--type=fixed", "--block-size=1M", "--to=raw"] {
        run!("convert", leaf, raw, "--since", base, option).exits(2);
        run!("convert", leaf, raw, "--target-is-zero", option).exits(2);
    }
    run!("convert", leaf, raw, "--in-place", "--target-is-zero", "--verify-base").exits(2);
    run!("convert", leaf, raw, "--in-place", "--verify-base").exits(2);
    run!("convert", leaf, raw, "--in-place", "--since", base, "--target-is-zero").exits(2);
    assert_eq!(family.files(), before);
    fs::File::options().write(true).open(&raw).unwrap().set_len(SIZE - 1).unwrap();
    let error = run!("convert", leaf, raw, "--in-place", "--since", base, "--json").exits(2).error();
    assert!(error["message"].as_str().unwrap().contains("too few"), "{error}");
}

/// The process is killed soon after it has begun to write.
#[cfg(unix)]
#[test]
fn a_killed_update_is_completed_by_the_same_command() {
    use std::os::unix::fs::FileExt;
    use std::process::Stdio;
    use std::time::Duration;

    const BLOCKS: u64 = 96;
    const KILLS: u32 = 8;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut base = Image::dynamic(BLOCKS * MIB as u64, MIB as u32);
    base.blocks.extend((0..BLOCKS).map(|block| (block, vhdx_testkit::Block::full(vec![b'b'; MIB]))));
    let mut leaf = Image::child_of(&base, "base.vhdx", MIB as u32);
    leaf.blocks
        .extend((0..BLOCKS).step_by(2).map(|block| (block, vhdx_testkit::Block::full(vec![b'l'; MIB]))));
    write(&base, &path("base.vhdx"));
    write(&leaf, &path("leaf.avhdx"));
    let (pristine, raw) = (path("pristine.raw"), path("disk.raw"));
    run!("convert", path("base.vhdx"), pristine).exits(0);
    let expected = run!("convert", path("leaf.avhdx"), "-").exits(0).stdout;
    let update = || {
        let mut command = crate::run::command();
        command.arg("convert").arg(path("leaf.avhdx")).arg(&raw).args(["--in-place", "--since"]);
        command.arg(path("base.vhdx")).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let mut partly = 0;
    for part in 0..KILLS {
        fs::copy(&pristine, &raw).unwrap();
        let target = fs::File::open(&raw).unwrap();
        let begun = || {
            let mut byte = [0];
            target.read_exact_at(&mut byte, 0).unwrap();
            byte == [b'l']
        };
        let mut child = update().spawn().unwrap();
        while !begun() && child.try_wait().unwrap().is_none() {}
        std::thread::sleep(Duration::from_micros(500) * part);
        child.kill().unwrap();
        child.wait().unwrap();
        partly += usize::from(fs::read(&raw).unwrap() != expected);
        assert!(update().status().unwrap().success(), "kill {part}");
        assert!(fs::read(&raw).unwrap() == expected, "kill {part}");
    }
    eprintln!("{partly} of {KILLS} updates were killed while they wrote");
    assert!(partly > 0);
}

/// A file that does not exist is not found, rather than a raw disk.
#[test]
fn a_missing_file_is_not_found() {
    let family = family();
    let (target, leaf) = (raw_base(&family, 0), family.leaf());
    for missing in ["none", "none.vhdx", "none.raw"].map(|name| family.path(name)) {
        for (source, old) in [(&leaf, &missing), (&missing, &leaf)] {
            let ran = run!("convert", source, &target, "--in-place", "--since", old).exits(6);
            assert!(ran.stderr.contains("none"), "{}", ran.stderr);
        }
    }
}
