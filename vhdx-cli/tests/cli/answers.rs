//! Answers of the commands that only read (`info`, `chain`, `map`, `check`, `compare`), completions and manual pages.

use serde_json::json;
use vhdx_testkit::{Block, DirtyLog, Headers, Image, Part};

use crate::images::{MIB, SIZE, family, write};
use crate::run;

#[test]
fn info_as_json_has_the_agreed_keys() {
    let family = family();
    let info = run!("info", family.leaf(), "--json", "--blocks").exits(0);
    let leaf = &family.images.leaf;
    let allocated = vhdx::allocated_bytes(&family.leaf()).unwrap();
    let expected = json!({
        "path": family.leaf(),
        "type": "differencing",
        "virtual_size": SIZE,
        "file_size": family.leaf().metadata().unwrap().len(),
        "allocated": allocated,
        "block_size": MIB,
        "logical_sector_size": 512,
        "physical_sector_size": 4096,
        "virtual_disk_id": leaf.virtual_disk_id.to_string(),
        "file_write_guid": leaf.file_write_guid.to_string(),
        "data_write_guid": leaf.data_write_guid.to_string(),
        "creator": leaf.creator,
        "log": { "state": "clean", "entries": 0 },
        "blocks": info.json()["blocks"],
        "parent": {
            "linkage": family.images.mid.data_write_guid.to_string(),
            "linkage2": "00000000-0000-0000-0000-000000000000",
            "relative_path": r".\mid.avhdx",
            "absolute_win32_path": r"C:\VMs\mid.avhdx",
            "volume_path": r"\\?\Volume{5e0bd954-71b2-4bff-a928-082af7ab0f8f}\VMs\mid.avhdx",
        },
        "unfinished": [],
        "found_by_guid": [],
        "left_over": [],
        "bat_entries": [],
        "held_by_writer": [],
    });
    assert_eq!(info.json(), expected);
    assert_eq!(info.stderr, "");
    let counts = info.json()["blocks"].as_object().unwrap().clone();
    assert_eq!(counts.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 6);
    assert_eq!(counts["PARTIALLY_PRESENT"], 1);
    assert_eq!(counts["ZERO"], 1);

    let base = run!("info", family.base(), "--json").exits(0).json();
    assert!(base["parent"].is_null());
    assert!(base.get("blocks").is_none());
}

#[test]
fn info_warns_of_tolerated_violations() {
    let family = family();
    let healthy = run!("info", family.leaf()).exits(0);
    assert_eq!(healthy.stderr, "", "there is no warning about what Windows does");
    let leaf = Image { headers: Headers::FirstIsSound, ..family.images.leaf.clone() };
    write(&leaf, &family.leaf());
    let info = run!("info", family.leaf()).exits(0);
    assert!(
        info.text().contains("virtual size:") && info.text().contains("6291456 (6 MiB)"),
        "{}",
        info.text()
    );
    assert!(info.text().contains(&family.images.mid.data_write_guid.to_string()), "{}", info.text());
    assert!(
        info.stderr.starts_with("vhdx: warning: ")
            && info.stderr.contains("leaf.avhdx")
            && info.stderr.contains("header 2"),
        "{}",
        info.stderr
    );
    assert_eq!(run!("info", family.leaf(), "--quiet").exits(0).stderr, "");
}

#[test]
fn a_dirty_log_is_reported_and_not_applied() {
    let family = family();
    let mut base = family.images.base.clone();
    base.log = Some(DirtyLog { seed: 3, entries: 2, stale: 1, runs: 4, closed: false });
    write(&base, &family.base());
    let before = family.files();
    assert_eq!(
        run!("info", family.base(), "--json").exits(0).json()["log"],
        json!({ "state": "dirty", "entries": 2 })
    );
    assert!(run!("info", family.base()).exits(0).text().contains("the file was not touched"));
    assert_eq!(run!("convert", family.leaf(), "-").exits(0).stdout, family.content);
    assert_eq!(family.files(), before);
}

#[test]
fn control_characters_from_a_file_are_escaped() {
    let family = family();
    let mut base = family.images.base.clone();
    base.creator = "evil\u{1b}[2J".to_owned();
    write(&base, &family.base());
    let info = run!("info", family.base()).exits(0);
    assert!(!info.stdout.contains(&0x1b) && info.text().contains("evil"), "{}", info.text());
}

#[test]
fn chain_checks_each_link() {
    let family = family();
    let chain = run!("chain", family.leaf(), "--json").exits(0).json();
    let part = |key: &str| -> Vec<_> {
        chain["layers"].as_array().unwrap().iter().map(|layer| layer[key].clone()).collect()
    };
    assert_eq!(part("path"), [family.leaf(), family.mid(), family.base()].map(|path| json!(path)));
    assert_eq!(part("link"), ["ok", "ok", "base"]);
    assert_eq!(part("type"), ["differencing", "differencing", "dynamic"]);
    assert_eq!(part("virtual_size"), [SIZE; 3]);
    assert_eq!(part("block_size"), [MIB; 3]);
    assert_eq!(part("data_write_guid")[1], family.images.mid.data_write_guid.to_string());

    let text = run!("chain", family.leaf()).exits(0).text();
    assert_eq!(text.lines().count(), 4, "{text}");
}

#[test]
fn a_broken_chain_is_shown_as_far_as_it_goes() {
    let family = family();
    let mut changed = family.images.base.clone();
    changed.data_write_guid = family.images.leaf.data_write_guid;
    write(&changed, &family.base());
    let chain = run!("chain", family.leaf(), "--json").exits(5);
    let links: Vec<_> =
        chain.json()["layers"].as_array().unwrap().iter().map(|layer| layer["link"].clone()).collect();
    assert_eq!(links, ["ok", "mismatch", "base"]);
    assert_eq!(chain.error()["kind"], "chain");
    assert_eq!(chain.error()["path"], json!(family.mid()));

    std::fs::remove_file(family.base()).unwrap();
    let chain = run!("chain", family.leaf()).exits(5);
    assert!(chain.text().lines().any(|line| line.starts_with("missing")), "{}", chain.text());
    let guid = family.images.base.data_write_guid.to_string();
    assert!(chain.stderr.contains(&guid) && chain.stderr.contains("hint: "), "{}", chain.stderr);
    assert!(chain.stderr.contains("base.vhdx"), "{}", chain.stderr);
}

#[test]
fn parents_are_found_in_other_folders_and_by_name() {
    let family = family();
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("base.vhdx");
    std::fs::rename(family.base(), &moved).unwrap();
    run!("map", family.leaf()).exits(5);
    run!("map", family.leaf(), "--parent-dir", elsewhere.path()).exits(0);
    run!("map", family.leaf(), "--parent", family.mid(), "--parent", moved).exits(0);
}

#[test]
fn map_json_has_the_form_of_qemu_img() {
    let family = family();
    let map = run!("map", family.leaf(), "--json").exits(0);
    let (leaf, mid, base) = (family.leaf(), family.mid(), family.base());
    let leaf_at = |block| family.images.leaf.layout().offset(Part::Payload(block));
    let mid_at = |block| family.images.mid.layout().offset(Part::Payload(block));
    let base_at = |block| family.images.base.layout().offset(Part::Payload(block));
    let data = |start, length, depth, offset: u64, filename| {
        json!({ "start": start, "length": length, "depth": depth, "present": true, "zero": false, "data": true,
            "compressed": false, "offset": offset, "filename": filename })
    };
    let zero = |start, length, depth, present| {
        json!({ "start": start, "length": length, "depth": depth, "present": present, "zero": true, "data": false,
            "compressed": false })
    };
    let expected = json!([
        data(0, 512, 2, base_at(0), &base),
        data(512, 1024, 0, leaf_at(0) + 512, &leaf),
        data(1536, MIB - 1536, 2, base_at(0) + 1536, &base),
        data(MIB, MIB, 1, mid_at(1), &mid),
        zero(2 * MIB, MIB, 0, true),
        data(3 * MIB, MIB, 2, base_at(3), &base),
        zero(4 * MIB, MIB, 2, false),
        data(5 * MIB, MIB, 0, leaf_at(5), &leaf),
    ]);
    assert_eq!(map.json(), expected);
    assert!(map.text().starts_with("[{\"start\":0,\"length\":512,\"depth\":2,"), "{}", map.text());

    let text = run!("map", family.leaf()).exits(0).text();
    assert_eq!(text.lines().count(), 9, "{text}");
    assert!(text.contains("unallocated") && text.contains("zero"), "{text}");
}

#[test]
fn map_has_no_offsets_for_a_file_with_a_dirty_log() {
    let family = family();
    let dirty = DirtyLog { seed: 3, entries: 2, stale: 1, runs: 4, closed: false };
    write(&Image { log: Some(dirty), ..family.images.base.clone() }, &family.base());
    let map = run!("map", family.leaf(), "--json").exits(0).json();
    let mut depths = Vec::new();
    for extent in map.as_array().unwrap().iter().filter(|extent| extent["data"] == true) {
        depths.push(extent["depth"].as_u64().unwrap());
        assert!(extent.get("filename").is_some(), "{extent}");
        assert_eq!(extent.get("offset").is_some(), extent["depth"] != 2, "{extent}");
    }
    assert_eq!(depths, [2, 0, 2, 1, 2, 0]);

    let text = run!("map", family.leaf()).exits(0).text();
    for line in text.lines().filter(|line| line.contains(" data ")) {
        let fields = line.split_whitespace().count();
        assert_eq!(fields, if line.ends_with("base.vhdx") { 4 } else { 5 }, "{line}");
    }
}

#[test]
fn check_accepts_tolerated_violations() {
    let family = family();
    let sound = run!("check", family.base(), "--json").exits(0).json();
    assert_eq!(
        sound,
        json!({ "valid": true, "complete": true, "files": [family.base()], "dirty_logs": [], "violations": [],
            "more": 0, "damage": [], "size_differences": [], "unfinished": [], "found_by_guid": [], "left_over": [], "bat_entries": [],
            "held_by_writer": [] })
    );

    let mut damaged = family.images.base.clone();
    damaged.headers = Headers::FirstIsSound;
    write(&damaged, &family.base());
    let tolerated = run!("check", family.base(), "--json").exits(0).json();
    assert_eq!(tolerated["valid"], true);
    let violation = &tolerated["violations"][0];
    assert_eq!(violation["path"], json!(family.base()));
    assert_eq!(violation["structure"], "header 2");
    assert_eq!(violation["offset"], 128 << 10);
    assert_eq!(violation["rule"], "header-checksum");
    assert_eq!(violation["severity"], "tolerated");
    assert!(violation["message"].as_str().unwrap().contains("[MS-VHDX]"), "{violation}");
}

#[test]
fn check_goes_on_after_the_first_violation() {
    let family = family();
    let image = &family.images.base;
    let layout = image.layout();
    let mut file = image.sparse();
    let past_end = (layout.len + (1 << 40)) | 6;
    file.write(layout.bat_entry(image.bat_index(0)), &past_end.to_le_bytes());
    file.write(layout.bat_entry(image.bat_index(3)), &5u64.to_le_bytes());
    file.write(layout.bat_entry(image.bat_index(4)), &4u64.to_le_bytes());
    file.write_to(&family.base()).unwrap();

    let check = run!("check", family.base(), "--json").exits(1).json();
    assert_eq!(check["valid"], false);
    let rules: Vec<_> = check["violations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["rule"].as_str().unwrap().to_owned())
        .collect();
    for rule in ["block-past-end", "bat-state-draft", "bat-state-reserved"] {
        assert!(rules.iter().any(|found| found == rule), "{rule}: {rules:?}");
    }
    let text = run!("check", family.base()).exits(1).text();
    assert!(text.contains("fatal") && text.contains("not valid"), "{text}");
    run!("check", family.leaf()).exits(0);
    run!("check", family.leaf(), "--chain").exits(1);
}

#[test]
fn check_of_a_chain_covers_every_file_and_the_links() {
    let family = family();
    let check = run!("check", family.leaf(), "--chain", "--json").exits(0).json();
    assert_eq!(check["files"], json!([family.leaf(), family.mid(), family.base()]));
    std::fs::remove_file(family.base()).unwrap();
    let check = run!("check", family.leaf(), "--chain", "--json").exits(5);
    assert_eq!((&check.json()["valid"], &check.json()["complete"]), (&json!(false), &json!(false)));
    assert_eq!(check.error()["kind"], "chain");
}

#[test]
fn check_says_if_it_is_incomplete() {
    let family = family();
    let sound = run!("check", family.base()).exits(0).text();
    assert!(sound.contains("1 file checked, violations: 0 fatal"), "{sound}");
    std::fs::write(family.path("garbage.vhdx"), vec![7; 4 << 20]).unwrap();
    for file in ["garbage.vhdx", "nowhere.vhdx"] {
        let text = run!("check", family.path(file)).text();
        assert!(text.contains("1 file not checked to the end"), "{text}");
    }
    assert_eq!(run!("check", family.path("garbage.vhdx"), "--json").exits(1).json()["complete"], false);
}

#[test]
fn check_mentions_a_dirty_log() {
    let family = family();
    let log = DirtyLog { seed: 3, entries: 2, stale: 1, runs: 4, closed: false };
    write(&Image { log: Some(log), ..family.images.base.clone() }, &family.base());
    let check = run!("check", family.leaf(), "--chain", "--json").exits(0).json();
    assert_eq!(check["dirty_logs"], json!([family.base()]));
    assert!(run!("check", family.base()).exits(0).text().contains("the log is dirty"));
}

#[test]
fn compare_finds_the_first_difference() {
    let family = family();
    let raw = family.path("disk.raw");
    std::fs::write(&raw, &family.content).unwrap();
    let same = run!("compare", family.leaf(), raw, "--json").exits(0).json();
    assert_eq!(same["equal"], true);
    assert!(same["first_difference"].is_null());

    let mut other = family.content.clone();
    other[3 * MIB + 17] ^= 1;
    std::fs::write(&raw, &other).unwrap();
    let differ = run!("compare", family.leaf(), raw, "--json").exits(1).json();
    assert_eq!(differ["equal"], false);
    assert_eq!(differ["first_difference"], 3 * MIB + 17);
    assert!(run!("compare", raw, family.leaf()).exits(1).text().contains(&(3 * MIB + 17).to_string()));

    std::fs::write(&raw, [&family.content[..], &[0; 512]].concat()).unwrap();
    let longer = run!("compare", family.leaf(), raw).exits(0);
    assert!(longer.text().contains("the sizes differ"), "{}", longer.text());
}

#[test]
fn compare_uses_named_parents_for_the_first_disk_only() {
    let family = family();
    run!("compare", family.leaf(), family.base(), "--parent", family.mid()).exits(1);
}

#[test]
fn completions_and_manual_pages_are_printed() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run!("completions", shell).exits(0).text();
        assert!(script.contains("--parent-dir") || script.contains("parent-dir"), "{shell}");
    }
    assert!(run!("man").exits(0).text().contains(".TH vhdx 1"));
    let folder = tempfile::tempdir().unwrap();
    let wrote = run!("man", "--out", folder.path().join("man1")).exits(0).text();
    let pages = crate::images::files(&folder.path().join("man1"));
    assert!(wrote.starts_with(&format!("wrote {} pages into ", pages.len())), "{wrote}");
    let names = ["", "-info", "-chain", "-tree", "-map", "-check", "-compare", "-convert", "-merge"];
    for name in names {
        assert!(pages.contains_key(&format!("vhdx{name}.1")), "{name}");
    }
    run!("man", "--out", folder.path().join("man1")).exits(6);
    std::fs::write(folder.path().join("vhdx-merge.1"), b"precious").unwrap();
    let refused = run!("man", "--out", folder.path()).exits(6);
    assert!(
        refused.stderr.contains("vhdx-merge.1") && refused.stderr.contains("--force"),
        "{}",
        refused.stderr
    );
    assert_eq!(std::fs::read(folder.path().join("vhdx-merge.1")).unwrap(), b"precious");
    assert!(!folder.path().join("vhdx.1").exists());
    run!("man", "--out", folder.path(), "--force").exits(0);
    assert_eq!(std::fs::read(folder.path().join("vhdx-merge.1")).unwrap(), pages["vhdx-merge.1"]);
    let merge = String::from_utf8(pages["vhdx-merge.1"].clone()).unwrap();
    assert!(merge.contains("vhdx\\-merge") && merge.contains("output"), "{merge}");
}

#[test]
fn layers_can_have_different_block_sizes() {
    let family = family();
    let mut leaf = family.images.leaf.clone();
    leaf.block_size = 2 << 20;
    leaf.blocks.clear();
    leaf.blocks.insert(1, Block::full(vec![b'x'; 2 * MIB]));
    write(&leaf, &family.leaf());
    let mut expected = family.content.clone();
    expected[512..1536].fill(b'b');
    expected[2 * MIB..4 * MIB].fill(b'x');
    expected[5 * MIB..].fill(0);
    assert!(run!("convert", family.leaf(), "-").exits(0).stdout == expected);
}
