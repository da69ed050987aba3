//! Disks with an incomplete merge into them, and files of merges that are complete.

use std::path::Path;

use serde_json::{Value, json};
use vhdx::ops::{HostFiles, MergeOptions, MergePlan};
use vhdx::{Chain, DiskOffset, Error, FolderResolver, NoProgress, Progress, VhdxMut, find_relatives};

use crate::images::{Family, family};
use crate::new_files::reads_as;
use crate::run;

/// Cancels as soon as something was copied.
struct OneBatch(std::sync::atomic::AtomicBool);

impl Progress for OneBatch {
    fn advance(&self, _: u64) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

pub(crate) fn interrupted(family: &Family, child: &Path, target: usize) {
    let chain = Chain::open(child, &FolderResolver::default()).unwrap();
    let relatives = find_relatives(&[family.folder.path().into()], &NoProgress).unwrap();
    let options = MergeOptions { batch_bytes: 1, ..MergeOptions::default() };
    let plan = MergePlan::new(&chain, target, &relatives, &options).unwrap();
    drop(chain); // on Windows an open file cannot be opened exclusively
    let ended = plan.execute(&HostFiles, &OneBatch(false.into()));
    assert!(matches!(ended, Err(Error::Cancelled)));
}

/// Asserts that all commands report that the merge of `merged` into `target` is incomplete.
#[track_caller]
fn assert_reported(family: &Family, target: &Path, merged: &Path, layer: &Path) {
    let new = family.path("new.avhdx");
    let unfinished = json!([{ "path": layer, "merged": merged, "into": target }]);
    let error = run!("create", new, "--parent", target, "--json").exits(5).error();
    assert_eq!((&error["path"], &error["unfinished"]), (&json!(target), &unfinished), "{error}");
    let refused = run!("create", new, "--parent", target, "--dry-run").exits(5).stderr;
    let command = format!("vhdx merge {} --into {}", merged.display(), target.display());
    assert!(refused.contains(&command) && !new.exists(), "{refused}");

    assert_eq!(run!("check", target, "--json").exits(0).json()["unfinished"], unfinished);
    let copy = family.path("copy.raw");
    for looked_at in [run!("check", target), run!("convert", target, copy, "--dry-run")] {
        let said = looked_at.exits(0).stderr;
        assert!(said.contains("warning: ") && said.contains("a merge into it is incomplete"), "{said}");
    }
    let converted = run!("convert", target, copy, "--dry-run", "--json").exits(0).json();
    assert_eq!(converted["unfinished"], unfinished);
    let refused = run!("merge", target, "--output", new, "--dry-run", "--json").exits(5).error();
    assert_eq!(refused["unfinished"], unfinished);
    assert!(run!("compare", target, target).exits(0).stderr.contains("a merge into it is incomplete"));
    let quiet = run!("check", target, "--quiet").exits(0);
    assert!(quiet.stderr.is_empty());
    assert!(quiet.text().contains("valid, but a merge into this disk is or may be incomplete"));

    let drawn = run!("tree", family.folder.path()).exits(0).text();
    assert!(drawn.lines().any(|line| line.trim() == command), "{drawn}");
    let tree = run!("tree", family.folder.path(), "--json").exits(0).json();
    let problems: Vec<&Value> = tree["problems"].as_array().unwrap().iter().collect();
    let names = |problem: &Value, path: &Path| {
        let said = ["path", "message", "fix"].map(|key| problem[key].as_str().unwrap());
        said.iter().any(|text| text.contains(path.to_str().unwrap()))
    };
    let told = problems.iter().any(|problem| {
        let fix = problem["fix"].as_str().unwrap();
        fix.contains("again, which completes the merge") && names(problem, merged) && names(problem, target)
    });
    assert!(told, "{problems:?}");
}

fn is_sound(family: &Family, disk: &Path) {
    assert_eq!(run!("check", disk, "--json").exits(0).json()["unfinished"], json!([]));
    let checked = run!("check", disk).exits(0);
    assert!(checked.stderr.is_empty());
    assert!(checked.text().lines().any(|line| line.starts_with("valid: 1 file")));
    assert!(!run!("tree", family.folder.path()).exits(0).text().contains("completes the merge"));
    run!("create", family.path("new.avhdx"), "--parent", disk).exits(0);
}

#[test]
fn an_incomplete_merge_of_one_level_is_reported() {
    let family = family();
    let (mid, leaf) = (family.mid(), family.leaf());
    interrupted(&family, &leaf, 1);
    assert_reported(&family, &mid, &leaf, &leaf);
    assert!(reads_as(&leaf) == family.content);
    run!("merge", leaf, "--delete-merged").exits(0);
    assert!(reads_as(&mid) == family.content);
    is_sound(&family, &mid);
}

#[test]
fn an_incomplete_merge_of_several_levels_is_reported() {
    let family = family();
    let (base, mid, leaf) = (family.base(), family.mid(), family.leaf());
    interrupted(&family, &leaf, 2);
    assert_reported(&family, &base, &leaf, &mid);
    run!("merge", leaf, "--into", base, "--delete-merged").exits(0);
    is_sound(&family, &base);
}

/// The merged disk was kept and used again, so it can be the target of another merge.
#[test]
fn a_disk_that_was_merged_before_is_half_merged() {
    let family = family();
    let (leaf, child) = (family.leaf(), family.path("child.avhdx"));
    run!("merge", leaf).exits(0);
    run!("create", child, "--parent", leaf).exits(0);
    let mut disk = VhdxMut::open(&child).unwrap();
    for block in 0..2 {
        disk.write_all_at(&[7; 4096], DiskOffset::new(block * (2 << 20))).unwrap();
    }
    disk.close().unwrap();
    interrupted(&family, &child, 1);
    std::fs::remove_file(&child).unwrap();
    let tree = run!("tree", family.folder.path(), "--json").exits(0).json();
    let is_named = |problem: &Value| {
        let message = problem["message"].as_str().unwrap();
        problem["path"] == json!(leaf) && message.contains("is the target of an incomplete merge")
    };
    assert!(tree["problems"].as_array().unwrap().iter().any(is_named), "{tree}");
}

/// The layer whose parent is the target cannot be merged: no command may say so.
#[test]
fn without_the_merged_disk_no_command_completes_the_merge() {
    let family = family();
    interrupted(&family, &family.leaf(), 2);
    std::fs::remove_file(family.leaf()).unwrap();
    let drawn = run!("tree", family.folder.path()).exits(0).text();
    assert!(!drawn.contains("vhdx merge"), "{drawn}");
    for words in ["If files of that merge are still missing", "is the target of an incomplete merge"] {
        assert!(drawn.contains(words), "{words}: {drawn}");
    }
}

/// No stored path leads to the target. An old copy has the GUID that the target had before the merge.
#[test]
fn the_target_is_found_by_guid_beside_an_old_copy() {
    let family = family();
    let [target, copy] = ["renamed.vhdx", "copy.vhdx"].map(|name| family.path(name));
    std::fs::copy(family.base(), &copy).unwrap();
    interrupted(&family, &family.leaf(), 2);
    std::fs::rename(family.base(), &target).unwrap();
    let layers = run!("chain", family.leaf(), "--json").exits(0).json()["layers"].clone();
    assert_eq!((&layers[2]["path"], &layers[2]["found_by"]), (&json!(target), &json!("guid")), "{layers}");
    let tree = run!("tree", family.folder.path(), "--json").exits(0).json();
    let mid =
        tree["disks"].as_array().unwrap().iter().find(|disk| disk["path"] == json!(family.mid())).unwrap();
    assert_eq!(mid["parent"], json!(target));
    run!("merge", family.leaf(), "--into", target).exits(0);
    assert!(reads_as(&target) == family.content);
}

/// Once the merge is complete, the merged disk is not taken for an incomplete target, wherever the target is.
#[test]
fn a_relinked_child_proves_that_the_merge_is_complete() {
    let family = family();
    let (base, mid) = (family.base(), family.mid());
    run!("merge", mid).exits(0);
    assert!(reads_as(&family.leaf()) == family.content);
    assert_eq!(run!("check", mid, "--json").exits(0).json()["unfinished"], json!([]));
    is_sound(&family, &base);
    std::fs::create_dir(family.path("moved")).unwrap();
    std::fs::rename(&base, family.path("moved/base.vhdx")).unwrap();
    let tree = run!("tree", family.folder.path()).exits(0).text();
    assert!(!tree.contains("completes the merge"), "{tree}");
    std::fs::rename(family.path("moved"), family.folder.path().with_extension("elsewhere")).unwrap();
    let tree = run!("tree", family.folder.path()).exits(0).text();
    std::fs::remove_dir_all(family.folder.path().with_extension("elsewhere")).unwrap();
    assert!(!tree.contains("completes the merge"), "{tree}");
}

/// `reparent` changes only the stored paths: the merge is still known to be incomplete.
#[test]
fn the_merged_disk_can_be_moved() {
    let family = family();
    let (mid, leaf, moved) = (family.mid(), family.leaf(), family.path("moved/leaf.avhdx"));
    interrupted(&family, &leaf, 1);
    std::fs::create_dir(family.path("moved")).unwrap();
    std::fs::rename(&leaf, &moved).unwrap();
    run!("reparent", moved, "--parent", mid).exits(0);
    assert!(reads_as(&moved) == family.content);
    let new = family.path("new.avhdx");
    run!("create", new, "--parent", mid, "--parent-dir", family.path("moved")).exits(5);
    let warned =
        run!("convert", mid, family.path("x.raw"), "--parent-dir", family.path("moved"), "--dry-run");
    assert!(warned.exits(0).stderr.contains("a merge into it is incomplete"));
    run!("merge", moved, "--delete-merged").exits(0);
    assert!(reads_as(&mid) == family.content);
}

/// Merging the target into its own parent would remove files that the first merge needs to complete.
#[test]
fn the_target_is_not_merged_itself() {
    let family = family();
    let (base, mid, leaf) = (family.base(), family.mid(), family.leaf());
    interrupted(&family, &leaf, 1);
    for refused in [
        run!("merge", mid, "--delete-merged"),
        run!("merge", leaf, "--into", base),
        run!("merge", mid, "--output", family.path("new.vhdx")),
        run!("create", family.path("new.avhdx"), "--parent", mid),
    ] {
        let said = refused.exits(5).stderr;
        let command = format!("vhdx merge {} --into {}", leaf.display(), mid.display());
        assert!(said.contains("a merge into it is incomplete") && said.contains(&command), "{said}");
    }
    assert!(reads_as(&leaf) == family.content);
    // The disk itself says so, even if the merged files are not found.
    std::fs::create_dir(family.path("away")).unwrap();
    std::fs::rename(&leaf, family.path("away/leaf.avhdx")).unwrap();
    let said = run!("merge", mid).exits(5).stderr;
    assert!(said.contains("a merge into it is incomplete") && said.contains("--parent-dir"), "{said}");
    let checked = run!("check", mid, "--json").exits(0).json();
    assert_eq!(checked["unfinished"], json!([{ "path": mid, "merged": null, "into": mid }]));
    std::fs::rename(family.path("away/leaf.avhdx"), &leaf).unwrap();

    run!("merge", leaf, "--delete-merged").exits(0);
    run!("merge", mid).exits(0);
    assert!(reads_as(&base) == family.content);
}

#[test]
fn an_interrupted_merge_finds_its_target_again() {
    let family = family();
    let (base, leaf) = (family.base(), family.leaf());
    interrupted(&family, &leaf, 2);
    let merged = run!("merge", leaf, "--json").exits(0).json();
    assert_eq!(merged["into"], json!(base), "{merged}");
    is_sound(&family, &base);
}

/// The merged files are kept. The target is a disk like any other, and no command asks to run the merge again.
#[test]
fn a_completed_merge_looks_completed() {
    let family = family();
    let (base, mid, leaf, new) = (family.base(), family.mid(), family.leaf(), family.path("new.avhdx"));
    let said = run!("merge", leaf).exits(0).text();
    assert!(said.contains("Delete only these") && said.contains("Do not delete"), "{said}");
    is_sound(&family, &mid);
    assert!(run!("convert", mid, "-").exits(0).stdout == family.content);

    let left_over = json!([{ "files": [leaf], "into": mid }]);
    assert_eq!(run!("check", leaf, "--json").exits(0).json()["left_over"], left_over);
    assert_eq!(run!("chain", leaf, "--json").exits(0).json()["left_over"], left_over);
    assert_eq!(run!("check", mid, "--json").exits(0).json()["left_over"], json!([]));
    for told in [run!("check", leaf), run!("chain", leaf), run!("tree", family.folder.path())] {
        let told = told.exits(0);
        let said = told.text() + &told.stderr;
        assert!(said.contains("left over from a completed merge into"), "{said}");
    }
    let again = run!("merge", leaf, "--json").exits(0).json();
    assert_eq!((&again["already_merged"], &again["bytes_copied"]), (&json!(true), &json!(0)));

    // The left-over file does not block other merges.
    let merged = run!("merge", new, "--json").exits(0).json();
    assert_eq!((&merged["into"], &merged["left_over_children"]), (&json!(mid), &json!([leaf])));
    run!("merge", mid, "--into", base).exits(0);
    assert!(reads_as(&base) == family.content);
    // A target that was changed since cannot be told from an older copy.
    let again = run!("merge", leaf, "--json").exits(0).json();
    assert_eq!((&again["already_merged"], &again["deleted"]), (&json!(true), &json!([])));
    let refused = run!("merge", leaf, "--delete-merged").exits(5).stderr;
    assert!(refused.contains("nothing is deleted") && refused.contains("only copy"), "{refused}");
    assert!(leaf.exists());
}

/// The target of a completed merge is lost, or was replaced by an older copy.
#[test]
fn without_the_target_nothing_is_deleted_or_called_unneeded() {
    for is_restored in [false, true] {
        let family = family();
        let (mid, leaf, top) = (family.mid(), family.leaf(), family.path("top.avhdx"));
        let backup = std::fs::read(&mid).unwrap();
        run!("create", top, "--parent", leaf).exits(0);
        let content = run!("convert", top, "-").exits(0).stdout;
        run!("merge", leaf).exits(0);
        std::fs::remove_file(&mid).unwrap();
        if is_restored {
            std::fs::write(&mid, &backup).unwrap();
        }
        for merged in [
            run!("merge", leaf, "--delete-merged", "--dry-run", "--json"),
            run!("merge", leaf, "--delete-merged", "--json"),
        ] {
            let merged = merged.exits(0).json();
            assert_eq!(
                (&merged["deleted"], &merged["in_use"][0]["path"]),
                (&json!([]), &json!(top)),
                "{merged}"
            );
        }
        // The child names the lost target first. Without the target, it needs the merged file.
        let said = run!("tree", family.folder.path(), "--json").text();
        assert!(!said.contains("delete them"), "{said}");
        for file in [&top, &leaf] {
            assert_eq!(run!("info", file, "--json").exits(0).json()["left_over"], json!([]));
        }
        std::fs::remove_file(&top).unwrap();
        let said = run!("tree", family.folder.path()).text();
        assert!(said.contains("may be the only copy"), "{said}");
        run!("merge", leaf, "--delete-merged", "--dry-run").exits(5);
        run!("merge", leaf, "--delete-merged").exits(5);
        // The merged file still has its data.
        std::fs::write(&mid, &backup).unwrap();
        run!("reparent", leaf, "--parent", mid, "--ignore-id-mismatch").exits(0);
        assert!(run!("convert", leaf, "-").exits(0).stdout == content);
    }
}

/// The merged disk was kept, and a virtual machine has written to it since.
#[test]
fn a_merged_disk_that_was_written_to_is_not_left_over() {
    let family = family();
    let (mid, leaf) = (family.mid(), family.leaf());
    run!("merge", leaf).exits(0);
    let mut disk = vhdx::VhdxMut::open(&leaf).unwrap();
    disk.write_all_at(&[7; 512], vhdx::DiskOffset::new(0)).unwrap();
    disk.close().unwrap();
    assert_eq!(run!("check", leaf, "--json").exits(0).json()["left_over"], json!([]));
    assert!(!run!("tree", family.folder.path()).exits(0).text().contains("left over"));
    let new = family.path("new.avhdx");
    run!("create", new, "--parent", mid).exits(0);
    let refused = run!("merge", new).exits(5).stderr;
    assert!(refused.contains(leaf.to_str().unwrap()) && !refused.contains("incomplete"), "{refused}");
    std::fs::remove_file(&new).unwrap();
    run!("merge", leaf).exits(0);
    assert!(reads_as(&mid)[..512] == [7; 512]);
}
