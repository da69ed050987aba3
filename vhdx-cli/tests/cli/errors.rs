//! The exit code and the message of every class of error.

use std::ffi::OsStr;

use serde_json::json;
use vhdx_testkit::ExtraRegion;

use crate::images::{family, write};
use crate::run;

#[test]
fn a_corrupt_file() {
    let family = family();
    let garbage = family.path("garbage.vhdx");
    std::fs::write(&garbage, vec![7; 4 << 20]).unwrap();
    let json = run!("info", garbage, "--json").exits(3);
    assert_eq!(json.stdout, b"");
    let error = json.error();
    assert_eq!(
        (&error["kind"], &error["path"], &error["offset"]),
        (&json!("corrupt"), &json!(garbage), &json!(0))
    );
    assert!(error["message"].as_str().unwrap().contains("[MS-VHDX] 2.2.1"), "{error}");

    let text = run!("info", garbage).exits(3);
    assert!(
        text.stderr.starts_with(&format!("vhdx: {}: file type identifier", garbage.display())),
        "{}",
        text.stderr
    );
    assert_eq!(text.stderr.matches("garbage.vhdx").count(), 1, "{}", text.stderr);
    run!("chain", garbage).exits(3);
    run!("map", garbage).exits(3);
    run!("check", garbage).exits(1);
}

#[test]
fn a_damaged_vhdx_is_not_read_as_raw() {
    let family = family();
    let garbage = family.path("garbage.avhdx");
    std::fs::write(&garbage, vec![7; 4 << 20]).unwrap();
    run!("convert", garbage, "-").exits(3);
    run!("compare", garbage, garbage).exits(3);
    assert_eq!(run!("convert", garbage, "-", "--from", "raw").exits(0).stdout, vec![7; 4 << 20]);
}

#[test]
fn a_vhdx_without_its_file_signature_is_not_read_as_raw() {
    let family = family();
    let disk = family.path("disk");
    let mut bytes = std::fs::read(family.base()).unwrap();
    bytes[..8].fill(0);
    for kept in ["head", "head", "regi", "regi"].iter().zip([64, 128, 192, 256]) {
        let mut bytes = bytes.clone();
        for place in [64, 128, 192, 256].into_iter().filter(|place| *place != kept.1) {
            bytes[place << 10..][..4].fill(0);
        }
        std::fs::write(&disk, bytes).unwrap();
        run!("convert", disk, "-").exits(3);
    }
}

#[test]
fn other_formats_are_not_read_as_raw() {
    let family = family();
    let image = family.path("image.img");
    let signatures: [(usize, &[u8], &str); 6] = [
        (0, b"conectix", "VHD"),
        (65_536 - 512, b"conectix", "VHD"),
        (0, b"QFI\xfb", "QCOW2"),
        (0, b"KDMV", "VMDK"),
        (0, b"# Disk DescriptorFile", "VMDK"),
        (64, &[0x7f, 0x10, 0xda, 0xbe], "VDI"),
    ];
    for (offset, signature, name) in signatures {
        let mut bytes = vec![0; 65_536];
        bytes[offset..][..signature.len()].copy_from_slice(signature);
        std::fs::write(&image, &bytes).unwrap();
        let error = run!("convert", image, "-", "--json").exits(4).error();
        assert_eq!((&error["kind"], &error["path"]), (&json!("unsupported"), &json!(image)));
        let text = run!("convert", image, family.path("new.vhdx")).exits(4);
        let expected = format!("looks like a {name} image, which vhdx cannot read: convert it first");
        assert!(text.stderr.contains(&expected), "{}", text.stderr);
        run!("compare", family.leaf(), image).exits(4);
        run!("compare", family.leaf(), image, "--b-from", "raw").exits(1);
        let asked = run!("convert", image, "-", "--from", "raw").exits(0);
        assert!(asked.stdout == bytes && asked.stderr.is_empty());
    }
    std::fs::write(&image, [0; 65_536]).unwrap();
    let raw = run!("convert", image, "-").exits(0);
    assert_eq!(raw.stderr, format!("vhdx: {} is read as raw\n", image.display()));
    assert_eq!(run!("convert", image, "-", "--quiet").exits(0).stderr, "");
}

#[test]
fn other_formats_are_not_called_corrupt() {
    let family = family();
    let [qcow2, vhd, child] = ["disk.qcow2", "disk.vhdx", "child.avhdx"].map(|name| family.path(name));
    std::fs::write(&qcow2, [b"QFI\xfb".as_slice(), &[0; 65_536]].concat()).unwrap();
    std::fs::write(&vhd, [&[0; 65_536], b"conectix".as_slice(), &[0; 504]].concat()).unwrap();
    for (image, format) in [(&qcow2, "QCOW2"), (&vhd, "VHD")] {
        for ran in [
            run!("info", image, "--json"),
            run!("chain", image, "--json"),
            run!("map", image, "--json"),
            run!("check", image, "--json"),
            run!("check", image, "--chain", "--json"),
            run!("convert", image, "-", "--from", "vhdx", "--json"),
            run!("replay", image, "--json"),
            run!("merge", image, "--json"),
            run!("create", child, "--parent", image, "--json"),
            run!("reparent", image, "--parent", family.base(), "--json"),
            run!("reparent", family.mid(), "--parent", image, "--json"),
        ] {
            let error = ran.exits(4).error();
            assert_eq!((&error["kind"], &error["path"]), (&json!("unsupported"), &json!(image)), "{error}");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(&format!("looks like a {format} image")), "{error}");
        }
    }
}

#[test]
fn an_empty_file() {
    let family = family();
    let empty = family.path("empty.vhdx");
    std::fs::write(&empty, []).unwrap();
    for command in ["info", "chain", "map"] {
        run!(command, empty).exits(3);
    }
}

#[test]
fn a_valid_file_with_an_unknown_required_region() {
    let family = family();
    let mut base = family.images.base.clone();
    let id = uuid::Uuid::from_u128(0x1234);
    base.extra_regions.push(ExtraRegion { id, mib: 1, required: true });
    write(&base, &family.base());
    let error = run!("info", family.base(), "--json").exits(4).error();
    assert_eq!(error["kind"], "unsupported");
    assert!(error["message"].as_str().unwrap().contains(&id.to_string()), "{error}");
    // The child itself is sound: `info` can read it.
    run!("info", family.leaf()).exits(0);
    run!("map", family.leaf()).exits(4);
}

#[test]
fn a_broken_chain() {
    let family = family();
    std::fs::remove_file(family.mid()).unwrap();
    for command in ["chain", "map"] {
        let error = run!(command, family.leaf(), "--json").exits(5).error();
        assert_eq!((&error["kind"], &error["path"]), (&json!("chain"), &json!(family.leaf())));
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(&family.images.mid.data_write_guid.to_string()), "{message}");
        assert!(
            message.contains("mid.avhdx") && message.contains(family.folder.path().to_str().unwrap()),
            "{message}"
        );
    }
    run!("convert", family.leaf(), "-").exits(5);
    run!("merge", family.leaf(), "--output", family.path("new.vhdx")).exits(5);
    run!("compare", family.leaf(), family.base()).exits(5);
    let files = family.files();
    assert!(!files.contains_key("new.vhdx"));
}

#[test]
fn a_file_that_is_not_there() {
    let family = family();
    let nowhere = family.path("nowhere.vhdx");
    let error = run!("info", nowhere, "--json").exits(6).error();
    assert_eq!((&error["kind"], &error["path"]), (&json!("io"), &json!(nowhere)));
    for command in ["chain", "map", "check", "tree"] {
        run!(command, nowhere).exits(6);
    }
    run!("compare", family.leaf(), nowhere).exits(6);
    run!("convert", nowhere, family.path("new.raw")).exits(6);
    run!("convert", family.leaf(), family.path("no/such/folder/new.raw")).exits(6);
}

#[test]
fn a_folder_for_parents_that_is_not_there() {
    let family = family();
    for folder in [family.path("nowhere"), family.base()] {
        for command in ["chain", "map", "check"] {
            let error = run!(command, family.leaf(), "--parent-dir", folder, "--json").exits(6).error();
            assert_eq!((&error["kind"], &error["path"]), (&json!("io"), &json!(folder)));
        }
    }
    let text = run!("chain", family.leaf(), "--parent-dir", family.path("nowhere")).exits(6);
    assert!(!text.stderr.contains("0x0"), "{}", text.stderr);
}

#[test]
fn a_destination_without_a_folder() {
    let family = family();
    let before = family.files();
    for folder in ["no/such/folder", "base.vhdx"] {
        let new = family.path(folder).join("new.vhdx");
        for option in ["--quiet", "--dry-run"] {
            let error = run!("merge", family.leaf(), "--output", new, option, "--json").exits(6).error();
            assert_eq!((&error["kind"], &error["path"]), (&json!("io"), &json!(new)));
            assert!(!error["message"].as_str().unwrap().contains(".part"), "{error}");
            run!("convert", family.leaf(), new, option).exits(6);
        }
    }
    let text = run!("convert", family.leaf(), family.path("no/new.vhdx")).exits(6);
    assert!(text.stderr.contains("cannot find its folder"), "{}", text.stderr);
    assert_eq!(family.files(), before);
}

#[test]
fn a_folder_in_the_place_of_a_file() {
    let family = family();
    for command in ["map", "chain"] {
        assert_eq!(run!(command, family.folder.path(), "--json").exits(2).error()["kind"], "usage");
    }
}

#[test]
fn no_reason_is_printed_twice() {
    let family = family();
    let (absent, leaf) = (family.path("absent.vhdx"), family.leaf());
    for ran in [
        run!("info", absent),
        run!("convert", absent, family.path("new.vhdx")),
        run!("create", family.path("new.avhdx"), "--parent", absent),
        run!("tree", absent),
        // A folder cannot be made in a file.
        run!("man", "--out", leaf.join("pages")),
    ] {
        let text = ran.exits(6).stderr;
        assert_eq!(text.matches("os error").count(), 1, "{text}");
    }
}

#[test]
fn usage() {
    let family = family();
    run!("--help").exits(0);
    run!("--version").exits(0);
    let text = run!("frobnicate").exits(2);
    assert!(text.stderr.contains("frobnicate") && text.stderr.contains("Usage"), "{}", text.stderr);
    for args in [vec!["info", "--json"], vec!["--json"], vec!["merge", "--json"], vec!["tree", "--json"]] {
        let ran = crate::run::vhdx(args.clone()).exits(2);
        assert_eq!(ran.error()["kind"], "usage", "{args:?}");
    }
    let size = run!("convert", family.leaf(), family.path("n.vhdx"), "--block-size", "3Q").exits(2);
    assert!(size.stderr.contains("64K"), "{}", size.stderr);
}

#[test]
fn invalid_command_lines() {
    let family = family();
    let before = family.files();
    let leaf = family.leaf();
    let ambiguous = run!("convert", leaf, family.path("new"), "--json").exits(2).error();
    assert!(ambiguous["message"].as_str().unwrap().contains("--to"), "{ambiguous}");
    run!("convert", leaf, family.path("new.qcow2")).exits(2);
    run!("convert", leaf, "-", "--to", "vhdx").exits(2);
    run!("convert", leaf, "-", "--type", "fixed").exits(2);
    run!("convert", leaf, family.path("new.raw"), "--block-size", "2M").exits(2);
    for size in ["3M", "512K", "512M", "8G", "0"] {
        run!("convert", leaf, family.path("new.vhdx"), "--block-size", size).exits(2);
        run!("convert", leaf, family.path("new.vhdx"), "--block-size", size, "--dry-run").exits(2);
    }
    run!("replay", leaf, "--parent-dir", "x").exits(2);
    run!("merge", leaf, "--output", family.path("new.raw")).exits(2);
    run!("merge", leaf, "--output", family.path("new"), "--dry-run").exits(2);
    run!("merge", leaf, "--output", "-").exits(2);
    run!("merge", leaf, "--output", "-", "--force").exits(2);
    for option in [["--force"].as_slice(), &["--type", "fixed"]] {
        let args = ["merge".as_ref(), leaf.as_os_str()].into_iter().chain(option.iter().map(OsStr::new));
        assert!(crate::run::vhdx(args).exits(2).stderr.contains("--output"));
    }
    for option in [vec!["--delete-merged"], vec!["--into", "x"]] {
        crate::run::vhdx([vec!["merge", "x", "--output", "new.vhdx"], option].concat()).exits(2);
    }
    run!("merge", family.base()).exits(2);
    let stdin = run!("convert", "-", family.path("new.vhdx")).exits(2);
    assert!(stdin.stderr.contains("the source cannot be stdin"), "{}", stdin.stderr);
    assert_eq!(family.files(), before);
}

#[test]
fn parents_of_a_raw_disk() {
    let family = family();
    let (raw, leaf, folder) = (family.path("disk.raw"), family.leaf(), family.folder.path());
    std::fs::write(&raw, &family.content).unwrap();
    let before = family.files();
    for (option, value) in [("--parent", family.mid()), ("--parent-dir", folder.to_owned())] {
        let refused = run!("convert", raw, family.path("new.vhdx"), option, value).exits(2);
        assert!(refused.stderr.contains("a raw disk has no parents"), "{}", refused.stderr);
        run!("convert", leaf, "-", "--from", "raw", option, value).exits(2);
        run!("compare", raw, raw, option, value).exits(2);
        run!("compare", leaf, raw, option, value).exits(0);
    }
    run!("compare", raw, leaf, "--parent", family.mid()).exits(2);
    run!("compare", raw, leaf, "--parent-dir", folder).exits(0);
    assert_eq!(family.files(), before);
}

#[test]
fn an_empty_file_and_a_truncated_one_are_called_so() {
    let family = family();
    let empty = family.path("empty.vhdx");
    std::fs::write(&empty, b"").unwrap();
    let error = run!("info", empty).exits(3).stderr;
    assert!(error.contains("(the file is empty)"), "{error}");
    let base = std::fs::File::options().write(true).open(family.base()).unwrap();
    let blocks_end = base.metadata().unwrap().len();
    base.set_len(blocks_end - 4096).unwrap();
    drop(base); // on Windows, a file that is open for writing cannot be read
    let error = run!("convert", family.base(), "-").exits(3).stderr;
    assert!(error.contains("past the end of the file (the block begins at 0x"), "{error}");
}
