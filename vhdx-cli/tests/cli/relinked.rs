//! A merge relinks children in other folders than the target.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vhdx::Vhdx;
use vhdx_testkit::{Block, Image};

use crate::images::{MIB, family, images, write};
use crate::new_files::reads_as;
use crate::run;

/// `disks/base.vhdx`, `snapshots/mid.avhdx`, `snapshots/leaf.avhdx`, and two children of the leaf in other folders.
struct Scattered {
    folder: tempfile::TempDir,
    content: Vec<u8>,
}

impl Scattered {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut images = images();
        let rename = |image: &mut Image, path: &str| {
            let locator = image.parent_locator.as_mut().unwrap();
            locator.retain(|(key, _)| key == "parent_linkage" || key == "relative_path");
            locator.iter_mut().find(|(key, _)| key == "relative_path").unwrap().1 = path.to_owned();
        };
        rename(&mut images.mid, r"..\disks\base.vhdx");
        let mut first = Image::child_of(&images.leaf, "leaf.avhdx", MIB as u32);
        rename(&mut first, r"..\snapshots\leaf.avhdx");
        let mut second = first.clone();
        (second.data_write_guid, second.file_write_guid) =
            (vhdx::Guid::from_u128(7), vhdx::Guid::from_u128(8));
        rename(&mut second, r"..\..\snapshots\leaf.avhdx");
        second.blocks.insert(4, Block::full(vec![b's'; MIB]));
        let content = crate::images::family().content;
        let scattered = Self { folder, content };
        for (name, image) in [
            ("disks/base.vhdx", &images.base),
            ("snapshots/mid.avhdx", &images.mid),
            ("snapshots/leaf.avhdx", &images.leaf),
            ("guests/first.avhdx", &first),
            ("guests/deep/second.avhdx", &second),
        ] {
            let path = scattered.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            write(image, &path);
        }
        scattered
    }

    fn path(&self, name: &str) -> PathBuf {
        name.split('/').fold(self.folder.path().to_owned(), |path, part| path.join(part))
    }

    fn stored(&self, name: &str) -> Value {
        run!("info", self.path(name), "--json").exits(0).json()["parent"].clone()
    }

    fn second(&self) -> Vec<u8> {
        let mut content = self.content.clone();
        content[4 * MIB..5 * MIB].fill(b's');
        content
    }
}

#[test]
fn children_in_other_folders_are_relinked() {
    let scattered = Scattered::new();
    let [base, mid, leaf] =
        ["disks/base.vhdx", "snapshots/mid.avhdx", "snapshots/leaf.avhdx"].map(|name| scattered.path(name));
    let [first, second] = ["guests/first.avhdx", "guests/deep/second.avhdx"].map(|name| scattered.path(name));
    let folders = ["guests", "guests/deep"].map(|name| scattered.path(name));
    let side_files = ["disks/base.vhdx.rct", "snapshots/mid.avhdx.mrt", "guests/first.avhdx.rct"];
    side_files.iter().for_each(|name| fs::write(scattered.path(name), name).unwrap());

    let merged =
        run!("merge", leaf, "--into", base, "--parent-dir", folders[0], "--parent-dir", folders[1], "--json");
    let merged = merged.exits(0).json();
    assert_eq!(merged["relinked"], json!([second, first]), "by path");
    assert_eq!(merged["merged"], json!([leaf, mid]));
    for name in side_files {
        assert!(
            merged["stale"].as_array().unwrap().contains(&json!(scattered.path(name))),
            "{name}: {merged}"
        );
        assert_eq!(fs::read_to_string(scattered.path(name)).unwrap(), name, "never touched");
    }
    let guid = json!(Vhdx::open(&base).unwrap().data_write_guid().to_string());
    for (name, path) in [
        ("guests/first.avhdx", r"..\disks\base.vhdx"),
        ("guests/deep/second.avhdx", r"..\..\disks\base.vhdx"),
    ] {
        let stored = scattered.stored(name);
        assert_eq!((&stored["relative_path"], &stored["linkage"]), (&json!(path), &guid), "{name}");
    }
    // The parent is found without options.
    fs::remove_file(&leaf).unwrap();
    fs::remove_file(&mid).unwrap();
    side_files.iter().for_each(|name| fs::remove_file(scattered.path(name)).unwrap());
    assert!(reads_as(&first) == scattered.content && reads_as(&second) == scattered.second());
    [&first, &second].into_iter().for_each(|disk| drop(run!("check", disk, "--chain").exits(0)));
    let found = run!("tree", scattered.folder.path(), "--json").exits(0).json();
    assert_eq!((&found["problems"], &found["orphans"]), (&json!([]), &json!([])), "{found}");
}

#[test]
fn the_answer_says_what_to_do_about_change_tracking() {
    let scattered = Scattered::new();
    let (leaf, mid) = (scattered.path("snapshots/leaf.avhdx"), scattered.path("snapshots/mid.avhdx"));
    for name in ["snapshots/mid.avhdx.rct", "snapshots/mid.avhdx.mrt", "snapshots/leaf.avhdx.rct"] {
        fs::write(scattered.path(name), b"").unwrap();
    }
    let text = run!("merge", leaf).exits(0).text();
    for word in
        ["mid.avhdx.rct", "mid.avhdx.mrt", "change tracking", "backup", &format!("{}.", mid.display())]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    let without = Scattered::new();
    let text = run!("merge", without.path("snapshots/leaf.avhdx")).exits(0).text();
    assert!(!text.contains("change tracking"), "{text}");
}

#[test]
fn several_names_of_one_file_count_once() {
    let scattered = Scattered::new();
    let (base, leaf) = (scattered.path("disks/base.vhdx"), scattered.path("snapshots/leaf.avhdx"));
    let first = scattered.path("guests/first.avhdx");
    // More names of the child, the leaf and the target.
    fs::hard_link(&first, scattered.path("snapshots/another name.avhdx")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&first, scattered.path("disks/a link.avhdx")).unwrap();
    fs::hard_link(&leaf, scattered.path("guests/leaf again.avhdx")).unwrap();
    fs::hard_link(&base, scattered.path("guests/base again.vhdx")).unwrap();
    let guests = scattered.path("guests");
    let merged = run!("merge", leaf, "--into", base, "--parent-dir", guests, "--json").exits(0).json();
    let relinked = merged["relinked"].as_array().unwrap();
    assert_eq!(relinked.len(), 1, "{merged}");
    assert!(reads_as(Path::new(relinked[0].as_str().unwrap())) == scattered.content);
    let links = Vhdx::open(&first).unwrap().parent_locator().unwrap().parent_linkage();
    assert_eq!(links, Some(Vhdx::open(&base).unwrap().data_write_guid()));
}

#[test]
fn a_child_in_the_way_is_named_once() {
    let scattered = Scattered::new();
    let (base, leaf) = (scattered.path("disks/base.vhdx"), scattered.path("snapshots/leaf.avhdx"));
    let mut other = Image::child_of(&images().base, "base.vhdx", MIB as u32);
    other.data_write_guid = vhdx::Guid::from_u128(9);
    let elsewhere = scattered.path("guests/other.avhdx");
    write(&other, &elsewhere);
    fs::hard_link(&elsewhere, scattered.path("guests/other again.avhdx")).unwrap();
    let guests = scattered.path("guests");
    let refused = run!("merge", leaf, "--into", base, "--parent-dir", guests).exits(5).stderr;
    assert_eq!(refused.matches("is a child of").count(), 1, "{refused}");
    assert!(refused.contains("other") && refused.contains("base.vhdx"), "{refused}");
    assert!(
        refused.contains("hint: `--output NEW.vhdx` makes a new disk and changes no existing disk"),
        "{refused}"
    );
    let error = run!("merge", leaf, "--into", base, "--parent-dir", guests, "--json").exits(5).error();
    let [child] = &error["in_the_way"].as_array().unwrap()[..] else { panic!("{error}") };
    assert_eq!(child["parent"], json!(base), "{error}");
    assert!(child["path"].as_str().unwrap().contains("other"), "{error}");
    // Without the folder, the child is not found. The answer names the searched folders.
    let answer = run!("merge", leaf, "--into", base, "--dry-run").exits(0).text();
    assert!(
        answer.contains("searched for other disks that depend on") && answer.contains("disks"),
        "{answer}"
    );
}

#[test]
fn paths_are_normalized() {
    let scattered = Scattered::new();
    let (base, mid, leaf) = ("disks/base.vhdx", "snapshots/mid.avhdx", "snapshots/leaf.avhdx");
    let chain = run!("chain", scattered.path(leaf), "--json").exits(0).json();
    let paths: Vec<&Value> = chain["layers"].as_array().unwrap().iter().map(|layer| &layer["path"]).collect();
    assert_eq!(paths, [leaf, mid, base].map(|name| json!(scattered.path(name))).each_ref());
    fs::remove_file(scattered.path(base)).unwrap();
    let first = scattered.path("guests/first.avhdx");
    let error = run!("chain", first, "--json").exits(5).error();
    assert_eq!(error["path"], json!(scattered.path(mid)), "{error}");
}

#[test]
fn a_new_child_in_another_folder() {
    let scattered = Scattered::new();
    let new = scattered.path("guests/deep/new.avhdx");
    let made =
        run!("create", new, "--parent", scattered.path("snapshots/leaf.avhdx"), "--json").exits(0).json();
    assert_eq!(made["parent"]["relative_path"], json!(r"..\..\snapshots\leaf.avhdx"));
    assert!(reads_as(&new) == scattered.content);
    let moved = scattered.path("disks/moved.avhdx");
    fs::rename(scattered.path("snapshots/leaf.avhdx"), &moved).unwrap();
    let snapshots = scattered.path("snapshots");
    let done = run!("reparent", new, "--parent", moved, "--parent-dir", snapshots, "--json").exits(0).json();
    assert_eq!(done["link"]["relative_path"], json!(r"..\..\disks\moved.avhdx"));
}

/// The target is replaced by an older copy, so the relinked child reads through the merged file again.
///
/// The child's linkages must not be taken for those of a merge into that file: such a merge would destroy its state.
#[test]
fn a_relinked_child_of_a_merged_file_is_not_a_started_merge() {
    let family = family();
    let (base, mid, leaf) = (family.base(), family.mid(), family.leaf());
    let (old_base, old_mid) = (fs::read(&base).unwrap(), family.path("mid.raw"));
    run!("convert", mid, old_mid).exits(0);
    run!("merge", mid).exits(0);
    fs::write(&base, old_base).unwrap();
    let chain = run!("chain", leaf).exits(5).stderr;
    assert!(chain.contains("is an older copy, this file may be the only copy"), "{chain}");
    run!("reparent", mid, "--parent", base, "--ignore-id-mismatch").exits(0);

    assert!(reads_as(&leaf) == family.content);
    let tree = run!("tree", family.folder.path(), "--json").exits(0).json();
    let [problem] = &tree["problems"].as_array().unwrap()[..] else { panic!("{tree}") };
    assert!(
        problem["message"].as_str().unwrap().starts_with("stores no path that leads to its parent"),
        "{tree}"
    );
    assert_eq!(run!("check", mid, "--json").exits(0).json()["unfinished"], json!([]));
    let child = family.path("child.avhdx");
    run!("create", child, "--parent", mid).exits(0);
    let refused = run!("merge", child).exits(5).stderr;
    assert!(refused.contains("leaf.avhdx") && !refused.contains("incomplete"), "{refused}");
    fs::remove_file(child).unwrap();

    let merged = run!("merge", mid, "--json").exits(0).json();
    assert_eq!((&merged["merged"], &merged["relinked"]), (&json!([mid]), &json!([leaf])));
    run!("compare", base, old_mid).exits(0);
    assert!(reads_as(&leaf) == family.content);
}
