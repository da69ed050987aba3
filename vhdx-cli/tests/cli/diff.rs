//! `diff` lists what changed in all its forms, and `map --single-layer` what one file holds.

use std::fs;

use serde_json::json;
use vhdx::{DiskOffset, VhdxMut};
use vhdx_testkit::{Block, Image};

use crate::images::{MIB, SIZE, family, write};
use crate::run;

/// What changed in `images::family` from the base to the leaf.
fn changes() -> serde_json::Value {
    json!([
        { "start": 512, "length": 1024, "zero": false },
        { "start": MIB, "length": MIB, "zero": false },
        { "start": 2 * MIB, "length": MIB, "zero": true },
        { "start": 5 * MIB, "length": MIB, "zero": false },
    ])
}

#[test]
fn the_ranges_between_an_ancestor_and_its_descendant() {
    let family = family();
    let before = family.files();
    let (base, leaf) = (family.base(), family.leaf());
    assert_eq!(run!("diff", base, leaf, "--json").exits(0).json(), changes());
    assert_eq!(run!("diff", base, leaf, "--exact", "--json").exits(0).json(), changes());
    let lines = run!("diff", base, leaf, "--lines").exits(0).text();
    assert_eq!(lines, "512 1024 data\n1048576 1048576 data\n2097152 1048576 zero\n5242880 1048576 data\n");
    let text = run!("diff", base, leaf).exits(0).text();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["start", "length", "content"]);
    assert_eq!(lines[1], ["0x200", "0x400", "data"]);
    assert_eq!(lines[3], ["0x200000", "0x100000", "zero"]);
    assert!(text.ends_with("4 ranges: 2098176 (2.0 MiB) of data, 1048576 (1 MiB) of zeros\n"), "{text}");
    let same = run!("diff", leaf, leaf, "--json").exits(0);
    assert_eq!((same.json(), same.stderr.as_str()), (json!([]), ""));
    assert_eq!(family.files(), before);
}

#[test]
fn exact_leaves_out_what_is_equal() {
    let family = family();
    let mut child = Image::child_of(&family.images.leaf, "leaf.avhdx", 2 << 20);
    // The first half is what the leaf has there.
    child.blocks.insert(0, Block::full([family.content[..2 * MIB].to_vec()].concat()));
    child.blocks.insert(1, Block::full([vec![0; MIB], vec![b'x'; 512], vec![b'b'; MIB - 512]].concat()));
    let path = family.path("child.avhdx");
    write(&child, &path);
    let named = run!("diff", family.leaf(), path, "--lines").exits(0).text();
    assert_eq!(named, format!("0 {} data\n", 4 * MIB));
    let exact = run!("diff", family.leaf(), path, "--lines", "--exact").exits(0).text();
    assert_eq!(exact, format!("{} 512 data\n", 3 * MIB));
}

#[test]
fn siblings_and_disks_of_other_sizes() {
    let family = family();
    let mut sibling = Image::child_of(&family.images.mid, "mid.avhdx", MIB as u32);
    sibling.data_write_guid = vhdx::Guid::from_u128(5);
    sibling.virtual_size = SIZE + 512;
    let path = family.path("sibling.avhdx");
    write(&sibling, &path);
    let found = run!("diff", path, family.leaf(), "--json").exits(0).json();
    let of_leaf = [
        json!({ "start": 512, "length": 1024, "zero": false }),
        json!({ "start": 2 * MIB, "length": MIB, "zero": true }),
        json!({ "start": 5 * MIB, "length": MIB, "zero": false }),
    ];
    assert_eq!(found, json!(of_leaf));
    let text = run!("diff", family.leaf(), path).exits(0).text();
    assert!(text.contains(&format!("the sizes differ: {SIZE} and {} bytes", SIZE + 512)), "{text}");
}

#[test]
fn disks_that_are_not_points_in_time_of_one_disk() {
    let family = family();
    let (base, leaf) = (family.base(), family.leaf());
    let error = run!("diff", leaf, base, "--json").exits(5).error();
    assert_eq!((&error["kind"], &error["path"]), (&json!("chain"), &json!(base)));
    assert_eq!(error["old"], json!(leaf));
    assert!(error["message"].as_str().unwrap().contains("is a descendant of"), "{error}");

    let other = family.path("other.vhdx");
    run!("create", other, "--size", "6M").exits(0);
    let error = run!("diff", other, leaf, "--json").exits(5).error();
    assert_eq!(error["bases"][0]["path"], json!(other));
    assert_eq!(error["bases"][1]["path"], json!(base));
    let guid = family.images.base.data_write_guid.to_string();
    assert_eq!(error["bases"][1]["data_write_guid"], json!(guid));
    assert!(error["hint"].as_str().unwrap().contains("vhdx chain"), "{error}");

    // A copy is another file, whose changes nobody knows.
    fs::create_dir(family.path("copies")).unwrap();
    let copy = family.path("copies/base.vhdx");
    fs::copy(&base, &copy).unwrap();
    let text = run!("diff", copy, leaf).exits(5).stderr;
    assert!(text.contains("have the same DataWriteGuid, but they are two files"), "{text}");

    run!("diff", base, family.path("absent.vhdx")).exits(6);
    run!("diff", base, leaf, "--lines", "--json").exits(2);
}

#[test]
fn a_base_that_was_changed_since_is_refused_with_both_guids() {
    let family = family();
    let mut file = VhdxMut::open(family.base()).unwrap();
    file.write_all_at(&[7; 512], DiskOffset::new(0)).unwrap();
    file.close().unwrap();
    let text = run!("diff", family.base(), family.leaf()).exits(5).stderr;
    let now = vhdx::Vhdx::open(family.base()).unwrap().data_write_guid();
    for guid in [family.images.base.data_write_guid, now] {
        assert!(text.contains(&guid.to_string()), "{text}");
    }
}

#[cfg(unix)]
#[test]
fn a_disk_in_use_needs_force_share() {
    let family = family();
    let held = vhdx::FileStorage::open_exclusive(&family.leaf()).unwrap();
    let text = run!("diff", family.base(), family.leaf()).exits(6).stderr;
    assert!(text.contains("--force-share"), "{text}");
    let ran = run!("diff", family.base(), family.leaf(), "--force-share", "--json").exits(0);
    assert_eq!(ran.json(), changes());
    let facts: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(facts["held_by_writer"], json!([family.leaf()]));
    drop(held);
}

#[test]
fn a_list_that_is_cut_off_by_damage_is_no_json() {
    let family = family();
    let image = &family.images.leaf;
    let mut file = image.sparse();
    let entry = image.layout().bat_entry(image.bat_index(5));
    file.write(entry, &((1_u64 << 40) | 6).to_le_bytes());
    file.write_to(&family.leaf()).unwrap();
    let ran = run!("diff", family.base(), family.leaf(), "--json").exits(3);
    assert_eq!(ran.error()["kind"], json!("corrupt"));
    assert!(serde_json::from_slice::<serde_json::Value>(&ran.stdout).is_err());
    assert!(ran.text().starts_with("[{"), "{}", ran.text());
    let exact = run!("diff", family.base(), family.leaf(), "--exact", "--json").exits(3);
    assert_eq!(exact.stdout, b"");
}

#[test]
fn a_map_of_a_single_layer_needs_no_parents() {
    let family = family();
    fs::remove_file(family.mid()).unwrap();
    run!("map", family.leaf()).exits(5);
    let map = run!("map", family.leaf(), "--single-layer", "--json").exits(0).json();
    let kinds: Vec<_> = map
        .as_array()
        .unwrap()
        .iter()
        .map(|range| [&range["start"], &range["present"], &range["zero"], &range["data"], &range["depth"]])
        .map(|range| range.map(Clone::clone))
        .collect();
    let expected = [
        (0, false, false, false),
        (512, true, false, true),
        (1536, false, false, false),
        (2 * MIB, true, true, false),
        (3 * MIB, false, false, false),
        (5 * MIB, true, false, true),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|&(start, present, zero, data)| {
            [json!(start), json!(present), json!(zero), json!(data), json!(0)]
        })
        .collect();
    assert_eq!(kinds, expected);
    let text = run!("map", family.leaf(), "--single-layer").exits(0).text();
    let content: Vec<&str> = text.lines().map(|line| line.split_whitespace().nth(2).unwrap()).collect();
    assert_eq!(content, ["content", "absent", "data", "absent", "zero", "absent", "data"]);
    // A base has no parent: what it does not hold is zeros.
    let map = run!("map", family.base(), "--single-layer", "--json").exits(0).json();
    assert_eq!(map, run!("map", family.base(), "--json").exits(0).json());
    run!("map", family.leaf(), "--single-layer", "--parent", family.base()).exits(2);
}
