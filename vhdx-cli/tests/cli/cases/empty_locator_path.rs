//! A child whose locator has empty paths beside a sound linkage and a sound relative path.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::make;
use crate::fixtures::{disk_digest, hex};
use crate::run;

#[test]
fn the_empty_entries_are_ignored_and_written_by_no_command() {
    let Some((folder, printed)) = make("empty-locator-path") else { return };
    let expected = printed.split_whitespace().last().unwrap();
    let child = folder.path().join("c.avhdx");

    let info = run!("info", child, "--json").exits(0).json();
    assert_eq!(info["parent"]["relative_path"], json!(r".\p.vhdx"));
    assert_eq!(info["parent"]["absolute_win32_path"], json!(null));
    let chain = run!("chain", child, "--json").exits(0).json();
    assert_eq!(chain["layers"].as_array().unwrap().len(), 2);
    assert_eq!(disk_digest(&child), expected);
    let raw = folder.path().join("c.raw");
    run!("convert", child, raw).exits(0);
    let mut digest = Sha256::new();
    digest.update(std::fs::read(&raw).unwrap());
    assert_eq!(hex(digest), expected);

    let rules = || {
        let check = run!("check", child, "--json").exits(0).json();
        let violations = check["violations"].as_array().unwrap().clone();
        violations.iter().map(|found| (found["rule"].clone(), found["severity"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(rules(), vec![(json!("parent-locator-entry"), json!("tolerated")); 2]);

    run!("reparent", child, "--parent", folder.path().join("p.vhdx")).exits(0);
    assert_eq!(rules(), []);
    assert_eq!(disk_digest(&child), expected);
}

#[test]
fn a_merge_of_the_child_works() {
    let Some((folder, printed)) = make("empty-locator-path") else { return };
    let expected = printed.split_whitespace().last().unwrap();
    run!("merge", folder.path().join("c.avhdx"), "--delete-merged").exits(0);
    assert_eq!(disk_digest(&folder.path().join("p.vhdx")), expected);
}
