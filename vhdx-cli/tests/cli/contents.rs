//! `--contents` shows the partitions of a disk as it was in each file of its chain.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;
use vhdx::Guid;
use vhdx_testkit::{Block, Image};

use crate::images::{MIB, SIZE, write};
use crate::run;

/// A base with one partition, a checkpoint with a second one, and a leaf that has changed the label of the first.
struct Disks {
    folder: TempDir,
}

/// A label that would change the terminal and the page.
const LABEL: &str = "<b>\u{1b}[2J";

/// The start of the first partition, and its number of sectors.
const FIRST: (u32, u32) = (64, 1024);
const SECOND: (u32, u32) = (4096, 2048);

impl Disks {
    fn new() -> Self {
        let mut base = Image::dynamic(SIZE, MIB as u32);
        let mut first_block = vec![0; MIB];
        first_block[..512].copy_from_slice(&mbr(&[FIRST]));
        put_swap(&mut first_block[FIRST.0 as usize * 512..], "base");
        base.blocks.insert(0, Block::full(first_block));

        let mut mid = Image::child_of(&base, "base.vhdx", MIB as u32);
        mid.blocks.insert(0, Block::partial(mbr(&[FIRST, SECOND]).to_vec(), vec![true]));

        let mut leaf = Image::child_of(&mid, "mid.avhdx", MIB as u32);
        let mut swap = vec![0; MIB / 2];
        put_swap(&mut swap[FIRST.0 as usize * 512..], LABEL);
        let first = FIRST.0 as usize;
        let sectors = (0..first + 8).map(|sector| sector >= first).collect();
        leaf.blocks.insert(0, Block::partial(swap, sectors));

        let disks = Self { folder: tempfile::tempdir().unwrap() };
        for (image, name) in [(base, "base.vhdx"), (mid, "mid.avhdx"), (leaf, "leaf.avhdx")] {
            write(&image, &disks.path(name));
        }
        disks
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn contents(&self, name: &str) -> Value {
        run!("info", self.path(name), "--contents", "--json").exits(0).json()["contents"].clone()
    }
}

fn mbr(partitions: &[(u32, u32)]) -> [u8; 512] {
    let mut sector = [0; 512];
    sector[440..444].copy_from_slice(&0xdead_beef_u32.to_le_bytes());
    for (entry, (first, sectors)) in sector[446..510].chunks_exact_mut(16).zip(partitions) {
        entry[4] = 0x82;
        entry[8..12].copy_from_slice(&first.to_le_bytes());
        entry[12..].copy_from_slice(&sectors.to_le_bytes());
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// Puts the header of Linux swap space into a partition.
fn put_swap(partition: &mut [u8], label: &str) {
    partition[1024..1028].copy_from_slice(&1_u32.to_le_bytes());
    partition[1028..1032].copy_from_slice(&127_u32.to_le_bytes());
    partition[1036..1052].copy_from_slice(Guid::from_u128(0x1234).as_bytes());
    partition[1052..1052 + label.len()].copy_from_slice(label.as_bytes());
    partition[4086..4096].copy_from_slice(b"SWAPSPACE2");
}

#[test]
fn each_file_answers_for_its_own_point_in_time() {
    let disks = Disks::new();
    let base = disks.contents("base.vhdx");
    assert_eq!((&base["table"], &base["disk_id"]), (&json!("mbr"), &json!("0xdeadbeef")));
    assert_eq!(
        (&base["sector_size"], &base["content"], &base["findings"]),
        (&json!(512), &Value::Null, &json!([]))
    );
    assert_eq!(base["partitions"].as_array().unwrap().len(), 1);
    let first = &base["partitions"][0];
    let place = (&first["number"], &first["start"], &first["length"]);
    assert_eq!(place, (&json!(1), &json!(64 * 512), &json!(1024 * 512)));
    assert_eq!((&first["type"], &first["type_name"]), (&json!("0x82"), &json!("Linux swap")));
    assert_eq!((&first["content"]["type"], &first["content"]["label"]), (&json!("swap"), &json!("base")));
    assert_eq!(first["content"]["uuid"], json!("00000000-0000-0000-0000-000000001234"));

    let mid = disks.contents("mid.avhdx");
    assert_eq!(mid["partitions"][0], *first);
    assert_eq!(mid["partitions"][1]["start"], json!(4096 * 512));
    assert_eq!(mid["partitions"][1]["content"], Value::Null);

    let leaf = disks.contents("leaf.avhdx");
    assert_eq!(leaf["partitions"][0]["content"]["label"], json!(LABEL));
    assert_eq!(leaf["partitions"][1], mid["partitions"][1]);
    // Without the option, no key is added.
    let info = run!("info", disks.path("leaf.avhdx"), "--json").exits(0).json();
    assert_eq!(info.get("contents"), None);
}

#[test]
fn the_text_is_a_table_that_cannot_control_the_terminal() {
    let disks = Disks::new();
    let text = run!("info", disks.path("leaf.avhdx"), "--contents").exits(0).text();
    assert!(text.contains("partition table: MBR, sectors of 512 bytes, disk 0xdeadbeef"), "{text}");
    let rows: Vec<&str> = text.lines().skip_while(|line| !line.trim_start().starts_with("number")).collect();
    assert_eq!(rows.len(), 3, "{text}");
    assert!(
        rows[1].contains("32768") && rows[1].contains("512 KiB") && rows[1].contains("Linux swap"),
        "{text}"
    );
    assert!(rows[1].contains(r#""<b>\u{1b}[2J""#), "{text}");
    assert!(rows[2].contains("not recognized"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn several_files_and_a_folder() {
    let disks = Disks::new();
    let all = run!("info", disks.folder.path(), "--contents", "--json").exits(0).json();
    let counts: Vec<usize> = all["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["contents"]["partitions"].as_array().unwrap().len())
        .collect();
    assert_eq!((&all["ok"], counts), (&json!(true), vec![1, 2, 2]));
}

#[test]
fn tree_shows_each_disk() {
    let disks = Disks::new();
    let tree = run!("tree", disks.folder.path(), "--contents", "--json").exits(0).json();
    for disk in tree["disks"].as_array().unwrap() {
        let name = PathBuf::from(disk["path"].as_str().unwrap());
        let name = name.file_name().unwrap().to_str().unwrap();
        assert_eq!((&disk["contents"], &disk["contents_error"]), (&disks.contents(name), &Value::Null));
    }
    let without = run!("tree", disks.folder.path(), "--json").exits(0).json();
    assert_eq!(without["disks"][0].get("contents"), None);
    let text = run!("tree", disks.folder.path(), "--contents").exits(0).text();
    assert!(text.contains("contents: MBR: p1 Linux swap"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    // An empty child.
    run!("create", disks.path("new.avhdx"), "--parent", disks.path("leaf.avhdx")).exits(0);
    let text = run!("tree", disks.folder.path(), "--contents").exits(0).text();
    assert_eq!(text.matches("contents: as in the parent").count(), 1, "{text}");
}

#[test]
fn without_a_parent_the_facts_are_shown_and_the_command_fails() {
    let disks = Disks::new();
    std::fs::create_dir(disks.path("other")).unwrap();
    let moved = disks.path("other/base.vhdx");
    std::fs::rename(disks.path("base.vhdx"), &moved).unwrap();
    let ran = run!("info", disks.path("leaf.avhdx"), "--contents", "--json").exits(5);
    let info = ran.json();
    assert_eq!((&info["contents"], &info["type"]), (&Value::Null, &json!("differencing")));
    assert_eq!(ran.error()["kind"], json!("chain"));
    let found =
        run!("info", disks.path("leaf.avhdx"), "--contents", "--json", "--parent-dir", disks.path("other"))
            .exits(0);
    assert_eq!(found.json()["contents"]["partitions"].as_array().unwrap().len(), 2);
    let named = run!(
        "info",
        disks.path("leaf.avhdx"),
        "--contents",
        "--json",
        "--parent",
        disks.path("mid.avhdx"),
        "--parent",
        moved
    );
    assert_eq!(named.exits(0).json()["contents"], found.json()["contents"]);
    std::fs::remove_file(&moved).unwrap();
    let tree = run!("tree", disks.folder.path(), "--contents", "--json").exits(0).json();
    for disk in tree["disks"].as_array().unwrap() {
        assert_eq!(disk["contents"], Value::Null);
        assert!(disk["contents_error"].as_str().is_some_and(|error| !error.is_empty()), "{disk}");
    }
}

#[test]
fn parents_are_only_for_contents() {
    let disks = Disks::new();
    let leaf = disks.path("leaf.avhdx");
    let refused = run!("info", leaf, "--parent-dir", disks.folder.path()).exits(2);
    assert!(refused.stderr.contains("add --contents"), "{}", refused.stderr);
    run!("info", leaf, "--parent", disks.path("mid.avhdx")).exits(2);
    run!("info", leaf, disks.path("mid.avhdx"), "--contents", "--parent", disks.path("base.vhdx")).exits(2);
}

#[test]
fn report_shows_the_newest_disks() {
    let disks = Disks::new();
    let page = disks.path("page.html");
    let report = run!("report", disks.folder.path(), "--contents", "--json", "--html", page).exits(0).json();
    let of_family = report["families"][0]["disks"].as_array().unwrap();
    assert_eq!(of_family.len(), 3);
    assert!(of_family.iter().all(|disk| disk["contents"]["table"] == "mbr"), "{report}");
    let page_text = std::fs::read_to_string(&page).unwrap();
    assert!(page_text.contains("Linux swap") && page_text.contains("&lt;b&gt;\\u{1b}[2J"), "{page_text}");
    assert!(!page_text.contains("<b>\u{1b}") && !page_text.contains('\u{1b}'));
    let text = run!("report", disks.folder.path(), "--contents").exits(0).text();
    assert!(text.contains("MBR: p1 Linux swap"), "{text}");
    let without = run!("report", disks.folder.path(), "--json").exits(0).json();
    assert_eq!(without["families"][0]["disks"][0].get("contents"), None);
}
