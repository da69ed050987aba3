//! `reparent` points a child at its parent, or says why it does not.

use serde_json::json;
use vhdx::Guid;

use crate::images::{family, write};
use crate::run;

#[test]
fn a_parent_that_was_renamed() {
    let family = family();
    let gold = family.path("gold.vhdx");
    std::fs::rename(family.base(), &gold).unwrap();
    let found_by = || {
        let chain = run!("chain", family.leaf(), "--json").exits(0).json();
        chain["layers"][2]["found_by"].clone()
    };
    assert_eq!(found_by(), "guid");
    let before = family.files();
    let dry = run!("reparent", family.mid(), "--parent", gold, "--dry-run", "--json").exits(0).json();
    assert_eq!(family.files(), before);
    let text = run!("reparent", family.mid(), "--parent", gold, "--dry-run").exits(0).text();
    assert!(text.contains("would point at") && text.contains(r".\gold.vhdx"), "{text}");
    let mut done = run!("reparent", family.mid(), "--parent", gold, "--json").exits(0).json();
    assert_eq!((&done["child"], &done["parent"]), (&json!(family.mid()), &json!(gold)));
    assert_eq!((&done["changed"], &done["dry_run"]), (&json!(true), &json!(false)));
    assert_eq!(done["link"], run!("info", family.mid(), "--json").exits(0).json()["parent"]);
    assert_eq!(done["link"]["relative_path"], json!(r".\gold.vhdx"));
    assert_eq!(done["link"]["linkage"], json!(family.images.base.data_write_guid.to_string()));
    assert_eq!(done["old_link"]["relative_path"], json!(r".\base.vhdx"));
    assert_eq!((&done["ignored_id_mismatch"], &done["evidence"]), (&json!(false), &json!(null)));
    done["dry_run"] = json!(true);
    assert_eq!(done, dry);
    assert!(run!("convert", family.leaf(), "-").exits(0).stdout == family.content);
    run!("check", family.leaf(), "--chain").exits(0);
    let again = run!("reparent", family.mid(), "--parent", gold).exits(0).text();
    assert!(again.contains("already points at"), "{again}");
    assert_eq!(found_by(), "relative_path");
}

#[test]
fn a_mismatch_is_refused_with_evidence() {
    let family = family();
    let kept = family.path("kept.vhdx");
    std::fs::copy(family.base(), &kept).unwrap();
    let mut base = family.images.base.clone();
    base.data_write_guid = Guid::from_u128(0x77);
    write(&base, &family.base());
    let before = family.files();

    let text = run!("reparent", family.mid(), "--parent", family.base()).exits(5).stderr;
    let expected = family.images.base.data_write_guid.to_string();
    for word in [
        &expected,
        &base.data_write_guid.to_string(),
        "kept.vhdx",
        "virtual disk id: the same",
        "last change",
        "--ignore-id-mismatch",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let error = run!("reparent", family.mid(), "--parent", family.base(), "--json").exits(5).error();
    assert_eq!((&error["kind"], &error["path"]), (&json!("chain"), &json!(family.mid())));
    let evidence = &error["evidence"];
    assert_eq!(evidence["expected"], json!([expected]));
    assert_eq!(evidence["candidate"]["data_write_guid"], json!(base.data_write_guid.to_string()));
    assert_eq!(evidence["candidate"]["virtual_disk_id"], evidence["child"]["virtual_disk_id"]);
    assert!(evidence["candidate"]["modified"].is_u64() && evidence["child"]["modified"].is_u64());
    assert_eq!((&evidence["others"], &evidence["ancestor_level"]), (&json!([kept]), &json!(null)));
    assert_eq!(evidence["undetermined"], json!([]));
    assert_eq!(family.files(), before);

    let done = run!("reparent", family.mid(), "--parent", family.base(), "--ignore-id-mismatch", "--json")
        .exits(0)
        .json();
    assert_eq!((&done["ignored_id_mismatch"], &done["evidence"]["others"]), (&json!(true), &json!([kept])));
    run!("map", family.leaf()).exits(0);
    let text = run!("reparent", family.mid(), "--parent", kept, "--ignore-id-mismatch").exits(0).text();
    assert!(text.contains("now points at") && text.contains("is not known"), "{text}");
}

#[test]
fn links_that_are_broken_on_several_levels() {
    let family = family();
    let [base, mid] = ["b/b.vhdx", "m/m.avhdx"].map(|name| family.path(name));
    for path in [&base, &mid] {
        std::fs::create_dir(path.parent().unwrap()).unwrap();
    }
    std::fs::rename(family.base(), &base).unwrap();
    std::fs::rename(family.mid(), &mid).unwrap();
    let new = family.path("new.avhdx");
    for refused in [
        run!("reparent", family.leaf(), "--parent", mid).exits(5).stderr,
        run!("create", new, "--parent", mid).exits(5).stderr,
    ] {
        assert!(refused.contains("starting at the base") && !refused.contains("each level"), "{refused}");
    }
    // The base is an ancestor of the leaf, but the leaf's chain does not lead to it.
    let text = run!("reparent", family.leaf(), "--parent", base).exits(5).stderr;
    assert!(text.contains("the child's chain does not open"), "{text}");
    let error = run!("reparent", family.leaf(), "--parent", base, "--json").exits(5).error();
    assert_eq!(error["evidence"]["chain_opens"], json!(false));
    run!("reparent", mid, "--parent", base).exits(0);
    run!("reparent", family.leaf(), "--parent", mid).exits(0);
    assert!(run!("convert", family.leaf(), "-").exits(0).stdout == family.content);
}

#[test]
fn files_that_cannot_become_the_parent_are_refused() {
    let family = family();
    let before = family.files();
    for parent in [family.mid(), family.leaf()] {
        let cycle = run!("reparent", family.mid(), "--parent", parent, "--ignore-id-mismatch").exits(5);
        let says = match parent == family.mid() {
            true => format!("{}: a disk cannot be its own parent; nothing was changed", parent.display()),
            false => format!("{} depends on {}", parent.display(), family.mid().display()),
        };
        assert!(cycle.stderr.contains(&says) && !cycle.stderr.contains("backup"), "{}", cycle.stderr);
        let swapped = format!("vhdx reparent {} --parent {}", parent.display(), family.mid().display());
        assert_eq!(cycle.stderr.contains(&swapped), parent != family.mid(), "{}", cycle.stderr);
    }
    let ancestor = run!("reparent", family.leaf(), "--parent", family.base(), "--json").exits(5).error();
    assert_eq!(ancestor["evidence"]["ancestor_level"], json!(2));
    assert_eq!(ancestor["evidence"]["chain_opens"], json!(true));
    run!("reparent", family.base(), "--parent", family.mid()).exits(2);
    run!("reparent", family.mid()).exits(2);
    run!("reparent", family.mid(), "--parent", family.path("none.vhdx")).exits(6);
    run!("reparent", family.mid(), "--parent", family.base(), "--parent-dir", family.path("none")).exits(6);
    assert_eq!(family.files(), before);
    let mut base = family.images.base.clone();
    (base.logical_sector_size, base.data_write_guid) = (4096, family.images.base.data_write_guid);
    write(&base, &family.path("sectors.vhdx"));
    let sectors =
        run!("reparent", family.mid(), "--parent", family.path("sectors.vhdx"), "--ignore-id-mismatch")
            .exits(5);
    assert!(sectors.stderr.contains("4096") && !sectors.stderr.contains("hint"), "{}", sectors.stderr);
}

#[cfg(unix)]
#[test]
fn a_child_that_cannot_be_written_to() {
    use std::os::unix::fs::PermissionsExt;
    let family = family();
    let gold = family.path("gold.vhdx");
    std::fs::rename(family.base(), &gold).unwrap();
    std::fs::set_permissions(family.mid(), PermissionsExt::from_mode(0o400)).unwrap();
    let before = family.files();
    if std::fs::OpenOptions::new().write(true).open(family.mid()).is_ok() {
        vhdx_testkit::shared::say_skipped("this user may write to every file");
        return;
    }
    run!("reparent", family.mid(), "--parent", gold).exits(6);
    assert_eq!(family.files(), before);
}
