//! `create` makes new disks and new children.

use serde_json::json;
use vhdx::{DiskType, Guid, Vhdx};

use crate::images::{MIB, SIZE, family, names};
use crate::run;

#[test]
fn a_dynamic_disk_has_the_defaults_of_windows() {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("new.vhdx");
    let made = run!("create", new, "--size", "10G", "--json").exits(0).json();
    assert_eq!(names(folder.path()), ["new.vhdx"]);
    let mut info = run!("info", new, "--json").exits(0).json();
    (info["dry_run"], info["stale"]) = (json!(false), json!([]));
    assert_eq!(made, info, "the new file's info");
    assert_eq!((&made["type"], &made["virtual_size"]), (&json!("dynamic"), &json!(10_u64 << 30)));
    assert_eq!((&made["block_size"], &made["parent"]), (&json!(32 << 20), &json!(null)));
    assert_eq!((&made["logical_sector_size"], &made["physical_sector_size"]), (&json!(512), &json!(4096)));
    run!("check", new).exits(0);
    let refused = run!("create", new, "--size", "1G").exits(6);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    let again = run!("create", new, "--size", "1G", "--force").exits(0).text();
    assert!(again.contains("1073741824 (1 GiB)"), "{again}");
    assert_ne!(
        Vhdx::open(&new).unwrap().virtual_disk_id().map(|id| id.to_string()),
        made["virtual_disk_id"].as_str().map(str::to_owned)
    );
}

#[test]
fn a_fixed_disk_and_other_sectors() {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("new.vhdx");
    let args =
        ["--size", "5M", "--type", "fixed", "--block-size", "2M", "--logical-sector-size", "4096", "--json"];
    let made = crate::run::vhdx([&["create", new.to_str().unwrap()], &args[..]].concat()).exits(0).json();
    assert_eq!((&made["type"], &made["file_size"]), (&json!("fixed"), &json!(10 << 20)));
    assert!(made["allocated"].as_u64().unwrap() >= 6 << 20, "{made}");
    let vhdx = Vhdx::open(&new).unwrap();
    assert_eq!((vhdx.logical_sector_size(), vhdx.physical_sector_size()), (4096, 4096));
    let plain = folder.path().join("plain.vhdx");
    run!("create", plain, "--size", "5M", "--physical-sector-size", "512").exits(0);
    assert_eq!(Vhdx::open(&plain).unwrap().physical_sector_size(), 512);
}

#[test]
fn a_child_of_a_checkpoint() {
    let family = family();
    let before = family.files();
    let new = family.path("new.avhdx");
    let made = run!("create", new, "--parent", family.leaf(), "--json").exits(0).json();
    assert_eq!((&made["type"], &made["virtual_size"]), (&json!("differencing"), &json!(SIZE)));
    assert_eq!(made["block_size"], json!(2 << 20));
    assert_eq!(made["virtual_disk_id"], json!(family.images.leaf.virtual_disk_id.to_string()));
    let parent = &made["parent"];
    assert_eq!(parent["linkage"], json!(family.images.leaf.data_write_guid.to_string()));
    assert_eq!(
        (&parent["linkage2"], &parent["relative_path"]),
        (&json!(Guid::nil().to_string()), &json!(r".\leaf.avhdx"))
    );
    run!("compare", new, family.leaf()).exits(0);
    run!("check", new, "--chain").exits(0);
    let other = family.path("other.avhdx");
    run!("create", other, "--parent", new, "--size", "12M", "--block-size", "1M").exits(0);
    let vhdx = Vhdx::open(&other).unwrap();
    assert_eq!((vhdx.virtual_size(), vhdx.block_size()), (12 << 20, MIB as u64));
    drop(vhdx); // Windows keeps the name of an open file
    run!("compare", other, family.leaf()).exits(0);
    std::fs::remove_file(new).unwrap();
    std::fs::remove_file(other).unwrap();
    assert_eq!(family.files(), before);
}

#[test]
fn the_parent_needs_its_own_parents() {
    let family = family();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::rename(family.base(), elsewhere.path().join("base.vhdx")).unwrap();
    let before = family.files();
    let new = family.path("new.avhdx");
    assert_eq!(run!("create", new, "--parent", family.leaf(), "--json").exits(5).error()["kind"], "chain");
    assert_eq!(family.files(), before);
    run!("create", new, "--parent", family.leaf(), "--parent-dir", elsewhere.path()).exits(0);
    let vhdx = Vhdx::open(&new).unwrap();
    assert_eq!(vhdx.disk_type(), DiskType::Differencing);
    run!("create", family.path("x.avhdx"), "--parent", family.leaf(), "--parent-dir", family.path("none"))
        .exits(6);
}

#[test]
fn a_dry_run_makes_nothing() {
    let family = family();
    let new = family.path("new.vhdx");
    std::fs::write(family.path("new.vhdx.rct"), b"").unwrap();
    let before = family.files();
    let dry = run!("create", new, "--size", "3M", "--type", "fixed", "--dry-run", "--json").exits(0).json();
    assert_eq!(
        (&dry["dry_run"], &dry["type"], &dry["data_write_guid"]),
        (&json!(true), &json!("fixed"), &json!(null))
    );
    assert_eq!(dry["file_size"], json!((4 + 32) << 20));
    assert_eq!(dry["stale"], json!([family.path("new.vhdx.rct")]));
    let text = run!("create", new, "--parent", family.mid(), "--dry-run").exits(0).text();
    for word in ["would make", "differencing", "mid.avhdx", "new.vhdx.rct"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(family.files(), before);
    let wet = run!("create", new, "--size", "3M", "--json").exits(0).json();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let dry = run!("create", family.path("n.vhdx"), "--size", "3M", "--dry-run", "--json").exits(0).json();
    assert_eq!(keys(&dry), keys(&wet), "a dry run answers with the same keys");
}

#[test]
fn invalid_new_disks_are_refused() {
    let family = family();
    let before = family.files();
    let new = family.path("new.vhdx");
    for args in [
        &[][..],
        &["--size", "0"],
        &["--size", "513"],
        &["--size", "65T"],
        &["--size", "1G", "--block-size", "3M"],
        &["--size", "1G", "--block-size", "8G"],
        &["--size", "1G", "--logical-sector-size", "1024"],
        &["--size", "1G", "--physical-sector-size", "1K"],
        &["--size", "1G", "--type", "differencing"],
        &["--size", "1G", "--parent-dir", "."],
    ] {
        for mode in [None, Some("--dry-run")] {
            crate::run::vhdx(["create", new.to_str().unwrap()].iter().chain(args).copied().chain(mode))
                .exits(2);
        }
    }
    for option in
        [&["--type", "fixed"][..], &["--logical-sector-size", "512"], &["--physical-sector-size", "512"]]
    {
        let (new, mid) = (new.to_str().unwrap(), family.mid());
        let args = [&["create", new, "--parent", mid.to_str().unwrap()], option].concat();
        crate::run::vhdx(args).exits(2);
    }
    run!("create", family.path("new.raw"), "--size", "1G").exits(2);
    let neither = run!("create", family.path("new.vhdx")).exits(2).stderr;
    assert!(neither.contains("--size <SIZE>|--parent <FILE>"), "{neither}");
    let odd = run!("create", family.path("new.vhdx"), "--size", "1000").exits(2).stderr;
    assert!(odd.contains("a multiple of the logical sector size") && !odd.contains("64 TiB"), "{odd}");
    let is_source = run!("create", family.mid(), "--parent", family.leaf(), "--force").exits(2);
    assert!(is_source.stderr.contains("one of the sources"), "{}", is_source.stderr);
    run!("create", new, "--parent", family.path("none.vhdx")).exits(6);
    run!("create", family.path("none/new.vhdx"), "--size", "1G").exits(6);
    if vhdx::free_space(family.folder.path()).unwrap().is_some_and(|free| free < 60 << 40) {
        let full = run!("create", new, "--size", "60T", "--type", "fixed").exits(6);
        assert!(full.stderr.contains("are free"), "{}", full.stderr);
    }
    assert_eq!(family.files(), before);
}

#[cfg(unix)]
#[test]
fn a_parent_with_a_name_that_windows_does_not_have() {
    let family = family();
    let odd = family.path("a:b.vhdx");
    std::fs::rename(family.base(), &odd).unwrap();
    let error = run!("create", family.path("new.avhdx"), "--parent", odd, "--json").exits(2).error();
    assert!(error["message"].as_str().unwrap().contains("Windows"), "{error}");
}

/// Another program may have written the parent and been killed before that was durable. So the parent is synced before
/// the child names it.
#[cfg(target_os = "linux")]
#[test]
fn the_parent_is_durable_before_the_child_names_it() {
    use std::path::Path;
    use std::process::Command;
    let family = family();
    let Some(()) = vhdx_testkit::shared::program("strace") else { return };
    let calls = |args: &[&Path]| -> Vec<String> {
        let log = family.path("calls");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-y", "-qq", "-e", "trace=fsync,pwrite64,rename,renameat,renameat2,linkat", "-o"]);
        let ran = strace.arg(&log).arg(env!("CARGO_BIN_EXE_vhdx")).args(args).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        std::fs::read_to_string(log).unwrap().lines().map(str::to_owned).collect()
    };
    let is_sync = |call: &&String| call.contains("fsync") && call.contains("/base.vhdx>");
    let (new, gold) = (family.path("new.avhdx"), family.path("base.vhdx"));
    let made = calls(&["create".as_ref(), &new, "--parent".as_ref(), &gold]);
    assert!(made.first().as_ref().is_some_and(is_sync), "{made:?}");
    assert!(made.iter().any(|call| call.contains("pwrite64")), "{made:?}");

    std::fs::create_dir(family.path("moved")).unwrap();
    std::fs::rename(&gold, family.path("moved/base.vhdx")).unwrap();
    let linked = calls(&["reparent".as_ref(), &new, "--parent".as_ref(), &family.path("moved/base.vhdx")]);
    assert!(linked.first().as_ref().is_some_and(is_sync), "{linked:?}");
    assert!(linked.iter().any(|call| call.contains("pwrite64")), "{linked:?}");
}

#[test]
fn a_missing_folder_is_the_error_for_a_new_child() {
    let family = family();
    for new in ["nowhere/new.avhdx", "base.vhdx/new.avhdx"] {
        let new = family.folder.path().join(new);
        for args in [["--parent", family.leaf().to_str().unwrap()], ["--size", "1G"]] {
            let refused = crate::run::vhdx([&["create", new.to_str().unwrap()], &args[..]].concat()).exits(6);
            assert!(!refused.stderr.contains("Windows path"), "{}", refused.stderr);
        }
    }
}

#[test]
fn a_child_smaller_than_its_parent_gets_a_warning() {
    let family = family();
    let said =
        run!("create", family.path("new.avhdx"), "--parent", family.leaf(), "--size", "3M").exits(0).stderr;
    assert!(said.contains("smaller than its parent") && said.contains("would lose such data"), "{said}");
    let said = run!("create", family.path("same.avhdx"), "--parent", family.leaf()).exits(0).stderr;
    assert!(!said.contains("smaller"), "{said}");
}
