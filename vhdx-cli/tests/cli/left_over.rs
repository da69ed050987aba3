//! What a merge of several levels leaves behind, if it is not deleted.

use std::fs;

use vhdx::{Chain, FolderResolver};

use crate::images::{Family, family};
use crate::new_files::reads_as;
use crate::run;

/// The leaf was merged into the base, past `mid`, and everything was kept.
fn merged() -> Family {
    let family = family();
    run!("merge", family.leaf(), "--into", family.base()).exits(0);
    assert!(reads_as(&family.base()) == family.content && reads_as(&family.leaf()) == family.content);
    family
}

#[test]
fn it_is_read_below_the_merged_disk_only() {
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
            assert!(error["message"].as_str().unwrap().contains("a merge into"), "{error}");
        }
        assert!(!new.exists());
        let found = run!("tree", family.folder.path()).exits(0).text();
        assert!(found.contains("is what a merge leaves behind"), "{found}");
    }
    assert!(reads_as(&base) == family.content);
}

#[test]
fn a_disk_that_was_used_by_itself_is_not_overwritten_by_it() {
    let family = merged();
    let mut disk = vhdx::VhdxMut::open(family.base()).unwrap();
    disk.write_all_at(&[7; 512], vhdx::DiskOffset::new(0)).unwrap();
    disk.close().unwrap();
    for file in [family.leaf(), family.mid()] {
        let refused = run!("merge", file, "--into", family.base(), "--delete-merged").exits(5);
        assert!(refused.stderr.contains("no longer once"), "{}", refused.stderr);
    }
    let refused = run!("reparent", family.mid(), "--parent", family.base()).exits(5);
    assert!(refused.stderr.contains("a merge into"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("6d657267"), "a mark is no GUID to look for: {}", refused.stderr);
    let found = run!("tree", family.folder.path()).exits(0).text();
    assert!(!found.contains("6d657267") && found.contains("is what a merge leaves behind"), "{found}");
}

#[test]
fn new_paths_leave_it_what_it_is_and_force_does_not() {
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
fn the_merged_disk_is_used_further_and_merged_again() {
    let family = merged();
    let child = family.path("child.avhdx");
    run!("create", child, "--parent", family.leaf()).exits(0);
    run!("compare", child, family.base()).exits(0);
    run!("merge", child, "--into", family.base(), "--delete-merged").exits(0);
    assert!(reads_as(&family.base()) == family.content);
    assert!(!family.mid().exists() && !family.leaf().exists());
}
