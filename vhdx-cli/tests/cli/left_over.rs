//! Files that are left over from a merge of several levels without `--delete-merged`.

use std::fs;

use std::path::PathBuf;

use serde_json::json;
use vhdx::format::merge_guid::MergeId;
use vhdx::{Chain, FolderResolver, Guid};
use vhdx_testkit::{Image, windows_locator};

use crate::images::{Family, MIB, family, write};
use crate::new_files::reads_as;
use crate::run;

/// Merges the leaf and `mid` into the base, and keeps all files.
fn merged() -> Family {
    let family = family();
    run!("merge", family.leaf(), "--into", family.base()).exits(0);
    assert!(reads_as(&family.base()) == family.content && reads_as(&family.leaf()) == family.content);
    family
}

#[test]
fn a_left_over_layer_opens_only_as_an_ancestor_of_the_merged_disk() {
    let family = merged();
    let (base, mid, leaf) = (family.base(), family.mid(), family.leaf());
    run!("check", leaf, "--chain").exits(0);
    run!("compare", leaf, base).exits(0);
    for is_deleted in [false, true] {
        if is_deleted {
            fs::remove_file(&leaf).unwrap();
        }
        let new = family.path("new.vhdx");
        for refused in [
            run!("convert", mid, new, "--json"),
            run!("merge", mid, "--output", new, "--json"),
            run!("merge", mid, "--json"),
            run!("create", new, "--parent", mid, "--json"),
            run!("compare", mid, base, "--json"),
        ] {
            let error = refused.exits(5).error();
            assert_eq!(error["path"], mid.to_str().unwrap(), "{error}");
            assert!(
                error["message"].as_str().unwrap().contains("left over from a completed merge into"),
                "{error}"
            );
        }
        assert!(!new.exists());
        let found = run!("tree", family.folder.path()).exits(0).text();
        assert!(found.contains("left over from a completed merge into"), "{found}");
    }
    assert!(reads_as(&base) == family.content);
}

/// A layer between the merged disk and the target is listed after the disk that is read through it.
#[test]
fn left_over_files_are_listed_leaf_first() {
    let family = merged();
    let left_over = json!([{ "files": [family.leaf(), family.mid()], "into": family.base() }]);
    for file in [family.leaf(), family.mid()] {
        assert_eq!(run!("info", file, "--json").exits(0).json()["left_over"], left_over);
    }
}

#[test]
fn left_over_layers_are_not_merged_into_a_changed_base() {
    let family = merged();
    let mut disk = vhdx::VhdxMut::open(family.base()).unwrap();
    disk.write_all_at(&[7; 512], vhdx::DiskOffset::new(0)).unwrap();
    disk.close().unwrap();
    let content = reads_as(&family.base());
    let refused = run!("merge", family.mid(), "--into", family.base(), "--delete-merged").exits(5);
    assert!(refused.stderr.contains("left over from a completed merge"), "{}", refused.stderr);
    let refused = run!("reparent", family.mid(), "--parent", family.base()).exits(5);
    assert!(refused.stderr.contains("completed merge into"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("6d657267"), "a mark is no GUID to look for: {}", refused.stderr);
    let found = run!("tree", family.folder.path()).exits(0).text();
    assert!(!found.contains("6d657267") && found.contains("left over from a completed merge"), "{found}");
    // A base that was changed cannot be told from an older copy, so nothing is deleted.
    let again = run!("merge", family.leaf(), "--into", family.base(), "--json").exits(0).json();
    assert_eq!((&again["already_merged"], &again["deleted"]), (&json!(true), &json!([])));
    let said = run!("merge", family.leaf(), "--into", family.base()).exits(0).text();
    assert!(said.contains("warning: ") && said.contains("may be the only copy"), "{said}");
    let refused = run!("merge", family.leaf(), "--into", family.base(), "--delete-merged").exits(5).stderr;
    assert!(refused.contains("nothing is deleted"), "{refused}");
    assert!(family.leaf().exists() && family.mid().exists());
    assert!(reads_as(&family.base()) == content, "nothing was written to it");
}

#[test]
fn a_relinked_layer_stays_left_over_unless_forced() {
    let family = merged();
    let moved = family.path("moved.vhdx");
    fs::rename(family.base(), &moved).unwrap();
    run!("reparent", family.mid(), "--parent", moved).exits(0);
    assert!(reads_as(&family.leaf()) == family.content);
    run!("merge", family.mid()).exits(5);
    run!("reparent", family.mid(), "--parent", moved, "--ignore-id-mismatch").exits(0);
    Chain::open(family.mid(), &FolderResolver::default()).unwrap();
}

#[test]
fn a_merged_disk_can_be_used_and_merged_again() {
    let family = merged();
    let child = family.path("child.avhdx");
    run!("create", child, "--parent", family.leaf()).exits(0);
    run!("compare", child, family.base()).exits(0);
    run!("merge", child, "--into", family.base(), "--delete-merged").exits(0);
    assert!(reads_as(&family.base()) == family.content);
    assert!(!family.mid().exists() && !family.leaf().exists());
}

/// The last write of a merge gives the target another GUID. Before it, the merged file is still needed.
#[test]
fn nothing_is_left_over_before_the_last_write_of_a_merge() {
    let mut family = family();
    fs::remove_file(family.leaf()).unwrap();
    let merge = MergeId::new(None, family.images.mid.data_write_guid);
    let (incomplete, complete) = (merge.guid(), merge.complete_guid());
    family.images.mid.parent_locator = Some(windows_locator(incomplete, complete, "base.vhdx"));
    write(&family.images.mid, &family.mid());
    for (guid, expected) in [(incomplete, 0), (complete, 1)] {
        family.images.base.data_write_guid = guid;
        write(&family.images.base, &family.base());
        let checked = run!("check", family.mid(), "--json").exits(0).json();
        assert_eq!(checked["left_over"].as_array().unwrap().len(), expected, "{checked}");
    }
}

/// A dry run finds that a child cannot store the path of the target.
#[test]
#[cfg(unix)]
fn a_dry_run_is_refused_as_the_merge_is() {
    let family = family();
    fs::rename(family.base(), family.path("ba:se.vhdx")).unwrap();
    let before = family.files();
    let refused = [run!("merge", family.mid(), "--dry-run", "--json"), run!("merge", family.mid(), "--json")];
    let [dry, real] = refused.map(|run| run.exits(2).error());
    assert_eq!(dry, real);
    assert_eq!(family.files(), before);
}

/// Returns a family with an incomplete merge of the leaf into the base, and another child of the base.
fn unfinished() -> (Family, PathBuf) {
    let mut family = family();
    let mark = Guid::from_bytes(*b"merg0123456789ab");
    let images = &mut family.images;
    let (base, mid) = (images.base.data_write_guid, images.mid.data_write_guid);
    images.mid.parent_locator = Some(windows_locator(mark, base, "base.vhdx"));
    images.leaf.parent_locator = Some(windows_locator(mid, mark, "mid.avhdx"));
    let mut other = Image::child_of(&images.base, "base.vhdx", MIB as u32);
    other.data_write_guid = Guid::from_u128(9);
    write(&family.images.mid, &family.mid());
    write(&family.images.leaf, &family.leaf());
    let path = family.path("other.avhdx");
    write(&other, &path);
    (family, path)
}

#[test]
fn files_of_an_incomplete_merge_must_not_be_moved() {
    let (family, other) = unfinished();
    let (base, mid, leaf) = (family.base(), family.mid(), family.leaf());
    let refused = run!("merge", other, "--into", base).exits(5).stderr;
    for word in ["may be incomplete", "do not move or delete", "hint: complete the earlier merge first"] {
        assert!(refused.contains(word), "{word}: {refused}");
    }
    let (_, command) = refused.split_once("`vhdx merge ").unwrap();
    let (merged, target) = command.split_once('`').unwrap().0.split_once(" --into ").unwrap();
    assert!(merged.contains(leaf.to_str().unwrap()) && target.contains(base.to_str().unwrap()), "{refused}");
    assert!(!refused.contains("no longer needed"), "{refused}");
    let error = run!("merge", other, "--json").exits(5).error();
    assert_eq!(error["unfinished"], json!([{ "path": mid, "merged": leaf, "into": base }]));
    assert_eq!(error["in_the_way"], json!([{ "path": mid, "parent": base }]));
    assert!(error["message"].as_str().unwrap().contains("do not move or delete"), "{error}");

    // The merged disk is in another folder.
    let elsewhere = family.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::rename(&leaf, elsewhere.join("leaf.avhdx")).unwrap();
    let refused = run!("merge", other).exits(5).stderr;
    for word in ["do not move or delete", "in none of the folders", "find the merged disk", "--parent-dir"] {
        assert!(refused.contains(word), "{word}: {refused}");
    }
    let found = run!("merge", other, "--parent-dir", elsewhere).exits(5).stderr;
    assert!(found.contains(elsewhere.join("leaf.avhdx").to_str().unwrap()), "{found}");
    fs::rename(elsewhere.join("leaf.avhdx"), &leaf).unwrap();

    // A copy of a layer of this merge blocks it like any other child.
    fs::remove_file(&other).unwrap();
    let copy = family.path("copy.avhdx");
    fs::copy(&mid, &copy).unwrap();
    let refused = run!("merge", leaf, "--into", base).exits(5).stderr;
    assert!(refused.contains("hint: `--output NEW.vhdx` makes a new disk"), "{refused}");
    assert!(!refused.contains("incomplete"), "{refused}");
    fs::remove_file(&copy).unwrap();
    run!("merge", leaf, "--into", base, "--delete-merged").exits(0);
    assert!(reads_as(&base) == family.content);
}

/// Merges a leaf into the base, together with `mid` and a disk between them, and keeps all files. Returns that disk.
fn merged_past_two() -> (Family, PathBuf) {
    let family = family();
    let images = &family.images;
    let below = Image {
        data_write_guid: Guid::from_u128(8),
        ..Image::child_of(&images.mid, "mid.avhdx", MIB as u32)
    };
    let mut leaf = images.leaf.clone();
    leaf.parent_locator = Some(windows_locator(below.data_write_guid, Guid::nil(), "below.avhdx"));
    let path = family.path("below.avhdx");
    write(&below, &path);
    write(&leaf, &family.leaf());
    run!("merge", family.leaf(), "--into", family.base()).exits(0);
    (family, path)
}

#[cfg(unix)]
#[test]
fn layers_that_were_moved_are_found_again() {
    let (family, below) = merged_past_two();
    // The child needs the layers, so they are not left over.
    let child = family.path("child.avhdx");
    run!("create", child, "--parent", family.leaf()).exits(0);
    let moved = family.path("moved");
    let deep = moved.join("deep");
    fs::create_dir_all(&deep).unwrap();
    fs::rename(&below, moved.join("below.avhdx")).unwrap();
    fs::rename(family.mid(), deep.join("mid.avhdx")).unwrap();
    fs::rename(family.base(), deep.join("base.vhdx")).unwrap();
    run!("check", family.leaf(), "--chain").exits(5);
    // Nothing shows that the disk with the mark depends on this one.
    run!("reparent", moved.join("below.avhdx"), "--parent", deep.join("mid.avhdx")).exits(5);

    let root = family.folder.path();
    let text = run!("tree", root).exits(0).text();
    let commands: Vec<&str> =
        text.lines().filter_map(|line| line.trim().strip_prefix("vhdx reparent ")).collect();
    assert_eq!(commands.len(), 2, "{text}");
    for command in commands {
        run::vhdx(["reparent"].into_iter().chain(command.split_whitespace())).exits(0);
    }
    assert!(reads_as(&family.leaf()) == family.content);
    run!("check", family.leaf(), "--chain").exits(0);
    for file in [child, family.leaf()] {
        fs::remove_file(file).unwrap();
    }
    run!("merge", moved.join("below.avhdx")).exits(5);
}

#[test]
fn a_disk_with_the_mark_is_relinked_to_its_moved_parent() {
    let (family, below) = merged_past_two();
    let moved = family.path("moved");
    fs::create_dir(&moved).unwrap();
    for file in [&below, &family.mid(), &family.base()] {
        fs::rename(file, moved.join(file.file_name().unwrap())).unwrap();
    }
    let below = moved.join("below.avhdx");
    run!("reparent", family.leaf(), "--parent", below, "--dry-run").exits(0);
    run!("reparent", family.leaf(), "--parent", below).exits(0);
    assert!(reads_as(&family.leaf()) == family.content);
    // Without its mark, the disk would not open, so the mark must not be removed.
    let other = family.path("moved/other.avhdx");
    let guid = Guid::from_u128(7);
    let mut image = family.images.leaf.clone();
    image.data_write_guid = guid;
    write(&image, &other);
    let refused = run!("reparent", other, "--parent", below, "--ignore-id-mismatch").exits(5).stderr;
    assert!(refused.contains("merge into"), "{refused}");
}

#[test]
fn the_guids_of_a_merge_have_their_own_labels() {
    let family = merged();
    let guid = vhdx::Vhdx::open(family.base()).unwrap().data_write_guid().to_string();
    let info = run!("info", family.mid()).exits(0).text();
    let moved = family.path("moved.vhdx");
    fs::rename(family.base(), &moved).unwrap();
    let reparented = run!("reparent", family.mid(), "--parent", moved).exits(0).text();
    for text in [info, reparented] {
        let value = |field: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(field));
            line.unwrap_or_else(|| panic!("{field}: {text}")).trim().to_owned()
        };
        assert!(value("parent during a merge:").starts_with("6d726732-"), "{text}");
        assert_eq!(value("parent's GUID:"), guid);
        assert!(!text.contains("or its GUID"), "{text}");
    }
}

/// The relinked child was merged too, so no child proves the merge. The merged file itself says that it is complete.
#[test]
fn nothing_is_deleted_if_no_child_proves_the_merge() {
    let family = family();
    let top = family.path("top.avhdx");
    run!("create", top, "--parent", family.leaf()).exits(0);
    run!("merge", family.leaf()).exits(0);
    run!("merge", top, "--into", family.base()).exits(0);
    let refused = run!("merge", family.leaf(), "--delete-merged").exits(5).stderr;
    assert!(refused.contains("nothing is deleted"), "{refused}");
    assert!(family.leaf().exists() && reads_as(&top) == family.content);
}

/// Left-over files are deleted. To relink or to merge them would be wrong advice.
#[test]
fn a_left_over_file_gets_no_advice_about_its_path() {
    let family = family();
    run!("merge", family.leaf(), "--into", family.base()).exits(0);
    let moved = family.path("moved/leaf.avhdx");
    fs::create_dir(moved.parent().unwrap()).unwrap();
    fs::rename(family.leaf(), &moved).unwrap();
    let tree = run!("tree", family.folder.path()).exits(0).text();
    assert!(tree.contains("left over from a completed merge"), "{tree}");
    assert!(!tree.contains("vhdx reparent") && !tree.contains("--output"), "{tree}");
}
