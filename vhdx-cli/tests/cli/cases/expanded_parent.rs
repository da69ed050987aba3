//! A parent that was expanded after its checkpoint was made: the merge must not cut it silently.

use std::path::Path;

use serde_json::{Value, json};
use vhdx::Vhdx;

use super::make;
use crate::fixtures::disk_digest;
use crate::images::files;
use crate::run;

const BEFORE: u64 = 64 << 20;
const AFTER: u64 = 24 << 20;
/// Two blocks of 2 MiB lie past the child's end.
const DROPPED: u64 = 4 << 20;

/// The digest that the generator printed after this word.
fn digest<'a>(printed: &'a str, word: &str) -> &'a str {
    let line = printed.lines().find_map(|line| line.strip_prefix(word)).unwrap();
    line.trim()
}

#[track_caller]
fn reads_as(disk: &Path, expected: &str) {
    assert_eq!(disk_digest(disk), expected, "{}", disk.display());
}

fn sizes(answer: &Value) -> Value {
    json!([answer["virtual_size_before"], answer["virtual_size"], answer["bytes_dropped"]])
}

#[test]
fn the_merge_and_its_dry_run_are_refused() {
    let Some((folder, printed)) = make("expanded-parent") else { return };
    let [base, child] = ["FOO.vhdx", "FOO_1.avhdx"].map(|name| folder.path().join(name));
    let before = files(folder.path());
    reads_as(&child, digest(&printed, "child"));

    for command in [run!("merge", child, "--json"), run!("merge", child, "--dry-run", "--json")] {
        let refused = command.exits(5).error();
        assert_eq!((&refused["kind"], &refused["into"]), (&json!("chain"), &json!(base)), "{refused}");
        assert_eq!(sizes(&refused), json!([BEFORE, AFTER, DROPPED]), "{refused}");
    }
    let text = run!("merge", child).exits(5).stderr;
    for words in ["4194304 bytes", "67108864", "25165824", "hint: ", "--shrink-target", "--output"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let plan = run!("merge", child, "--dry-run", "--shrink-target", "--json").exits(0).json();
    assert_eq!(sizes(&plan), json!([BEFORE, AFTER, DROPPED]), "{plan}");
    let plan = run!("merge", child, "--dry-run", "--shrink-target").exits(0).text();
    for words in ["it is 67108864 (64 MiB)", "25165824 (24 MiB)", "warning: 4194304 (4 MiB)", "would be lost"]
    {
        assert!(plan.contains(words), "{words}: {plan}");
    }
    assert_eq!(files(folder.path()), before);

    let done = run!("merge", child, "--shrink-target", "--json").exits(0).json();
    assert_eq!(sizes(&done), json!([BEFORE, AFTER, DROPPED]), "{done}");
    assert_eq!(Vhdx::open(&base).unwrap().virtual_size(), AFTER);
    reads_as(&base, digest(&printed, "child"));
}

#[test]
fn the_answer_reports_the_lost_data() {
    let Some((folder, _)) = make("expanded-parent") else { return };
    let child = folder.path().join("FOO_1.avhdx");
    let text = run!("merge", child, "--shrink-target").exits(0).text();
    for words in ["it was 67108864 (64 MiB)", "warning: 4194304 (4 MiB)", "are lost"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

/// The base was expanded and then used, and the child is linked to it with `--ignore-id-mismatch`. The data past the
/// child's end is the guest's newest data.
#[test]
fn a_parent_that_was_used_later_is_not_cut() {
    let Some((folder, _)) = make("expanded-parent") else { return };
    let [base, child] = ["FOO.vhdx", "FOO_1.avhdx"].map(|name| folder.path().join(name));
    let mut used = vhdx::VhdxMut::open(&base).unwrap();
    used.write_all_at(&[7; 4096], vhdx::DiskOffset::new(40 << 20)).unwrap();
    used.close().unwrap();
    run!("merge", child).exits(5);
    run!("reparent", child, "--parent", base, "--ignore-id-mismatch").exits(0);
    let refused = run!("merge", child, "--json").exits(5).error();
    assert_eq!(sizes(&refused), json!([BEFORE, AFTER, DROPPED + (2 << 20)]), "{refused}");
}

#[test]
fn chain_check_and_tree_report_different_sizes() {
    let Some((folder, _)) = make("expanded-parent") else { return };
    let [base, child] = ["FOO.vhdx", "FOO_1.avhdx"].map(|name| folder.path().join(name));
    let expected = json!([{
        "path": child,
        "parent": base,
        "virtual_size": AFTER,
        "parent_virtual_size": BEFORE,
    }]);
    for args in [&["chain"][..], &["check", "--chain"]] {
        let args = || args.iter().map(AsRef::as_ref).chain([child.as_os_str()]);
        let json = run::vhdx(args().chain(["--json".as_ref()])).exits(0).json();
        assert_eq!(json["size_differences"], expected);
        let text = run::vhdx(args()).exits(0).text();
        assert!(text.contains("41943040 (40 MiB) smaller than its parent"), "{text}");
    }
    let tree = run!("tree", folder.path(), "--json").exits(0).json();
    assert_eq!(tree["size_differences"], expected);
    let text = run!("tree", folder.path()).exits(0).text();
    assert!(text.contains("41943040 (40 MiB) smaller than its parent"), "{text}");
    assert_eq!(run!("check", base, "--chain", "--json").exits(0).json()["size_differences"], json!([]));

    let larger = folder.path().join("larger.avhdx");
    run!("create", larger, "--parent", child, "--size", "30M").exits(0);
    let text = run!("chain", larger).exits(0).text();
    assert!(text.contains("larger.avhdx: 6291456 (6 MiB) larger than its parent"), "{text}");
}
