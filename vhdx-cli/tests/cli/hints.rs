//! Hints for users who ask for commands or options that do not exist or do not apply.

use std::fs;

use serde_json::json;

use crate::images::{family, names};
use crate::run;

#[test]
fn a_guessed_command_gets_advice() {
    for (guess, exists) in [
        ("repair", "`vhdx check FILE`"),
        ("resize", "`vhdx create CHILD.avhdx --parent FILE --size SIZE`"),
        ("expand", "`vhdx merge CHILD.avhdx`"),
        ("shrink", "`Resize-VHD`"),
        ("compact", "`vhdx convert FILE NEW.vhdx`"),
        ("unmount", "`fusermount3 -u DIR`"),
        ("attach", "`vhdx serve FILE`"),
        ("open", "`vhdx map FILE`"),
        ("delete", "`vhdx merge CHECKPOINT.avhdx --delete-merged`"),
        ("delete-checkpoint", "--delete-merged"),
        ("list", "`vhdx tree DIR`"),
        ("DIR", "`vhdx chain FILE`"),
        ("salvage", "`vhdx check FILE`"),
        ("rescue", "`vhdx convert FILE NEW.vhdx`"),
    ] {
        let text = run!(guess, "disk.vhdx").exits(2);
        assert_eq!(text.stdout, b"");
        let expected = format!("vhdx: there is no command `{guess}`\nhint: ");
        assert!(text.stderr.starts_with(&expected) && text.stderr.contains(exists), "{}", text.stderr);
        // The parser would suggest a command with a similar name, such as `reparent` for `repair`.
        assert!(!text.stderr.contains("similar"), "{}", text.stderr);
        let error = run!(guess, "disk.vhdx", "--json").exits(2).error();
        assert_eq!(error["kind"], "usage");
        assert!(error["hint"].as_str().unwrap().contains(exists), "{error}");
    }
}

#[test]
fn check_refuses_a_parent_without_chain() {
    let family = family();
    for option in ["--quiet", "--json"] {
        let refused = run!("check", family.leaf(), "--parent", family.mid(), option).exits(2);
        assert!(refused.stderr.contains("add --chain"), "{}", refused.stderr);
        assert_eq!(refused.stdout, b"");
    }
    run!("check", family.leaf(), "--parent", family.mid(), "--parent", family.base(), "--chain").exits(0);
}

#[test]
fn padding_of_a_raw_source_is_reported() {
    let family = family();
    let source = family.path("source.raw");
    for (len, padding) in [(512 * 5 + 1, 511), (512 * 5 + 511, 1), (512 * 5, 0)] {
        fs::write(&source, vec![7; len]).unwrap();
        let new = family.path("new.vhdx");
        for option in ["--quiet", "--dry-run"] {
            let text = run!("convert", source, new, "--force", option).exits(0).text();
            let said = format!("the source ends inside a sector and is padded with {padding} bytes of zeros");
            assert_eq!(text.contains(&said), padding > 0, "{text}");
            assert_eq!(text.contains("ends inside a sector"), padding > 0, "{text}");
        }
        let made = run!("convert", source, new, "--force", "--json").exits(0).json();
        assert_eq!((&made["padding"], &made["virtual_size"]), (&json!(padding), &json!(len + padding)));
        run!("compare", source, new, "--quiet").exits(0);
        let raw = run!("convert", source, family.path("new.raw"), "--force", "--json").exits(0).json();
        assert_eq!((&raw["padding"], &raw["virtual_size"]), (&json!(0), &json!(len)));
    }
}

#[test]
fn the_hint_for_a_folder_does_not_mention_force() {
    let family = family();
    let folder = family.path("folder.vhdx");
    fs::create_dir(&folder).unwrap();
    for args in [["convert", "--quiet"], ["convert", "--force"], ["merge", "--output"]] {
        let ran = match args[0] {
            "merge" => run!("merge", family.leaf(), args[1], folder),
            _ => run!("convert", family.leaf(), folder, args[1]),
        };
        let refused = ran.exits(2).stderr;
        assert!(refused.contains("hint: a new file can only replace a file"), "{refused}");
        assert!(!refused.contains("--force"), "{refused}");
    }
    assert_eq!(names(&folder), [""; 0]);
}
