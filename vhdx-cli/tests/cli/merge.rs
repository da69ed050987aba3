//! `merge` in place: the target takes over the content of the checkpoint.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use vhdx::Vhdx;
use vhdx_testkit::{Block, Image};

use crate::images::{Family, MIB, family, write};
use crate::new_files::reads_as;
use crate::run;

/// Adds a child of the leaf, `top.avhdx`, and returns the content of its disk.
fn add_top(family: &Family) -> Vec<u8> {
    let mut top = Image::child_of(&family.images.leaf, "leaf.avhdx", MIB as u32);
    top.blocks.insert(4, Block::full(vec![b't'; MIB]));
    write(&top, &family.path("top.avhdx"));
    let mut content = family.content.clone();
    content[4 * MIB..5 * MIB].fill(b't');
    content
}

fn is_sound(path: &Path) {
    run!("check", path, "--chain").exits(0);
}

#[test]
fn a_checkpoint_becomes_part_of_its_parent() {
    let family = family();
    let merged = run!("merge", family.leaf(), "--json").exits(0).json();
    assert_eq!(merged["merged"], json!([family.leaf()]));
    assert_eq!(merged["into"], json!(family.mid()));
    assert_eq!((&merged["bytes_copied"], &merged["blocks"]), (&json!(MIB + 1024), &json!(3)));
    assert_eq!(merged["block_actions"], json!({ "zero": 1, "fill": 1, "fill-part": 1 }));
    assert_eq!((&merged["relinked"], &merged["deleted"]), (&json!([]), &json!([])));
    assert_eq!((&merged["dry_run"], &merged["already_merged"]), (&json!(false), &json!(false)));
    assert!(reads_as(&family.mid()) == family.content);
    assert!(reads_as(&family.leaf()) == family.content, "the merged leaf is still readable");
    is_sound(&family.mid());
}

#[test]
fn several_layers_are_merged_into_an_ancestor_and_deleted() {
    let family = family();
    fs::write(family.path("base.vhdx.rct"), b"").unwrap();
    let text = run!("merge", family.leaf(), "--into", family.base(), "--delete-merged").exits(0).text();
    for expected in ["merged into", "deleted", "base.vhdx.rct", "point the virtual machine's disk at"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(reads_as(&family.base()) == family.content);
    is_sound(&family.base());
    assert!(!family.leaf().exists() && !family.mid().exists());
}

#[test]
fn a_dry_run_changes_nothing() {
    let family = family();
    let content = add_top(&family);
    let before = family.files();
    let into = family.base();
    let planned = run!("merge", family.leaf(), "--into", into, "--delete-merged", "--dry-run", "--json")
        .exits(0)
        .json();
    assert_eq!(planned["relinked"], json!([family.path("top.avhdx")]));
    assert_eq!(planned["deleted"], json!([family.leaf(), family.mid()]));
    let text = run!("merge", family.leaf(), "--into", into, "--dry-run").exits(0).text();
    for expected in [
        "would be merged into",
        "would be relinked",
        "searched for other disks that depend on these files in",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert_eq!(family.files(), before);

    let done = run!("merge", family.leaf(), "--into", into, "--delete-merged", "--json").exits(0).json();
    let without = |mut answer: Value| {
        for key in ["dry_run", "file_size"] {
            answer.as_object_mut().unwrap().remove(key);
        }
        answer
    };
    assert_eq!(without(done), without(planned));
    assert!(reads_as(&family.path("top.avhdx")) == content);
}

#[test]
fn children_are_relinked_and_a_second_run_has_nothing_to_do() {
    let family = family();
    let (content, top) = (add_top(&family), family.path("top.avhdx"));
    let merged = run!("merge", family.leaf(), "--into", family.base(), "--json").exits(0).json();
    assert_eq!(merged["relinked"], json!([top]));
    assert!(reads_as(&top) == content);
    assert!(reads_as(&family.base()) == family.content);
    let linkage = Vhdx::open(&top).unwrap().parent_locator().unwrap().parent_linkage();
    assert_eq!(linkage, Some(Vhdx::open(family.base()).unwrap().data_write_guid()));

    let before = family.files();
    let again = run!("merge", family.leaf(), "--into", family.base(), "--json").exits(0).json();
    assert_eq!((&again["already_merged"], &again["bytes_copied"]), (&json!(true), &json!(0)));
    assert_eq!(again["relinked"], json!([top]));
    let text = run!("merge", family.leaf(), "--delete-merged", "--dry-run").exits(0).text();
    assert!(text.contains("already merged") && text.contains("would be deleted"), "{text}");
    assert_eq!(family.files(), before);

    let deleted = run!("merge", family.leaf(), "--delete-merged", "--json").exits(0).json();
    assert_eq!(deleted["deleted"], json!([family.leaf(), family.mid()]));
    assert!(!family.leaf().exists() && !family.mid().exists());
    assert!(reads_as(&top) == content);
    is_sound(&top);
}

#[test]
fn a_merged_layer_with_another_child_is_not_deleted() {
    let family = family();
    add_top(&family);
    run!("merge", family.leaf(), "--into", family.base()).exits(0);
    let late = Image::child_of(&family.images.mid, "mid.avhdx", MIB as u32);
    write(&late, &family.path("late.avhdx"));
    let refused = run!("merge", family.leaf(), "--delete-merged").exits(5).stderr;
    assert!(refused.contains("late.avhdx"), "{refused}");
    assert!(family.leaf().exists() && family.mid().exists());
}

#[test]
fn other_children_are_named_and_refused() {
    let family = family();
    let other = Image::child_of(&family.images.mid, "mid.avhdx", MIB as u32);
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("other.avhdx");
    write(&other, &path);
    let before = family.files();
    for option in ["--dry-run", "--delete-merged"] {
        let dir = elsewhere.path();
        let error = run!("merge", family.leaf(), "--parent-dir", dir, option, "--json").exits(5).error();
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("other.avhdx") && message.contains("mid.avhdx"), "{message}");
    }
    assert_eq!(family.files(), before);
    // The base has only one child, but the other disk depends on a layer that is merged.
    let error =
        run!("merge", family.leaf(), "--into", family.base(), "--parent-dir", elsewhere.path()).exits(5);
    assert!(error.stderr.contains("other.avhdx"), "{}", error.stderr);
}

#[test]
fn a_disk_is_merged_into_its_ancestors_only() {
    let family = family();
    let before = family.files();
    let error = run!("merge", family.mid(), "--into", family.leaf(), "--json").exits(5).error();
    assert!(error["message"].as_str().unwrap().contains("leaf.avhdx"), "{error}");
    run!("merge", family.leaf(), "--into", family.leaf()).exits(5);
    run!("merge", family.leaf(), "--into", family.path("nothing.vhdx")).exits(6);
    run!("merge", family.base()).exits(2);
    fs::remove_file(family.base()).unwrap();
    run!("merge", family.leaf(), "--delete-merged").exits(5);
    let mut after = family.files();
    after.insert("base.vhdx".to_owned(), before["base.vhdx"].clone());
    assert_eq!(after, before);
}

#[test]
fn a_link_to_an_ancestor_is_the_ancestor() {
    let family = family();
    let elsewhere = tempfile::tempdir().unwrap();
    let name = elsewhere.path().join("other name.vhdx");
    fs::hard_link(family.base(), &name).unwrap();
    run!("merge", family.leaf(), "--into", name, "--parent-dir", elsewhere.path()).exits(0);
    assert!(reads_as(&family.base()) == family.content);
}
