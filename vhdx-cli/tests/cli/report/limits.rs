//! Limits of `report`, exit codes, and the options that exclude each other.

use std::fs;

use super::estate::{Estate, machine};
use crate::run;

/// Every limit as an option with a value that is passed, and one that is not.
const LIMITS: [(&str, &str, &str, &str); 4] = [
    ("--older-than", "30d", "7w", "old_checkpoint"),
    ("--larger-than", "100K", "1T", "large_checkpoint"),
    ("--min-free", "100%", "0%", "low_space"),
    ("--deeper-than", "2", "3", "deep_chain"),
];

#[test]
fn a_passed_limit_is_exit_code_1_and_a_finding() {
    let estate = machine();
    assert_eq!(run!("report", estate.0.path(), "--json").exits(0).json()["findings"], serde_json::json!([]));
    for (option, passed, kept, kind) in LIMITS {
        let answer = run!("report", estate.0.path(), option, passed, "--json").exits(1).json();
        let findings = answer["findings"].as_array().unwrap();
        assert!(!findings.is_empty(), "{option}");
        for finding in findings {
            assert_eq!(finding["kind"], kind);
            assert!(
                !finding["message"].as_str().unwrap().is_empty()
                    && !finding["fix"].as_str().unwrap().is_empty()
            );
        }
        assert_eq!(answer["passes_limit"], true);
        run!("report", estate.0.path(), option, kept).exits(0);
        run!("report", estate.0.path(), option, passed, "--csv").exits(1);
    }
    run!("report", estate.0.path(), "--min-free", "9999P").exits(1);
}

#[test]
fn a_problem_is_no_limit() {
    let estate = machine();
    fs::remove_file(estate.path("vm/mid.avhdx")).unwrap();
    let text = run!("report", estate.0.path()).exits(0).text();
    assert!(
        text.contains("\ncritical:\n- ") && text.contains("lacks its parent") && text.contains("  fix: "),
        "{text}"
    );
}

#[test]
fn wrong_arguments_are_usage_errors() {
    let estate = machine();
    let folder = estate.0.path();
    for (option, value) in [
        ("--older-than", "7"),
        ("--older-than", "7y"),
        ("--larger-than", "big"),
        ("--min-free", "101%"),
        ("--min-free", "x"),
        ("--deeper-than", "-1"),
    ] {
        run!("report", folder, option, value).exits(2);
    }
    run!("report").exits(2);
    assert_eq!(run!("report", folder, "--csv", "--json").exits(2).error()["kind"], "usage");
    assert_eq!(run!("report", estate.path("absent"), "--json").exits(6).error()["kind"], "io");
}

#[test]
fn a_folder_without_disks_is_reported() {
    let estate = Estate::new();
    assert!(run!("report", estate.0.path()).exits(1).text().contains("no disks found"));
    let nagios = run!("report", estate.0.path(), "--nagios").exits(3);
    assert_eq!(nagios.text(), "VHDX UNKNOWN - no disks found\n");
    // A file is no folder: of its family, only a part would be seen.
    let file = machine().path("vm/base.vhdx");
    run!("report", &file).exits(6);
    run!("prune", &file, "--all", "--dry-run").exits(6);
}
