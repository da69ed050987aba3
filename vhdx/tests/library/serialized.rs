//! Tests the feature `serde`: reports become data of other programs.

use std::path::Path;

use serde_json::{Value, json};
use vhdx::ops::{ReportLimits, check_file, report};
use vhdx::{NoProgress, OnWriter, discover};

fn copy_of_sample() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/sample");
    for name in ["base.vhdx", "checkpoint-1.avhdx", "checkpoint-2.avhdx"] {
        std::fs::copy(sample.join(name), folder.path().join(name)).unwrap();
    }
    folder
}

#[test]
fn a_forest_has_its_disks_and_problems() {
    let folder = copy_of_sample();
    std::fs::write(folder.path().join("broken.avhdx"), "no disk").unwrap();
    let forest = discover(&[folder.path().to_owned()], &NoProgress).unwrap();
    let value = serde_json::to_value(&forest).unwrap();
    let links: Vec<_> = value["disks"].as_array().unwrap().iter().map(|disk| &disk["link"]).collect();
    assert_eq!(links, [&json!("base"), &json!("ok"), &json!("ok")]);
    assert_eq!(value["disks"][1]["parent"], json!(0));
    let facts = &value["disks"][2]["facts"];
    assert_eq!(facts["path"], json!(folder.path().join("checkpoint-2.avhdx").to_str().unwrap()));
    assert_eq!(facts["disk_type"], json!("differencing"));
    assert_eq!(facts["data_write_guid"], json!(forest.disks[2].facts.data_write_guid.to_string()));
    let [problem] = &value["problems"].as_array().unwrap()[..] else { panic!("{value}") };
    let error = problem.as_object().unwrap().values().next().unwrap()["error"].as_str().unwrap();
    assert!(error.contains("broken.avhdx") && error.contains("ends inside"), "{error}");
}

#[test]
fn a_report_has_its_checkpoints_and_findings() {
    let folder = copy_of_sample();
    let forest = discover(&[folder.path().to_owned()], &NoProgress).unwrap();
    let limits = ReportLimits { deeper_than: Some(2), ..ReportLimits::default() };
    let report = report(&forest, &limits, std::time::SystemTime::now(), &NoProgress).unwrap();
    let value = serde_json::to_value(&report).unwrap();
    assert_eq!(value["disks"][0]["checkpoint"]["time_source"], json!("file"));
    assert_eq!(value["families"][0]["members"]["disks"], json!([0, 1, 2]));
    let finding = &value["findings"][0];
    assert_eq!((&finding["kind"], &finding["severity"]), (&json!("deep_chain"), &json!("warning")));
    assert_eq!(finding["fact"], json!({ "deep_chain": { "depth": 3, "limit": 2 } }));
}

#[test]
fn a_broken_rule_has_its_name() {
    let folder = copy_of_sample();
    let path = folder.path().join("base.vhdx");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let value = serde_json::to_value(check_file(&path, OnWriter::Fail)).unwrap();
    let violation = &value["files"][0]["violations"]["list"][0];
    assert_eq!(violation["rule"], json!(vhdx::Rule::FileSignature.name()));
    assert_eq!(value["files"][0]["error"], Value::Null);
}

/// Serde itself refuses such paths, which would make a whole inventory fail.
#[cfg(target_os = "linux")]
#[test]
fn a_path_that_is_not_utf_8_is_shown() {
    use std::os::unix::ffi::OsStrExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff.vhdx"));
    std::fs::write(&path, "no disk").unwrap();
    let value = serde_json::to_value(check_file(&path, OnWriter::Fail)).unwrap();
    assert!(value["files"][0]["path"].as_str().unwrap().ends_with("\u{fffd}.vhdx"), "{value}");
}
