//! Files of other formats are recognized by their content, refused with the command to run instead, and never taken for
//! children.

use std::fs;
use std::path::Path;

use serde_json::json;
use vhdx_testkit::shared;

use crate::images::{Family, MIB, family};
use crate::peers::qemu;
use crate::run;

/// The offset and bytes of a signature, the name of the format, and the command that unpacks or converts `disk.img`.
const PACKED: &[(usize, &[u8], &str, &str)] = &[
    (0, b"\x1f\x8b\x08", "a gzip file", "7zz x"),
    (0, b"\xfd7zXZ\0", "an xz file", "7zz x"),
    (0, b"BZh91AY&SY", "a bzip2 file", "7zz x"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file", "zstd -d"),
    (0, b"\x04\x22\x4d\x18", "an lz4 file", "lz4 -d"),
    (0, b"PK\x03\x04", "a zip archive", "unzip"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "7zz x"),
    (0, b"Rar!\x1a\x07", "a rar archive", "7zz x"),
    (257, b"ustar", "a tar archive", "tar -xkf"),
];

const IMAGES: &[(usize, &[u8], &str, &str)] = &[
    (0, b"conectix", "a VHD image", "qemu-img convert -f vpc -O vhdx"),
    (65_536 - 512, b"conectix", "a VHD image", "qemu-img convert -f vpc -O vhdx"),
    (0, b"QFI\xfb", "a QCOW2 image", "qemu-img convert -O vhdx"),
    (0, b"QED\0", "a QED image", "qemu-img convert -O vhdx"),
    (0, b"KDMV", "a VMDK image", "qemu-img convert -O vhdx"),
    (64, b"\x7f\x10\xda\xbe", "a VDI image", "qemu-img convert -O vhdx"),
    (0, b"EVF\x09\x0d\x0a\xff\0", "an EWF image", "ewfexport -f raw"),
];

fn bytes(offset: usize, signature: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 65_536];
    bytes[offset..][..signature.len()].copy_from_slice(signature);
    bytes
}

#[test]
fn every_format_is_refused_with_the_command_to_run() {
    let family = family();
    for name in ["disk.img", "disk", "disk.vhdx"] {
        let image = family.path(name);
        for &(offset, signature, what, command) in PACKED.iter().chain(IMAGES) {
            let bytes = bytes(offset, signature);
            fs::write(&image, &bytes).unwrap();
            let error = run!("convert", image, "-", "--json").exits(4).error();
            let (message, hint) = (error["message"].as_str().unwrap(), error["hint"].as_str().unwrap());
            assert!(message.starts_with(&format!("looks like {what}")), "{message}");
            assert!(hint.ends_with("add `--from raw`"), "{hint}");
            assert!(hint.contains(&format!("`{command} ")), "{hint}");
            let is_packed = PACKED.iter().any(|row| row.2 == what);
            let first = if is_packed { "unpack it first" } else { "convert it first" };
            assert!(message.ends_with(&format!(", which vhdx cannot read: {first}")), "{message}");
            let error = run!("info", image, "--json").exits(4).error();
            assert!(error["hint"].as_str().unwrap().contains(command), "{error}");
            run!("compare", image, family.leaf()).exits(4);
            assert!(run!("convert", image, "-", "--from", "raw").exits(0).stdout == bytes);
        }
        fs::remove_file(&image).unwrap();
    }
}

/// A signature of another format counts only if the file has no signature of a VHDX.
#[test]
fn a_damaged_vhdx_is_not_taken_for_another_format() {
    let family = family();
    let sound = fs::read(family.base()).unwrap();
    for name in ["damaged.vhdx", "damaged.img"] {
        let damaged = family.path(name);
        for &(offset, signature, ..) in PACKED {
            let mut bytes = sound.clone();
            bytes[..8].fill(0);
            bytes[offset..][..signature.len()].copy_from_slice(signature);
            fs::write(&damaged, bytes).unwrap();
            run!("convert", damaged, "-").exits(3);
            run!("info", damaged).exits(3);
            run!("check", damaged).exits(1);
        }
        run!("merge", family.leaf(), "--dry-run").exits(5);
        fs::remove_file(&damaged).unwrap();
    }
}

#[test]
fn a_short_file_of_another_format() {
    let family = family();
    let short = family.path("short.vhdx");
    fs::write(&short, b"\x1f\x8b\x08").unwrap();
    for command in ["info", "check", "map", "chain", "replay"] {
        run!(command, short).exits(4);
    }
    let dry = run!("merge", family.leaf(), "--dry-run", "--json").exits(0).json();
    assert_eq!(dry["other_formats"], json!([{ "path": short, "format": "gzip" }]));
}

#[test]
fn a_raw_disk_with_a_boot_sector_is_raw() {
    let family = family();
    let disk = family.path("disk.img");
    for start in [b"\x33\xc0\x8e\xd0".as_slice(), b"\xeb\x3c\x90MSDOS5.0", b"\xebR\x90NTFS    ", b"BZh9"] {
        let mut bytes = bytes(0, start);
        bytes[510..512].copy_from_slice(b"\x55\xaa");
        fs::write(&disk, &bytes).unwrap();
        assert!(run!("convert", disk, "-").exits(0).stdout == bytes);
    }
}

/// Only the user can know that a raw disk has the bytes of a VHDX by chance.
#[test]
fn a_raw_disk_with_bytes_of_a_vhdx_is_read_with_from_raw() {
    let family = family();
    let disk = family.path("disk.img");
    for (offset, text) in [(64 << 10, "header"), (192 << 10, "register"), (2 << 20, "metadata")] {
        let mut bytes = vec![0; 4 << 20];
        bytes[offset..][..text.len()].copy_from_slice(text.as_bytes());
        fs::write(&disk, &bytes).unwrap();
        let error = run!("convert", disk, "-", "--json").exits(3).error();
        assert!(error["hint"].as_str().unwrap().contains("--from raw"), "{error}");
        assert!(run!("convert", disk, "-", "--from", "raw").exits(0).stdout == bytes);
    }
}

/// Images that QEMU made are recognized under any name.
#[test]
fn images_of_qemu_are_recognised() {
    if shared::program("qemu-img").is_none() {
        return;
    }
    let family = family();
    for (format, name) in
        [("vdi", "VDI"), ("qcow2", "QCOW2"), ("vmdk", "VMDK"), ("vpc", "VHD"), ("qed", "QED")]
    {
        let image = family.path("image");
        qemu(&["create", "-q", "-f", format], &[&image, Path::new("4M")]);
        for source in [image.clone(), family.path("image.img")] {
            if source != image {
                fs::rename(&image, &source).unwrap();
            }
            let error = run!("convert", source, "-", "--json").exits(4).error();
            assert!(error["message"].as_str().unwrap().contains(&format!("a {name} image")), "{error}");
            run!("compare", source, family.base()).exits(4);
            let merge = run!("merge", family.leaf(), "--dry-run", "--json").exits(0).json();
            assert_eq!(merge["other_formats"], json!([]), "{merge}");
        }
        let misnamed = family.path("misnamed.vhdx");
        fs::rename(family.path("image.img"), &misnamed).unwrap();
        let merge = run!("merge", family.leaf(), "--dry-run", "--json").exits(0).json();
        assert_eq!(merge["other_formats"][0]["path"], misnamed.to_str().unwrap(), "{merge}");
        fs::remove_file(&misnamed).unwrap();
    }
}

#[test]
fn a_vhd_set_is_known_by_its_name() {
    let family = family();
    let set = family.path("shared.vhds");
    fs::write(&set, vec![7; 4096]).unwrap();
    for ran in
        [run!("convert", set, "-", "--json"), run!("info", set, "--json"), run!("check", set, "--json")]
    {
        let error = ran.exits(4).error();
        assert!(error["message"].as_str().unwrap().starts_with("looks like a VHD set"), "{error}");
        assert!(error["hint"].as_str().unwrap().contains(".avhdx"), "{error}");
    }
    assert_eq!(run!("convert", set, "-", "--from", "raw").exits(0).stdout, vec![7; 4096]);
    run!("merge", family.leaf(), "--dry-run").exits(0);
    // A VHDX with another name is still a VHDX.
    fs::copy(family.base(), &set).unwrap();
    run!("info", set).exits(0);
}

#[test]
fn a_destination_named_like_another_format() {
    let family = family();
    let before = family.files();
    let new = |name: &str| family.path(name);
    for (name, command) in [
        ("n.vhd", "qemu-img convert -f raw -O vpc"),
        ("n.VHD", "qemu-img convert -f raw -O vpc"),
        ("n.qcow2", "qemu-img convert -f raw -O qcow2"),
        ("n.vmdk", "qemu-img convert -f raw -O vmdk"),
        ("n.vdi", "qemu-img convert -f raw -O vdi"),
        ("n.vhds", "Convert-VHD"),
        ("n.raw.gz", "| gzip >"),
    ] {
        for option in ["--quiet", "--dry-run"] {
            let refused = run!("convert", family.leaf(), new(name), option, "--json").exits(2).error();
            let message = refused["message"].as_str().unwrap();
            assert!(message.contains(command) && message.contains("only VHDX and raw"), "{message}");
        }
    }
    assert_eq!(family.files(), before);
    let misnamed = |family: &Family, name: &str, format: &str, what: &str, kind: &str| {
        let made = run!("convert", family.leaf(), family.path(name), "--to", format).exits(0);
        assert!(
            made.stderr.contains(&format!("is named like {what}, but is written as {format}")),
            "{}",
            made.stderr
        );
        let to = ["--to", format, "--dry-run", "--force", "--json"];
        let json = run!("convert", family.leaf(), family.path(name), to[0], to[1], to[2], to[3], to[4]);
        assert_eq!(json.exits(0).json()["misnamed"], json!(kind));
    };
    misnamed(&family, "n.vmdk", "raw", "a VMDK image", "VMDK");
    misnamed(&family, "n.vhds", "raw", "a VHD set", "VHD set");
    misnamed(&family, "n.vhdx", "raw", "a VHDX image", "VHDX");
    misnamed(&family, "n.vhd", "vhdx", "a VHD image", "VHD");
    for name in ["n.raw", "n.img"] {
        let made = run!("convert", family.leaf(), new(name)).exits(0);
        assert_eq!(made.stderr, "");
        let json = run!("convert", family.leaf(), new(name), "--force", "--json").exits(0).json();
        assert_eq!(json["misnamed"], json!(null));
    }
}

#[test]
fn a_target_named_like_an_image_is_not_overwritten() {
    let family = family();
    let target = family.path("disk.qcow2");
    fs::write(&target, vec![0xff; 6 * MIB]).unwrap();
    let refused = run!("convert", family.leaf(), target, "--in-place").exits(4).stderr;
    for words in ["looks like a QCOW2 image and may be the only copy", "--to raw overwrites it"] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    let done = run!("convert", family.leaf(), target, "--in-place", "--to", "raw").exits(0).stderr;
    assert!(done.contains("is named like a QCOW2 image, but is written as raw"), "{done}");
}
