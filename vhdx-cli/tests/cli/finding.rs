//! Every command that opens a chain finds renamed and moved parents by GUID.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use uuid::Uuid;
use vhdx_testkit::{Block, Image};

use crate::images::{Family, MIB, family, write};
use crate::run;
use crate::run::vhdx;

/// Returns a family whose parents have other names, in a folder with other files.
fn renamed() -> (Family, PathBuf, PathBuf) {
    let family = family();
    let (mid, base) = (family.path("x1.bin"), family.path("x2"));
    fs::rename(family.mid(), &mid).unwrap();
    fs::rename(family.base(), &base).unwrap();
    fs::write(family.path("notes.txt"), "notes").unwrap();
    (family, mid, base)
}

fn found_by(chain: &Value) -> Vec<&Value> {
    chain["layers"].as_array().unwrap().iter().map(|layer| &layer["found_by"]).collect()
}

#[test]
fn chain_says_how_each_parent_was_found() {
    let (family, mid, base) = renamed();
    let chain = run!("chain", family.leaf(), "--json").exits(0).json();
    assert_eq!(found_by(&chain), [&Value::Null, &json!("guid"), &json!("guid")]);
    let paths: Vec<&Value> = chain["layers"].as_array().unwrap().iter().map(|layer| &layer["path"]).collect();
    assert_eq!(paths, [&json!(family.leaf()), &json!(mid), &json!(base)]);
    let text = run!("chain", family.leaf()).exits(0).text();
    assert_eq!(
        text.lines().map(|line| line.contains(" guid ")).collect::<Vec<_>>(),
        [false, false, true, true],
        "{text}"
    );

    let named = run!("chain", family.leaf(), "--parent", &mid, "--json").exits(0).json();
    assert_eq!(found_by(&named), [&Value::Null, &json!("named"), &json!("guid")]);
    fs::rename(&mid, family.mid()).unwrap();
    let stored = run!("chain", family.leaf(), "--json").exits(0).json();
    assert_eq!(found_by(&stored), [&Value::Null, &json!("relative_path"), &json!("guid")]);
}

#[test]
fn every_command_that_opens_a_chain_searches_by_guid() {
    let (family, mid, base) = renamed();
    let (leaf, raw, new) = (family.leaf(), family.path("leaf.raw"), family.path("new.vhdx"));
    run!("check", &leaf, "--chain").exits(0);
    run!("map", &leaf).exits(0);
    run!("convert", &leaf, &raw).exits(0);
    assert!(fs::read(&raw).unwrap() == family.content);
    run!("merge", &leaf, "--output", &new).exits(0);
    run!("compare", &leaf, &new).exits(0);
    run!("create", family.path("child.avhdx"), "--parent", &leaf).exits(0);
    fs::remove_file(family.path("child.avhdx")).unwrap();
    run!("reparent", &leaf, "--parent", &mid).exits(0);
    let chain = run!("chain", &leaf, "--json").exits(0).json();
    assert_eq!(found_by(&chain), [&Value::Null, &json!("relative_path"), &json!("guid")]);
    let merged = run!("merge", &leaf, "--into", &base, "--delete-merged", "--json").exits(0).json();
    assert_eq!(merged["into"], json!(base));
    run!("compare", &base, &raw, "--b-from", "raw").exits(0);
}

#[test]
fn every_command_reports_parents_that_were_found_by_guid() {
    let (family, mid, base) = renamed();
    let (leaf, new) = (family.leaf(), family.path("new.avhdx"));
    let expected = json!([{ "child": leaf, "parent": mid }, { "child": mid, "parent": base }]);
    for command in [
        "info LEAF",
        "chain LEAF",
        "map LEAF",
        "check LEAF",
        "check LEAF --chain",
        "compare LEAF LEAF",
        "hash LEAF",
        "hash LEAF --blocks 1M",
        "convert LEAF -",
        "convert LEAF NEW --dry-run",
        "merge LEAF --output NEW --dry-run",
        "merge LEAF --dry-run",
        "create NEW --parent LEAF --dry-run",
        "replay LEAF --dry-run",
    ] {
        let words = |extra: &[&str]| -> Vec<OsString> {
            let word = |word: &str| match word {
                "LEAF" => leaf.clone().into(),
                "NEW" => new.clone().into(),
                word => word.into(),
            };
            command.split(' ').chain(extra.iter().copied()).map(word).collect()
        };
        let text = vhdx(words(&[])).exits(0).stderr;
        for part in
            ["found by DataWriteGuid", "x1.bin is the parent of ", "x2 is the parent of ", "`vhdx reparent"]
        {
            assert!(text.contains(part), "{command}: {part}: {text}");
        }
        let ran = vhdx(words(&["--json"])).exits(0);
        let answer = match command {
            "map LEAF" | "convert LEAF -" | "hash LEAF --blocks 1M" => {
                serde_json::from_str(&ran.stderr).unwrap()
            }
            _ => ran.json(),
        };
        assert_eq!(answer["found_by_guid"], expected, "{command}");
        assert_eq!(vhdx(words(&["--quiet"])).exits(0).stderr, "", "{command}");
    }
    fs::rename(mid, family.mid()).unwrap();
    fs::rename(base, family.base()).unwrap();
    let chain = run!("chain", &leaf, "--json").exits(0).json();
    assert_eq!(chain["found_by_guid"], json!([]));
}

#[test]
fn a_named_folder_is_searched_and_its_subfolders_are_not() {
    let (family, mid, base) = renamed();
    let (moved, deep) = (family.path("moved"), family.path("moved/deep"));
    fs::create_dir_all(&deep).unwrap();
    fs::rename(&mid, moved.join("m")).unwrap();
    fs::rename(&base, deep.join("b")).unwrap();
    let expected = family.images.base.data_write_guid.to_string();
    let error = run!("convert", family.leaf(), family.path("x.raw"), "--parent-dir", &moved, "--json")
        .exits(5)
        .error();
    let message = error["message"].as_str().unwrap();
    let folders = format!("in \"{0}\", \"{1}\"", moved.display(), moved.display());
    assert!(
        message.contains(&expected) && message.contains("for the DataWriteGuid in every file there"),
        "{message}"
    );
    assert!(!message.contains(&folders), "{message}");
    assert!(error["hint"].as_str().unwrap().contains("`vhdx tree DIR`"), "{error}");
    run!("convert", family.leaf(), family.path("x.raw"), "--parent-dir", &moved, "--parent-dir", &deep)
        .exits(0);
}

#[test]
fn several_files_with_the_guid_are_refused_and_named() {
    let (family, _, base) = renamed();
    let copy = family.path("copy");
    fs::copy(&base, &copy).unwrap();
    run!("chain", family.leaf()).exits(0);
    let mut other = Image { file_write_guid: Uuid::from_u128(9), ..family.images.base.clone() };
    other.blocks.insert(3, Block::full(vec![b'?'; MIB]));
    write(&other, &copy);
    let before = family.files();
    let raw = family.path("x.raw");
    let leaf = family.leaf();
    let (leaf, into) = (leaf.to_str().unwrap(), base.to_str().unwrap());
    let commands: [&[&str]; 4] =
        [&["merge", leaf], &["merge", leaf, "--into", into], &["check", leaf, "--chain"], &["map", leaf]];
    for command in commands {
        let arguments = [command, &["--json"]].concat();
        let error = vhdx(&arguments).exits(5).error();
        assert_eq!(error["parents"], json!([copy, base]), "{arguments:?}: {error}");
        assert_eq!(error["path"], json!(family.path("x1.bin")));
        assert!(error["hint"].as_str().unwrap().contains("`--parent FILE`"), "{error}");
    }
    run!("convert", family.leaf(), &raw).exits(5);
    assert!(!raw.exists() && family.files() == before);
    run!("convert", family.leaf(), &raw, "--parent", family.path("x1.bin"), "--parent", &base).exits(0);
    assert!(fs::read(&raw).unwrap() == family.content);
}
