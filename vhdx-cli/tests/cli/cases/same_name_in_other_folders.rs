//! Daily copies with the same name in different folders: the stored path leads from each file to itself.

use std::path::{Path, PathBuf};

use serde_json::Value;
use vhdx::Vhdx;

use super::make;
use crate::run;

/// Asserts that the error names the expected GUID, the places that were tried, and what to do.
fn is_missing_parent(error: &Value, child: &Path, expected: &str) {
    assert_eq!((&error["kind"], error["path"].as_str()), (&"chain".into(), child.to_str()));
    let message = error["message"].as_str().unwrap();
    let looked_for =
        format!(r#"looked for ".\disk.avhdx" (relative_path) in "{}""#, child.parent().unwrap().display());
    let met = format!("\"{}\" is already in this chain and has another DataWriteGuid", child.display());
    for part in ["its parent is missing", expected, &looked_for, &met] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.contains("`vhdx tree DIR`") && hint.contains("`--parent-dir DIR`"), "{hint}");
}

#[test]
fn a_path_that_leads_back_to_the_child_is_a_missing_parent() {
    let Some((folder, _)) = make("same-name-in-other-folders") else { return };
    let day = |day: u32| folder.path().join(format!("2024-01-0{day}"));
    let disk = |number: u32| day(number).join(if number == 1 { "disk.vhdx" } else { "disk.avhdx" });
    let guid = |number: u32| Vhdx::open(disk(number)).unwrap().data_write_guid().to_string();
    let (leaf, new): (PathBuf, _) = (disk(4), folder.path().join("new"));
    let raw = new.with_extension("raw");
    let vhdx = new.with_extension("vhdx");

    is_missing_parent(&run!("chain", &leaf, "--json").exits(5).error(), &leaf, &guid(3));
    is_missing_parent(&run!("check", &leaf, "--chain", "--json").exits(5).error(), &leaf, &guid(3));
    is_missing_parent(&run!("map", &leaf, "--json").exits(5).error(), &leaf, &guid(3));
    is_missing_parent(&run!("convert", &leaf, &raw, "--json").exits(5).error(), &leaf, &guid(3));
    is_missing_parent(&run!("merge", &leaf, "--output", &vhdx, "--json").exits(5).error(), &leaf, &guid(3));
    let named = run!("chain", &leaf, "--parent", disk(3), "--json").exits(5);
    is_missing_parent(&named.error(), &disk(3), &guid(2));
    assert!(!raw.exists() && !vhdx.exists());

    let wrong = run!("convert", &leaf, &raw, "--parent", &leaf, "--json").exits(5).error();
    let message = wrong["message"].as_str().unwrap();
    assert!(message.contains("its parent is missing") && message.contains(&guid(3)), "{message}");
    assert!(wrong["hint"].as_str().unwrap().contains("`vhdx tree DIR`"), "{wrong}");

    let tree = run!("tree", folder.path(), "--json").exits(0).json();
    assert_eq!(tree["orphans"], serde_json::json!([]));
    let found = run!(
        "chain",
        &leaf,
        "--parent-dir",
        day(1),
        "--parent-dir",
        day(2),
        "--parent-dir",
        day(3),
        "--json"
    );
    let found = found.exits(0).json();
    let paths: Vec<_> =
        found["layers"].as_array().unwrap().iter().map(|layer| layer["path"].as_str().unwrap()).collect();
    assert_eq!(paths, [4, 3, 2, 1].map(|number| disk(number).to_str().unwrap().to_owned()));
}
