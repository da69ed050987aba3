//! Four files that contain a whole disk, or most of it, but do not open. vhdx cannot recover the disk yet: the error
//! says what is lost, what is sound, and what to do.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::make;
use crate::run;
use crate::run::Ran;

const LOST: [(&str, &str); 3] = [
    ("both-header-sums.vhdx", "no header can be used"),
    ("both-region-tables.vhdx", "no region table can be used"),
    ("log-guid-no-log.vhdx", "the header says that the log contains changes, but none of them can be read"),
];
const CUT_SHORT: &str = "5243657 bytes of blocks lie past the end of the file (5.0 MiB, 3 of 8 blocks): the copy was \
                         probably cut short";

/// Runs each command that reads the whole file, with `--json` if `json` is set.
fn commands(folder: &TempDir, file: &Path, json: bool) -> Vec<Ran> {
    let new = folder.path().join("new.raw");
    let option: &[&str] = if json { &["--json"] } else { &[] };
    let run = |args: &[&std::ffi::OsStr]| {
        let ran = crate::run::vhdx(args.iter().copied().chain(option.iter().map(std::ffi::OsStr::new)));
        assert!(!new.exists());
        ran
    };
    let (file, new) = (file.as_os_str(), new.as_os_str());
    vec![
        run(&["convert".as_ref(), file, new]),
        run(&["convert".as_ref(), file, "-".as_ref()]),
        run(&["compare".as_ref(), file, file]),
        run(&["map".as_ref(), file]),
    ]
}

#[track_caller]
fn assert_hint(ran: Ran, hint: &str, damage: Option<&Value>) {
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    match damage {
        None => assert!(ran.stderr.contains(&format!("\nhint: {hint}")), "{}", ran.stderr),
        Some(damage) => {
            let error = ran.error();
            assert!(error["hint"].as_str().unwrap().starts_with(hint), "{error}");
            assert_eq!(error["damage"], *damage);
        }
    }
}

#[track_caller]
fn assert_check(file: &Path, hint: &str, damage: &Value) {
    let text = run!("check", file).exits(1).text();
    assert!(text.contains(&format!("{}: hint: {hint}", file.display())), "{text}");
    let check = run!("check", file, "--json").exits(1).json();
    let [found] = &check["damage"].as_array().unwrap()[..] else { panic!("{check}") };
    assert!(found["hint"].as_str().unwrap().starts_with(hint), "{found}");
    assert_eq!(found["path"], file.to_str().unwrap());
    for (key, value) in damage.as_object().unwrap() {
        assert_eq!(found[key], *value, "{key}");
    }
}

#[test]
fn hints_name_lost_and_sound_structures() {
    let Some((folder, _)) = make("rescue") else { return };
    let sound = |file: &Path| {
        json!({
            "file_size": file.metadata().unwrap().len(), "headers": [true, true], "log": "empty",
            "region_tables": [true, true], "metadata": true, "bat": true, "blocks": 8, "blocks_past_end": 0,
            "bytes_past_end": 0
        })
    };
    for (name, hint) in LOST {
        let file = folder.path().join(name);
        let mut damage = sound(&file);
        match name {
            "both-header-sums.vhdx" => {
                (damage["headers"], damage["log"]) = (json!([false, false]), json!("unknown"));
            }
            "both-region-tables.vhdx" => {
                (damage["region_tables"], damage["metadata"]) = (json!([false, false]), json!(false));
                for key in ["bat", "blocks", "blocks_past_end", "bytes_past_end"] {
                    damage[key] = Value::Null;
                }
            }
            _ => damage["log"] = json!("damaged"),
        }
        commands(&folder, &file, false).into_iter().for_each(|ran| assert_hint(ran, hint, None));
        commands(&folder, &file, true).into_iter().for_each(|ran| assert_hint(ran, hint, Some(&damage)));
        for command in ["info", "chain"] {
            assert_hint(run!(command, file), hint, None);
            assert_hint(run!(command, file, "--json"), hint, Some(&damage));
        }
        let text = run!("info", file).exits(3).stderr;
        assert!(text.contains("still valid: ") && text.contains("restore it from a backup"), "{text}");
        assert_check(&file, hint, &damage);
    }
}

#[test]
fn hints_for_a_file_cut_short_say_how_much_is_missing() {
    let Some((folder, _)) = make("rescue") else { return };
    let file = folder.path().join("cut-short.vhdx");
    let damage = json!({
        "file_size": file.metadata().unwrap().len(), "headers": [true, true], "log": "empty",
        "region_tables": [true, true], "metadata": true, "bat": true, "blocks": 8, "blocks_past_end": 3,
        "bytes_past_end": 5 * 1024 * 1024 + 777
    });
    commands(&folder, &file, false).into_iter().for_each(|ran| assert_hint(ran, CUT_SHORT, None));
    commands(&folder, &file, true).into_iter().for_each(|ran| assert_hint(ran, CUT_SHORT, Some(&damage)));
    assert_check(&file, CUT_SHORT, &damage);
}
