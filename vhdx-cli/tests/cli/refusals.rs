//! Commands that are refused or fail: a clear message, the right exit code, and every disk reads as before.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use vhdx::{FileStorage, Guid};
use vhdx_testkit::{Block, ExtraItem, Image};

use crate::images::{Family, MIB, family, files, names, write};
use crate::new_files::reads_as;
use crate::private::{Holder, Private};
use crate::run;
use crate::run::{Ran, ran};

/// Adds a child of the leaf and returns its path.
fn add_top(family: &Family) -> PathBuf {
    let path = family.path("top.avhdx");
    write(&Image::child_of(&family.images.leaf, "leaf.avhdx", MIB as u32), &path);
    path
}

/// Asserts an input or output error about this file, or a conflict with the program that uses it.
#[track_caller]
fn names_the_file(ran: Ran, file: &Path, words: &[&str]) {
    let error = ran.exits(6).error();
    let kind = if words.contains(&"another program") { "conflict" } else { "io" };
    assert_eq!((&error["kind"], &error["path"]), (&json!(kind), &json!(file)), "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(words.iter().all(|word| message.contains(word)), "{message}");
}

#[test]
fn a_file_that_cannot_be_written_to() {
    let family = family();
    let top = add_top(&family);
    let before = family.files();
    for file in [family.base(), family.mid(), family.leaf(), top] {
        let name = file.file_name().unwrap().to_str().unwrap();
        let Some(private) = Private::read_only(name, family.folder.path()) else { return };
        let merge = ["merge".into(), family.leaf(), "--into".into(), family.base(), "--json".into()];
        names_the_file(private.vhdx(merge), &file, &["open for writing", "Read-only"]);
        assert_eq!(family.files(), before, "{name}");
    }
    let Some(private) = Private::read_only("mid.avhdx", family.folder.path()) else { return };
    let gold = family.path("gold.vhdx");
    fs::copy(family.base(), &gold).unwrap();
    let reparent = ["reparent".into(), family.mid(), "--parent".into(), gold, "--json".into()];
    names_the_file(private.vhdx(reparent), &family.mid(), &["open for writing", "Read-only"]);
    assert_eq!(family.files()["mid.avhdx"], before["mid.avhdx"]);
}

#[test]
fn a_file_that_another_vhdx_has_open() {
    let family = family();
    let top = add_top(&family);
    let before = family.files();
    for file in [family.base(), family.mid(), family.leaf(), top.clone()] {
        let held = FileStorage::open_exclusive(&file).unwrap();
        let busy = || run!("merge", family.leaf(), "--into", family.base(), "--json");
        names_the_file(busy(), &file, &["lock", "another program"]);
        let text = run!("merge", family.leaf(), "--into", family.base()).exits(6).stderr;
        assert!(text.contains("hint: "), "{text}");
        let planned = run!("merge", family.leaf(), "--into", family.base(), "--dry-run", "--json");
        names_the_file(planned, &file, &["lock", "another program"]);
        drop(held);
        assert_eq!(family.files(), before, "{}", file.display());
    }
    let other = family.path("unrelated.avhdx");
    write(&Image::dynamic(MIB as u64, MIB as u32), &other);
    let held = FileStorage::open_exclusive(&other).unwrap();
    run!("merge", family.leaf(), "--into", family.base()).exits(0);
    drop(held);
    assert!(reads_as(&top) == family.content && reads_as(&family.base()) == family.content);
}

#[test]
fn a_file_that_qemu_has_open() {
    let family = family();
    let before = family.files();
    for options in [&[][..], &["-r"]] {
        let Some(held) = Holder::qemu(options, &family.base()) else { return };
        let merge = run!("merge", family.leaf(), "--into", family.base(), "--delete-merged", "--json");
        names_the_file(merge, &family.base(), &["lock", "another program"]);
        assert_eq!(family.files(), before, "{options:?}");
        // This merge does not change the base.
        run!("merge", family.leaf(), "--dry-run").exits(0);
        drop(held);
        assert_eq!(family.files(), before, "{options:?}");
    }
}

/// No child is made of, or linked to, a file that another program writes to.
#[test]
fn a_parent_that_somebody_writes_to() {
    let family = family();
    let gold = family.path("gold.vhdx");
    fs::rename(family.base(), &gold).unwrap();
    let before = family.files();
    let new = family.path("new.avhdx");
    let create = |options: &[&str]| {
        let args = ["create".into(), new.clone(), "--parent".into(), gold.clone(), "--json".into()];
        run::vhdx(args.into_iter().chain(options.iter().map(PathBuf::from)))
    };
    let reparent = |options: &[&str]| {
        let args = ["reparent".into(), family.mid(), "--parent".into(), gold.clone(), "--json".into()];
        run::vhdx(args.into_iter().chain(options.iter().map(PathBuf::from)))
    };
    let are_refused = || {
        for option in ["--quiet", "--dry-run"] {
            names_the_file(create(&[option]), &gold, &["lock", "another program"]);
            names_the_file(reparent(&[option]), &gold, &["lock", "another program"]);
        }
        assert_eq!(family.files(), before);
    };
    let held = FileStorage::open_exclusive(&gold).unwrap();
    are_refused();
    drop(held);
    if let Some(held) = Holder::qemu(&[], &gold) {
        are_refused();
        drop(held);
    }
    let child = FileStorage::open_exclusive(&family.mid()).unwrap();
    for option in ["--quiet", "--dry-run"] {
        names_the_file(reparent(&[option]), &family.mid(), &["lock", "another program"]);
    }
    drop(child);
    let reader = Holder::qemu(&["-r"], &gold);
    create(&[]).exits(0);
    reparent(&[]).exits(0);
    drop(reader);
    assert_eq!(family.files()["gold.vhdx"], before["gold.vhdx"]);
}

#[test]
fn a_parent_that_cannot_be_written_to() {
    let family = family();
    let Some(private) = Private::read_only("leaf.avhdx", family.folder.path()) else { return };
    let new = family.path("new.avhdx");
    private.vhdx(["create".into(), new.clone(), "--parent".into(), family.leaf()]).exits(0);
    private.vhdx(["reparent".into(), new, "--parent".into(), family.leaf()]).exits(0);
}

/// Makes a chain whose merge grows the base by 16 MiB. Returns both files and the content of the disk.
fn growing(folder: &Path) -> (PathBuf, PathBuf, Vec<u8>) {
    let size = 20 * MIB as u64;
    let (base_path, leaf_path) = (folder.join("base.vhdx"), folder.join("leaf.avhdx"));
    let mut base = Image::dynamic(size, MIB as u32);
    base.blocks.insert(0, Block::full(vec![b'b'; MIB]));
    let mut leaf = Image::child_of(&base, "base.vhdx", MIB as u32);
    let mut content = vec![0; size as usize];
    content[..MIB].fill(b'b');
    for block in 1..17_u8 {
        leaf.blocks.insert(block.into(), Block::full(vec![block; MIB]));
        content[usize::from(block) * MIB..][..MIB].fill(block);
    }
    write(&base, &base_path);
    write(&leaf, &leaf_path);
    (base_path, leaf_path, content)
}

#[test]
fn a_disk_that_is_too_full_for_a_merge() {
    let scratch = tempfile::tempdir().unwrap();
    let Some(private) = Private::small(28, scratch.path()) else { return };
    let (base, leaf, _) = growing(&private.seen(scratch.path()));
    let before = files(&private.seen(scratch.path()));
    let inside = |path: &Path| scratch.path().join(path.file_name().unwrap());
    for option in ["--dry-run", "--delete-merged"] {
        let args = ["merge".as_ref(), inside(&leaf).as_os_str(), option.as_ref(), "--json".as_ref()]
            .map(|a| a.to_owned());
        names_the_file(private.vhdx(args), &inside(&base), &["are needed", "are free"]);
        assert!(files(&private.seen(scratch.path())) == before);
    }
}

#[test]
fn a_disk_that_is_too_full_for_a_new_one() {
    let scratch = tempfile::tempdir().unwrap();
    let Some(private) = Private::small(16, scratch.path()) else { return };
    let new = scratch.path().join("new.vhdx");
    for option in ["--dry-run", "--quiet"] {
        let create = ["create".as_ref(), new.as_os_str(), "--size".as_ref(), "64M".as_ref()];
        let fixed = ["--type", "fixed", "--block-size", "1M", "--json", option].map(AsRef::as_ref);
        names_the_file(private.vhdx(create.into_iter().chain(fixed)), &new, &["are needed", "are free"]);
        assert_eq!(names(&private.seen(scratch.path())), [""; 0]);
    }
}

/// Runs the binary with a limit for the size of a file, in KiB.
fn limited<S: AsRef<std::ffi::OsStr>>(kib: u64, args: impl IntoIterator<Item = S>) -> Ran {
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", kib * 2); // in units of 512 bytes
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_vhdx")]).args(args);
    ran(shell.output().unwrap())
}

#[test]
fn space_that_runs_out_in_the_middle() {
    let scratch = tempfile::tempdir().unwrap();
    let (base, leaf, content) = growing(scratch.path());
    let len = base.metadata().unwrap().len() / 1024;
    let mut kib = 64;
    let (mut failed, mut begun) = (0, 0);
    let pristine = files(scratch.path());
    loop {
        let ran = limited(kib, ["merge".as_ref(), leaf.as_os_str(), "--json".as_ref()]);
        assert!(reads_as(&leaf) == content, "{kib} KiB");
        run!("check", leaf, "--chain").exits(0);
        if ran.code == 0 {
            break;
        }
        let error = ran.exits(6).error();
        assert_eq!(error["kind"], json!("io"), "{error}");
        assert!(error["path"] == json!(base) || error["path"] == json!(leaf), "{error}");
        failed += 1;
        begun += usize::from(files(scratch.path()) != pristine);
        kib = if kib < len { kib * 2 } else { kib + 1500 };
    }
    assert!(failed >= 8 && begun >= 6, "{failed} failures, {begun} in the middle");
    assert!(reads_as(&base) == content);
    run!("check", base).exits(0);

    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("new.vhdx");
    for kib in [100, 1100, 5000] {
        let create = ["create".as_ref(), new.as_os_str(), "--size".as_ref(), "16M".as_ref()];
        let fixed = ["--type", "fixed", "--block-size", "1M", "--json"].map(AsRef::as_ref);
        names_the_file(limited(kib, create.into_iter().chain(fixed)), &new, &[]);
        assert_eq!(names(folder.path()), [""; 0]);
    }
}

#[test]
fn a_chain_that_does_not_fit() {
    let (family, elsewhere) = (family(), tempfile::tempdir().unwrap());
    let kept = elsewhere.path().join("kept");
    fs::copy(family.base(), &kept).unwrap();
    fs::remove_file(family.base()).unwrap();
    let before = family.files();
    let missing = run!("merge", family.leaf()).exits(5).stderr;
    for word in
        ["mid.avhdx", "parent is missing", r".\base.vhdx", "hint: ", "vhdx reparent CHILD --parent FILE"]
    {
        assert!(missing.contains(word), "{word}: {missing}");
    }
    assert_eq!(family.files(), before);

    let mut changed = family.images.base.clone();
    changed.data_write_guid = vhdx::Guid::from_u128(0x77);
    write(&changed, &family.base());
    let before = family.files();
    let other = run!("merge", family.leaf(), "--into", family.base(), "--delete-merged").exits(5).stderr;
    let guids = [changed.data_write_guid, family.images.base.data_write_guid].map(|guid| guid.to_string());
    for word in ["is not its parent", "changed after", "reparent", &guids[0], &guids[1]] {
        assert!(other.contains(word), "{word}: {other}");
    }
    assert_eq!(family.files(), before);
    run!("merge", family.leaf(), "--into", family.base(), "--parent", family.mid(), "--parent", kept)
        .exits(5);
    run!("merge", family.leaf(), "--parent", family.mid(), "--parent", kept, "--into", kept).exits(0);
    assert!(reads_as(&kept) == family.content);
}

#[test]
fn a_broken_layer() {
    let family = family();
    let bytes = fs::read(family.mid()).unwrap();
    for (offset, len) in [(0, 8), (64 << 10, 128 << 10), (192 << 10, 128 << 10)] {
        let mut broken = bytes.clone();
        broken[offset..][..len].fill(0);
        fs::write(family.mid(), &broken).unwrap();
        let before = family.files();
        let error = run!("merge", family.leaf(), "--into", family.base(), "--json");
        assert!([3, 5].contains(&error.code), "{}", error.stderr);
        assert!(error.stderr.contains("mid.avhdx"), "{}", error.stderr);
        assert_eq!(family.files(), before);
    }
    // The file is cut inside a block.
    fs::write(family.mid(), &bytes[..bytes.len() - 4096]).unwrap();
    let before = family.files();
    let error = run!("merge", family.leaf(), "--into", family.base(), "--json").exits(3).error();
    assert_eq!(error["path"], json!(family.mid()), "{error}");
    assert_eq!(family.files(), before);
}

#[test]
fn only_merged_files_are_deleted() {
    let family = family();
    let top = add_top(&family);
    let bystanders = ["notes.txt", "leaf.avhdx.rct", "mid.avhdx.mrt", "leaf.avhdx.bak"];
    bystanders.iter().for_each(|name| fs::write(family.path(name), name).unwrap());
    let done =
        run!("merge", family.leaf(), "--into", family.base(), "--delete-merged", "--json").exits(0).json();
    assert_eq!(done["deleted"], json!([family.leaf(), family.mid()]), "leaf first");
    let after: BTreeMap<String, Vec<u8>> = family.files();
    let mut left: Vec<&str> = after.keys().map(String::as_str).collect();
    left.sort_unstable();
    let mut expected = [&["base.vhdx", "top.avhdx"][..], &bystanders].concat();
    expected.sort_unstable();
    assert_eq!(left, expected);
    assert!(reads_as(&top) == family.content);

    let found = run!("tree", family.folder.path(), "--json").exits(0).json();
    assert_eq!((&found["problems"], &found["orphans"]), (&json!([]), &json!([])), "{found}");
    let chain = run!("chain", top, "--json").exits(0).json();
    let links: Vec<_> =
        chain["layers"].as_array().unwrap().iter().map(|layer| layer["link"].clone()).collect();
    assert_eq!(links, [json!("ok"), json!("base")]);
    let checked = run!("check", top, "--chain", "--json").exits(0).json();
    assert_eq!((&checked["valid"], &checked["dirty_logs"]), (&json!(true), &json!([])));
    let gone = run!("merge", family.leaf()).exits(6).stderr;
    assert!(
        gone.contains("hint: this file does not exist: check the path. If this disk was merged before"),
        "{gone}"
    );
}

#[test]
fn a_disk_that_was_merged_before() {
    let family = family();
    let top = add_top(&family);
    run!("merge", family.leaf(), "--into", family.base()).exits(0);
    let before = family.files();
    for args in [&[][..], &["--quiet"], &["--dry-run"]] {
        let leaf = family.leaf();
        let args = ["merge".as_ref(), leaf.as_os_str()].into_iter().chain(args.iter().map(AsRef::as_ref));
        let text = run::vhdx(args).exits(0).text();
        for word in ["already merged", "base.vhdx", "top.avhdx", "--delete-merged"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
    let answer = run!("merge", family.leaf(), "--json").exits(0).json();
    assert_eq!((&answer["already_merged"], &answer["into"]), (&json!(true), &json!(family.base())));
    assert_eq!(family.files(), before);

    // The error about a layer between says that it is left over.
    let layer = run!("merge", family.mid()).exits(5).stderr;
    assert!(layer.contains("left over from a completed merge") && !layer.contains("--parent-dir"), "{layer}");

    // Left-over files are reported as such, and do not disturb the disks in use.
    let found = run!("tree", family.folder.path(), "--json").exits(0).json();
    for problem in found["problems"].as_array().unwrap() {
        let (message, fix) = (problem["message"].as_str().unwrap(), problem["fix"].as_str().unwrap());
        assert!(message.contains("left over from a completed merge") && fix.contains("delete"), "{problem}");
    }
    run!("check", top, "--chain").exits(0);
    run!("merge", top, "--into", family.base()).exits(0);
}

/// The files are valid, so this is no error of the command line.
#[test]
fn metadata_that_does_not_fit_into_the_target() {
    let family = family();
    let items = |first: u128, count: u128, is_virtual_disk| {
        let item = |id| ExtraItem {
            id: Guid::from_u128(id),
            is_user: true,
            is_virtual_disk,
            is_required: false,
            bytes: b"x".to_vec(),
        };
        (first..first + count).map(item).collect()
    };
    write(&Image { extra_items: items(1, 600, false), ..family.images.base.clone() }, &family.base());
    write(&Image { extra_items: items(1000, 425, true), ..family.images.mid.clone() }, &family.mid());
    let before = family.files();
    let error = run!("merge", family.mid(), "--json").exits(5).error();
    assert_eq!((&error["kind"], &error["path"]), (&json!("chain"), &json!(family.base())), "{error}");
    assert!(error["message"].as_str().unwrap().contains("no room for the metadata"), "{error}");
    assert_eq!(family.files(), before);
}
