//! Every command that reads a disk reports the same facts about it, in text and in JSON.

use std::ffi::OsString;
use std::path::Path;

use serde_json::{Value, json};

use crate::half_merged::interrupted;
use crate::images::family;
use crate::run::{Ran, vhdx};

/// The place in which a command reports its facts with `--json`.
#[derive(Clone, Copy, Debug)]
enum Facts {
    /// In the document on stdout.
    InAnswer,
    /// In a document on stderr, because stdout carries other data.
    OnStderr,
    /// In the error, because the command refuses the disk.
    InError,
    /// In the problems that the answer lists.
    InProblems,
}
use Facts::{InAnswer, InError, InProblems, OnStderr};

/// Each command that reads a disk. `HALF` is the half-merged disk, `CHILD` its child, `NEW` the name of a new file, and
/// `TARGET` a file that can be overwritten. No command changes a file of the disk.
const COMMANDS: [(&str, i32, Facts); 22] = [
    ("info HALF", 0, InAnswer),
    ("info HALF --blocks", 0, InAnswer),
    ("chain HALF", 0, InAnswer),
    ("tree FOLDER", 0, InProblems),
    ("map HALF", 0, OnStderr),
    ("check HALF", 0, InAnswer),
    ("check HALF --chain", 0, InAnswer),
    ("compare HALF TARGET --b-from raw", 1, InAnswer),
    ("compare TARGET HALF --a-from raw", 1, InAnswer),
    ("compare HALF HALF", 0, InAnswer),
    ("hash HALF", 0, InAnswer),
    ("hash HALF --blocks 1M", 0, OnStderr),
    ("convert HALF -", 0, OnStderr),
    ("convert HALF NEW --to raw --dry-run", 0, InAnswer),
    ("convert HALF NEW --to raw", 0, InAnswer),
    ("convert HALF NEW --dry-run", 0, InAnswer),
    ("convert HALF TARGET --in-place --dry-run", 0, InAnswer),
    ("merge HALF --output NEW --dry-run", 5, InError),
    ("merge HALF --dry-run", 5, InError),
    ("create NEW --parent HALF --dry-run", 5, InError),
    ("reparent CHILD --parent HALF --dry-run", 0, InAnswer),
    ("replay HALF --dry-run", 0, InAnswer),
];

fn told_in_text(ran: &Ran, facts: Facts) -> bool {
    let said = match facts {
        InProblems => ran.text(),
        _ => ran.stderr.clone(),
    };
    said.contains("a merge into it is incomplete")
        || (matches!(facts, InProblems) && said.contains("completes the merge"))
}

fn told_in_json(ran: &Ran, facts: Facts, unfinished: &Value, half: &Path) -> bool {
    let on_stderr = || serde_json::from_str::<Value>(&ran.stderr).unwrap();
    match facts {
        InAnswer => ran.json()["unfinished"] == *unfinished,
        OnStderr => on_stderr()["unfinished"] == *unfinished,
        InError => ran.error()["unfinished"] == *unfinished,
        InProblems => {
            let problems = ran.json()["problems"].to_string();
            let half = json!(half).to_string();
            problems.contains("completes the merge") && problems.contains(half.trim_matches('"'))
        }
    }
}

#[test]
fn every_command_reports_an_incomplete_merge() {
    let family = family();
    let (mid, leaf) = (family.mid(), family.leaf());
    interrupted(&family, &leaf, 1);
    let unfinished = json!([{ "path": leaf, "merged": leaf, "into": mid }]);
    let target = family.path("target.img");
    std::fs::write(&target, vec![1; family.content.len()]).unwrap();
    for (command, code, facts) in COMMANDS {
        let words = |extra: &[&str]| -> Vec<OsString> {
            let word = |word: &str| match word {
                "HALF" => mid.clone().into_os_string(),
                "CHILD" => leaf.clone().into_os_string(),
                "NEW" => family.path("new.avhdx").into_os_string(),
                "TARGET" => target.clone().into_os_string(),
                "FOLDER" => family.folder.path().into(),
                word => word.into(),
            };
            command.split(' ').chain(extra.iter().copied()).map(word).collect()
        };
        let run = |extra: &[&str]| {
            let ran = vhdx(words(extra)).exits(code);
            let _ = std::fs::remove_file(family.path("new.avhdx"));
            ran
        };
        let text = run(&[]);
        assert!(told_in_text(&text, facts), "{command}: {}", text.stderr);
        let json = run(&["--json"]);
        assert!(told_in_json(&json, facts, &unfinished, &mid), "{command}: {}", json.stderr);
        let quiet = run(&["--quiet"]);
        assert!(quiet.stderr.is_empty() || matches!(facts, InError), "{command}: {}", quiet.stderr);
    }
}

/// The keys exist even if there is nothing to report, and no warning is printed.
#[test]
fn without_a_fact_the_lists_are_empty() {
    let family = family();
    let leaf = family.leaf();
    for command in ["info", "chain", "check"] {
        let ran = vhdx([OsString::from(command), leaf.clone().into(), "--json".into()]).exits(0);
        for key in ["unfinished", "held_by_writer"] {
            assert_eq!(ran.json()[key], json!([]), "{command}");
        }
        assert!(ran.stderr.is_empty());
    }
    let map = vhdx([OsString::from("map"), leaf.clone().into(), "--json".into()]).exits(0);
    assert!(map.stderr.is_empty());
    let convert = vhdx([OsString::from("convert"), leaf.into(), "-".into(), "--json".into()]).exits(0);
    assert!(convert.stdout == family.content);
    let answer: Value = serde_json::from_str(&convert.stderr).unwrap();
    assert_eq!((&answer["unfinished"], &answer["destination"]), (&json!([]), &json!("-")));
    assert_eq!(answer["file_size"], json!(family.content.len()));
}
