//! Disks into which a merge was begun: nothing in them says so, but what was merged does.

use std::path::Path;

use serde_json::{Value, json};
use vhdx::ops::{HostFiles, MergeOptions, MergePlan};
use vhdx::{Chain, Error, FolderResolver, NoProgress, Progress, find_relatives};

use crate::images::{Family, family};
use crate::new_files::reads_as;
use crate::run;

/// Cancels once something was copied.
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

/// What there is to say of `target`, into which `merged` was merged in part, by all that look at it.
#[track_caller]
fn is_told(family: &Family, target: &Path, merged: &Path, layer: &Path) {
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
        assert!(said.contains("warning: ") && said.contains("may not be complete"), "{said}");
    }
    for answer in [
        run!("convert", target, copy, "--dry-run", "--json"),
        run!("merge", target, "--output", new, "--dry-run", "--json"),
    ] {
        assert_eq!(answer.exits(0).json()["unfinished"], unfinished);
    }
    assert!(run!("compare", target, target).exits(0).stderr.contains("may not be complete"));
    assert!(run!("check", target, "--quiet").exits(0).stderr.is_empty());

    let tree = run!("tree", family.folder.path(), "--json").exits(0).json();
    let problems: Vec<&Value> = tree["problems"].as_array().unwrap().iter().collect();
    let names = |problem: &Value, path: &Path| {
        let said = ["path", "message", "fix"].map(|key| problem[key].as_str().unwrap());
        said.iter().any(|text| text.contains(path.to_str().unwrap()))
    };
    let told = problems.iter().any(|problem| {
        let fix = problem["fix"].as_str().unwrap();
        fix.contains("again, which completes it") && names(problem, merged) && names(problem, target)
    });
    assert!(told, "{problems:?}");
}

fn is_sound(family: &Family, disk: &Path) {
    assert_eq!(run!("check", disk, "--json").exits(0).json()["unfinished"], json!([]));
    assert!(run!("check", disk).exits(0).stderr.is_empty());
    assert!(!run!("tree", family.folder.path()).exits(0).text().contains("completes it"));
    run!("create", family.path("new.avhdx"), "--parent", disk).exits(0);
}

#[test]
fn one_level() {
    let family = family();
    let (mid, leaf) = (family.mid(), family.leaf());
    interrupted(&family, &leaf, 1);
    is_told(&family, &mid, &leaf, &leaf);
    assert!(reads_as(&leaf) == family.content);
    run!("merge", leaf, "--delete-merged").exits(0);
    assert!(reads_as(&mid) == family.content);
    is_sound(&family, &mid);
}

#[test]
fn several_levels() {
    let family = family();
    let (base, mid, leaf) = (family.base(), family.mid(), family.leaf());
    interrupted(&family, &leaf, 2);
    is_told(&family, &base, &leaf, &mid);
    run!("merge", leaf, "--into", base, "--delete-merged").exits(0);
    is_sound(&family, &base);
}

/// Once it is complete, a relinked child proves it; what was merged is no target, wherever the target is.
#[test]
fn with_a_child_that_was_relinked() {
    let family = family();
    let (base, mid) = (family.base(), family.mid());
    run!("merge", mid).exits(0);
    assert!(reads_as(&family.leaf()) == family.content);
    assert_eq!(run!("check", mid, "--json").exits(0).json()["unfinished"], json!([]));
    is_sound(&family, &base);
    std::fs::create_dir(family.path("moved")).unwrap();
    std::fs::rename(&base, family.path("moved/base.vhdx")).unwrap();
    let tree = run!("tree", family.folder.path()).exits(0).text();
    assert!(!tree.contains("completes it"), "{tree}");
    std::fs::rename(family.path("moved"), family.folder.path().with_extension("elsewhere")).unwrap();
    let tree = run!("tree", family.folder.path()).exits(0).text();
    std::fs::remove_dir_all(family.folder.path().with_extension("elsewhere")).unwrap();
    assert!(!tree.contains("completes it"), "{tree}");
}

/// The paths to the target change; what tells that a merge was begun stays.
#[test]
fn what_was_merged_is_moved() {
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
    assert!(warned.exits(0).stderr.contains("may not be complete"));
    run!("merge", moved, "--delete-merged").exits(0);
    assert!(reads_as(&mid) == family.content);
}

/// The disk that was merged reads right, whatever becomes of what it stands on.
#[test]
fn the_target_is_merged_itself() {
    let family = family();
    interrupted(&family, &family.leaf(), 1);
    let said = run!("merge", family.mid()).exits(0).stderr;
    assert!(said.contains("may not be complete"), "{said}");
    assert!(reads_as(&family.leaf()) == family.content);
}

/// Nothing tells whether the new child was made before the merge was complete, or afterwards.
#[test]
fn a_child_that_was_made_all_the_same() {
    let family = family();
    let (mid, leaf, new) = (family.mid(), family.leaf(), family.path("new.avhdx"));
    let said = run!("merge", leaf).exits(0).text();
    assert!(said.contains("Delete them before") && said.contains(mid.to_str().unwrap()), "{said}");
    let elsewhere = tempfile::tempdir().unwrap();
    let away = elsewhere.path().join("leaf.avhdx");
    std::fs::rename(&leaf, &away).unwrap();
    run!("create", new, "--parent", mid).exits(0);
    std::fs::rename(&away, &leaf).unwrap();

    let in_the_way = run!("merge", new).exits(5).stderr;
    assert!(in_the_way.contains("an earlier merge comes first"), "{in_the_way}");
    let refused = run!("merge", leaf).exits(5).stderr;
    for word in ["nothing left to merge", leaf.to_str().unwrap(), "move it to another folder"] {
        assert!(refused.contains(word), "{word}: {refused}");
    }
    std::fs::remove_file(&leaf).unwrap();
    run!("merge", new).exits(0);
    assert!(reads_as(&mid) == family.content);
}
