//! A merge is complete even if merged files cannot be deleted.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::images::{Family, family};
use crate::new_files::reads_as;
use crate::private::Private;
use crate::run;
use crate::run::Ran;

/// Mounts something on the file, so that it cannot be deleted.
fn pinned(file: &Path) -> Option<Private> {
    let name = file.file_name().unwrap().to_str().unwrap();
    Private::new(&format!("f=\"$1/{name}\"; mount --bind \"$f\" \"$f\""), file.parent().unwrap())
}

fn merge(family: &Family, private: &Private, options: &[&str]) -> Ran {
    let args = ["merge".into(), family.leaf(), "--delete-merged".into()];
    private.vhdx(args.into_iter().chain(options.iter().map(PathBuf::from)))
}

#[track_caller]
fn paths(not_deleted: &Value) -> Value {
    let files = not_deleted.as_array().unwrap().iter();
    files.map(|file| file["path"].clone()).collect()
}

#[track_caller]
fn is_complete(ran: &Ran, first: &Path) {
    let error = ran.error();
    assert_eq!((&error["kind"], &error["path"]), (&json!("io"), &json!(first)), "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("the merge into ") && message.contains("base.vhdx is complete"), "{message}");
    for word in ["newest first", "by hand", "Do not delete "] {
        assert!(message.contains(word), "{word}: {message}");
    }
}

#[test]
fn an_undeleted_merged_disk_keeps_its_parents() {
    let family = family();
    let (base, mid, leaf) = (family.base(), family.mid(), family.leaf());
    let Some(private) = pinned(&leaf) else { return };
    let into = ["--into", base.to_str().unwrap()];
    let ran = merge(&family, &private, &[&into[..], &["--json"]].concat()).exits(6);
    is_complete(&ran, &leaf);
    let answer = ran.json();
    assert_eq!((&answer["deleted"], paths(&answer["not_deleted"])), (&json!([]), json!([leaf, mid])));
    assert!(reads_as(&base) == family.content && reads_as(&leaf) == family.content);

    let said = merge(&family, &private, &into).exits(6);
    for word in ["is complete", leaf.to_str().unwrap(), mid.to_str().unwrap(), "by hand"] {
        assert!(said.stderr.contains(word), "{word}: {}", said.stderr);
    }
    assert!(!said.stderr.contains("not merged completely"), "{}", said.stderr);
    assert!(said.text().contains(&format!("not deleted: {}", leaf.display())), "{}", said.text());
}

#[test]
fn an_undeleted_merged_disk_with_a_relinked_child_keeps_its_parents() {
    let family = family();
    let (base, mid, leaf) = (family.base(), family.mid(), family.leaf());
    let top = family.path("top.avhdx");
    run!("create", top, "--parent", leaf).exits(0);
    let Some(private) = pinned(&leaf) else { return };
    let ran = merge(&family, &private, &["--into", base.to_str().unwrap(), "--json"]).exits(6);
    is_complete(&ran, &leaf);
    let answer = ran.json();
    assert_eq!((&answer["relinked"], &answer["deleted"]), (&json!([top]), &json!([])));
    assert_eq!(paths(&answer["not_deleted"]), json!([leaf, mid]));
    assert!(reads_as(&top) == family.content && reads_as(&leaf) == family.content);
}

#[test]
fn an_undeleted_file_of_an_earlier_merge_is_reported() {
    let family = family();
    let (base, mid, leaf) = (family.base(), family.mid(), family.leaf());
    let top = family.path("top.avhdx");
    run!("create", top, "--parent", leaf).exits(0);
    run!("merge", leaf, "--into", base).exits(0);
    let Some(private) = pinned(&mid) else { return };
    let ran = merge(&family, &private, &["--json"]).exits(6);
    is_complete(&ran, &mid);
    let answer = ran.json();
    assert_eq!(answer["already_merged"], json!(true));
    assert_eq!((&answer["deleted"], paths(&answer["not_deleted"])), (&json!([leaf]), json!([mid])));
    drop(private);
    // The merged disk is deleted. The hint names the files that are left over.
    let gone = run!("merge", leaf, "--delete-merged").exits(6).stderr;
    assert!(gone.contains(&format!("left over from that merge: {}.", mid.display())), "{gone}");
    assert!(reads_as(&top) == family.content);
}

#[test]
fn files_left_over_from_a_deleted_disk_are_named() {
    let family = family();
    let (base, mid, leaf) = (family.base(), family.mid(), family.leaf());
    let Some(private) = pinned(&mid) else { return };
    let ran = merge(&family, &private, &["--into", base.to_str().unwrap(), "--json"]).exits(6);
    is_complete(&ran, &mid);
    assert_eq!(ran.json()["deleted"], json!([leaf]));
    drop(private);
    let gone = run!("merge", leaf, "--delete-merged").exits(6).stderr;
    assert!(gone.contains(&format!("left over from that merge: {}.", mid.display())), "{gone}");
    std::fs::remove_file(&mid).unwrap();
    let gone = run!("merge", leaf, "--delete-merged").exits(6).stderr;
    assert!(gone.contains("there is nothing left to do"), "{gone}");
    assert!(reads_as(&base) == family.content);
}
