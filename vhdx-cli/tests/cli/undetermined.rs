//! Files that cannot be read and may be children of a disk that a merge changes.

use std::fs;
use std::path::PathBuf;

use serde_json::json;
use vhdx_testkit::Image;

use crate::images::{MIB, family, write};
use crate::new_files::reads_as;
use crate::run;

/// Files named like a disk, or with a signature of one, may be children of the target. Other files cannot be.
#[test]
fn a_merge_beside_undetermined_files_is_refused() {
    let family = family();
    fs::write(family.path("notes.txt"), "vhdx").unwrap();
    fs::write(family.path("broken.avhdx"), "not a disk").unwrap();
    fs::write(family.path("signed"), "vhdxfile").unwrap();
    let before = family.files();
    let merge = |options: &[&str]| {
        let args = ["merge".into(), family.leaf(), "--into".into(), family.base()];
        run::vhdx(args.into_iter().chain(options.iter().map(PathBuf::from)))
    };
    for option in ["--quiet", "--dry-run", "--delete-merged"] {
        let error = merge(&[option, "--json"]).exits(5).error();
        assert_eq!((&error["kind"], &error["path"]), (&json!("chain"), &json!(family.leaf())));
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("broken.avhdx") && message.contains("signed"), "{message}");
        assert!(!message.contains("notes.txt"), "{message}");
        let [broken, signed] = &error["undetermined"].as_array().unwrap()[..] else { panic!("{error}") };
        assert_eq!(
            (&broken["path"], &signed["path"]),
            (&json!(family.path("broken.avhdx")), &json!(family.path("signed")))
        );
        let reason = broken["message"].as_str().unwrap();
        assert!(!reason.is_empty() && !reason.contains("broken.avhdx"), "{reason}");
        let text = merge(&[option]).exits(5).stderr;
        assert!(text.contains("hint: ") && text.contains("--ignore-undetermined"), "{text}");
    }
    assert_eq!(family.files(), before);
    let planned = merge(&["--ignore-undetermined", "--dry-run", "--json"]).exits(0).json();
    let undetermined = planned["undetermined"].as_array().unwrap();
    let paths: Vec<_> = undetermined.iter().map(|file| file["path"].clone()).collect();
    assert_eq!(paths, [json!(family.path("broken.avhdx")), json!(family.path("signed"))]);
    let lines = merge(&["--ignore-undetermined", "--dry-run"]).exits(0).text();
    let line = lines.lines().find(|line| line.contains("broken.avhdx")).unwrap();
    assert_eq!(line.matches("broken.avhdx").count(), 1, "{line}");
    assert_eq!(family.files(), before);
    run!("merge", family.leaf(), "--output", family.path("new.vhdx"), "--ignore-undetermined").exits(2);
    let done = merge(&["--ignore-undetermined"]).exits(0);
    assert!(done.stderr.contains("may be overlooked"), "{}", done.stderr);
    assert!(reads_as(&family.base()) == family.content);
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_listed() {
    use std::os::unix::fs::PermissionsExt;
    let family = family();
    let elsewhere = family.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::set_permissions(&elsewhere, PermissionsExt::from_mode(0o000)).unwrap();
    if elsewhere.read_dir().is_ok() {
        vhdx_testkit::shared::say_skipped("this user may list every folder");
        return;
    }
    let refused = run!("merge", family.leaf(), "--parent-dir", elsewhere).exits(5).stderr;
    assert!(refused.contains("elsewhere"), "{refused}");
    run!("merge", family.leaf(), "--parent-dir", elsewhere, "--ignore-undetermined", "--dry-run").exits(0);
    fs::set_permissions(&elsewhere, PermissionsExt::from_mode(0o700)).unwrap();
}

/// A disk that cannot be read may need the merged files.
#[test]
fn merged_files_are_not_deleted_beside_undetermined_files() {
    let family = family();
    write(&Image::child_of(&family.images.leaf, "leaf.avhdx", MIB as u32), &family.path("top.avhdx"));
    run!("merge", family.leaf(), "--into", family.base()).exits(0);
    fs::write(family.path("broken.avhdx"), "not a disk").unwrap();
    let before = family.files();
    let text = run!("merge", family.leaf()).exits(0).text();
    assert!(
        text.contains("that is refused until these files can be read") && text.contains("broken.avhdx"),
        "{text}"
    );
    for option in ["--quiet", "--dry-run"] {
        let refused = run!("merge", family.leaf(), "--delete-merged", option).exits(5).stderr;
        assert!(refused.contains("broken.avhdx"), "{refused}");
    }
    assert_eq!(family.files(), before);
    let done =
        run!("merge", family.leaf(), "--delete-merged", "--ignore-undetermined", "--json").exits(0).json();
    assert_eq!(done["deleted"], json!([family.leaf(), family.mid()]));
}
